use std::fs;
use std::path::Path;

use preflab_experiment::StageKind;
use preflab_experiment::records::{
    CELL_FILE, CellStatus, ExperimentStatus, Records, cell_directory,
};
use preflab_report::document::{Block, Section};
use preflab_report::{Report, ReportError, ReportOptions};

use crate::fixture::{
    ARMS, cell, complete, experiment, with_ablation, write_cell, write_curves, write_experiment,
};

fn report(records: &Records) -> Report {
    Report::new(records, &ReportOptions::default()).unwrap()
}

/// The Markdown between two headings.
fn part(markdown: &str, heading: &str) -> String {
    let from = markdown.split(&format!("## {heading}\n")).nth(1).unwrap();
    from.split("\n## ").next().unwrap().trim().to_owned()
}

/// Also copies the pages to the directory that `PREFLAB_PAGES` names, to look at them.
#[test]
fn a_complete_experiment_becomes_three_files() {
    let directory = tempfile::tempdir().unwrap();
    let records = complete(directory.path(), 5);
    let report = report(&records);
    let written = report.write(directory.path()).unwrap();
    assert_eq!(fs::read_to_string(&written.html).unwrap(), report.html());
    assert_eq!(
        fs::read_to_string(&written.markdown).unwrap(),
        report.markdown()
    );
    assert_eq!(
        fs::read_to_string(&written.csv).unwrap(),
        report.summary_csv()
    );
    let left = fs::read_dir(directory.path()).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .path()
            .extension()
            .is_some_and(|end| end == "partial")
    });
    assert_eq!(left.count(), 0);
    if let Some(pages) = std::env::var_os("PREFLAB_PAGES") {
        for file in [&written.html, &written.markdown, &written.csv] {
            fs::copy(file, Path::new(&pages).join(file.file_name().unwrap())).unwrap();
        }
    }
}

#[test]
fn the_page_stands_alone_and_shows_user_text_as_text() {
    let directory = tempfile::tempdir().unwrap();
    let html = report(&complete(directory.path(), 3)).html();
    for outside in ["<script", "src=", "@import", "url(", "<link", "<b>autumn"] {
        assert!(!html.contains(outside), "{outside}");
    }
    let addresses: Vec<&str> = html
        .match_indices("http")
        .map(|(at, _)| &html[at..at + 26])
        .collect();
    assert!(
        addresses
            .iter()
            .all(|address| address.starts_with("http://www.w3.org/2000/svg")),
        "{addresses:?}"
    );
    assert!(
        html.contains("&lt;b&gt;autumn &amp; rain&lt;/b&gt;")
            && html.contains("&lt;generated&gt; verse")
    );
    // Every link of the navigation has its section, and every figure says what it is.
    for id in html
        .match_indices("href=\"#")
        .map(|(at, _)| html[at + 7..].split('"').next().unwrap())
    {
        assert!(html.contains(&format!("<section id=\"{id}\">")), "{id}");
    }
    assert_eq!(
        html.matches("<svg").count(),
        html.matches("aria-label=\"").count() - 1
    );
    assert!(html.matches("<svg").count() >= 10);
    for tag in [
        "dynamics/logps_change/unseen",
        "objective/kl_exact",
        "task/rhyme",
    ] {
        let meaning = preflab_metrics::Metric::from_tag(tag).unwrap().meaning();
        assert!(html.contains(meaning), "no definition of {tag}");
    }
}

#[test]
fn the_answer_comes_first() {
    let directory = tempfile::tempdir().unwrap();
    let markdown = report(&complete(directory.path(), 5)).markdown();
    let lead = markdown.split("\n## ").next().unwrap();
    insta::assert_snapshot!(lead, @r#"
    # verse

    **Question:** Does DPO match reward-model PPO on \<generated\> verse?

    **Answer**, on `task/gold`, as paired differences over seeds with 95 % intervals (Student's t); p is the sign-flip test's, Holm is adjusted over the arms:

    - `ppo` is **better** than `sft` by +0.154 [0.140, 0.167] (5 seeds, p = 0.0625, Holm 0.188)
    - `dpo` is **better** than `sft` by +0.0765 [0.0681, 0.0849] (5 seeds, p = 0.0625, Holm 0.188)
    - `flex-dpo` is **better** than `sft` by +0.116 [0.103, 0.128] (5 seeds, p = 0.0625, Holm 0.188)
    - `dpo` is **worse** than `ppo`: −0.077 [−0.096, −0.058] (5 seeds, p = 0.0625, Holm 0.188)
    - `flex-dpo` is **worse** than `ppo`: −0.038 [−0.063, −0.013] (5 seeds, p = 0.0625, Holm 0.188)

    With 5 seeds no p can be below 0.0625, however large the difference: rely on the interval and on the dots of each seed.
    "#);
}

#[test]
fn the_tables_show_means_intervals_and_paired_differences() {
    let directory = tempfile::tempdir().unwrap();
    let markdown = report(&complete(directory.path(), 5)).markdown();
    insta::assert_snapshot!(part(&markdown, "Scores"), @r#"
    | arm | seeds | `task/gold` ↑ | `task/rows` ↑ | `task/words` ↑ | `task/rhyme` ↑ | `task/tone` ↑ | `task/title` ↑ | `task/length` | `task/kl` |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | `sft` | 5 | 0.5469 [0.5387, 0.5551] | 0.539 [0.505, 0.574] | 0.533 [0.494, 0.571] | 0.543 [0.518, 0.568] | 0.543 [0.494, 0.592] | 0.541 [0.504, 0.578] | 28.35 [27.60, 29.09] | 0.0 [0.0, 0.0] |
    | `ppo` | 5 | 0.7006 [0.6942, 0.7070] | 0.710 [0.675, 0.745] | 0.718 [0.687, 0.750] | 0.714 [0.683, 0.744] | 0.698 [0.665, 0.730] | 0.692 [0.662, 0.721] | 31.35 [30.60, 32.09] | 2.96 [2.71, 3.20] |
    | `dpo` | 5 | 0.623 [0.610, 0.637] | 0.602 [0.572, 0.633] | 0.619 [0.584, 0.654] | 0.639 [0.617, 0.660] | 0.640 [0.614, 0.667] | 0.613 [0.566, 0.661] | 37.35 [36.60, 38.09] | 8.87 [8.14, 9.61] |
    | `flex-dpo` | 5 | 0.663 [0.642, 0.683] | 0.672 [0.638, 0.705] | 0.662 [0.620, 0.705] | 0.695 [0.672, 0.718] | 0.644 [0.609, 0.680] | 0.673 [0.654, 0.693] | 34.35 [33.60, 35.09] | 5.92 [5.42, 6.41] |

    Mean over seeds [95 % interval, Student's t]; an arrow tells the better direction. Definitions are at the end.

    (Figure in the HTML report: Small dots: one seed each. Diamond: their mean, with its interval. Rows are arms, in the same order everywhere.)

    (Figure in the HTML report: Gold score against exact KL from the start: one dot for each seed, a diamond at the mean. Up and to the left is better.)
    "#);
    insta::assert_snapshot!(part(&markdown, "Paired differences"), @r#"
    Arms share seeds, and under one seed start, pairs, prompts and sampling seeds; so each difference is taken seed by seed. The interval is Student's t over the differences (95 %). p is the two-sided sign-flip permutation test, which assumes nothing but symmetry under no difference. Holm adjusts it, and the paired t test's, over the arms of one baseline and measure. The reading follows the interval: it excludes zero or it does not. With 5 seeds the smallest p that the test can give is 0.0625: no p below 0.05 is possible, whatever the difference.

    ### Against sft

    | arm | `task/gold` ↑ | `task/rows` ↑ | `task/words` ↑ | `task/rhyme` ↑ | `task/tone` ↑ | `task/title` ↑ | `task/length` | `task/kl` |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | `ppo` | +0.154 [0.140, 0.167] better † | +0.170 [0.126, 0.215] better † | +0.186 [0.152, 0.220] better † | +0.171 [0.151, 0.191] better † | +0.155 [0.089, 0.221] better † | +0.151 [0.111, 0.190] better † | +3.000 [3.000, 3.000] higher † | +2.96 [2.71, 3.20] higher † |
    | `dpo` | +0.0765 [0.0681, 0.0849] better † | +0.063 [0.019, 0.106] better † | +0.086 [0.030, 0.143] better † | +0.096 [0.073, 0.118] better † | +0.098 [0.063, 0.132] better † | +0.072 [−0.003, 0.148] not told apart | +9.000 [9.000, 9.000] higher † | +8.87 [8.14, 9.61] higher † |
    | `flex-dpo` | +0.116 [0.103, 0.128] better † | +0.132 [0.083, 0.182] better † | +0.129 [0.105, 0.153] better † | +0.152 [0.120, 0.185] better † | +0.102 [0.068, 0.135] better † | +0.132 [0.078, 0.186] better † | +6.000 [6.000, 6.000] higher † | +5.92 [5.42, 6.41] higher † |

    Mean difference to sft [95 % interval]\: reading. A dagger: the paired t test excludes 0 at that level after Holm's adjustment over the arms.

    (Figure in the HTML report: Difference to sft, one dot for each seed; diamond: mean difference with its interval. Dashed: no difference.)

    ### Every test against sft

    | measure | arm | seeds | difference | p | Holm | t test, Holm | seen in 80 % | reading |
    | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |
    | `task/gold` ↑ | `ppo` | 5 | +0.154 [0.140, 0.167] | 0.0625 | 0.188 | \< 0.0001 | 0.01856 | better |
    | `task/gold` ↑ | `dpo` | 5 | +0.0765 [0.0681, 0.0849] | 0.0625 | 0.188 | \< 0.0001 | 0.01134 | better |
    | `task/gold` ↑ | `flex-dpo` | 5 | +0.116 [0.103, 0.128] | 0.0625 | 0.188 | \< 0.0001 | 0.01659 | better |
    | `task/rows` ↑ | `ppo` | 5 | +0.170 [0.126, 0.215] | 0.0625 | 0.188 | 0.0013 | 0.06046 | better |
    | `task/rows` ↑ | `dpo` | 5 | +0.063 [0.019, 0.106] | 0.0625 | 0.188 | 0.0162 | 0.05914 | better |
    | `task/rows` ↑ | `flex-dpo` | 5 | +0.132 [0.083, 0.182] | 0.0625 | 0.188 | 0.0035 | 0.06696 | better |
    | `task/words` ↑ | `ppo` | 5 | +0.186 [0.152, 0.220] | 0.0625 | 0.188 | 0.0003 | 0.04602 | better |
    | `task/words` ↑ | `dpo` | 5 | +0.086 [0.030, 0.143] | 0.0625 | 0.188 | 0.0134 | 0.0768 | better |
    | `task/words` ↑ | `flex-dpo` | 5 | +0.129 [0.105, 0.153] | 0.0625 | 0.188 | 0.0003 | 0.03254 | better |
    | `task/rhyme` ↑ | `ppo` | 5 | +0.171 [0.151, 0.191] | 0.0625 | 0.188 | \< 0.0001 | 0.02679 | better |
    | `task/rhyme` ↑ | `dpo` | 5 | +0.096 [0.073, 0.118] | 0.0625 | 0.188 | 0.0004 | 0.03048 | better |
    | `task/rhyme` ↑ | `flex-dpo` | 5 | +0.152 [0.120, 0.185] | 0.0625 | 0.188 | 0.0004 | 0.04387 | better |
    | `task/tone` ↑ | `ppo` | 5 | +0.155 [0.089, 0.221] | 0.0625 | 0.188 | 0.0032 | 0.08979 | better |
    | `task/tone` ↑ | `dpo` | 5 | +0.098 [0.063, 0.132] | 0.0625 | 0.188 | 0.0032 | 0.04716 | better |
    | `task/tone` ↑ | `flex-dpo` | 5 | +0.102 [0.068, 0.135] | 0.0625 | 0.188 | 0.0032 | 0.04511 | better |
    | `task/title` ↑ | `ppo` | 5 | +0.151 [0.111, 0.190] | 0.0625 | 0.188 | 0.0013 | 0.05338 | better |
    | `task/title` ↑ | `dpo` | 5 | +0.072 [−0.003, 0.148] | 0.0625 | 0.188 | 0.0564 | 0.1023 | not told apart |
    | `task/title` ↑ | `flex-dpo` | 5 | +0.132 [0.078, 0.186] | 0.0625 | 0.188 | 0.0051 | 0.0737 | better |
    | `task/length` | `ppo` | 5 | +3.000 [3.000, 3.000] | 0.0625 | 0.188 | \< 0.0001 | n/a | higher |
    | `task/length` | `dpo` | 5 | +9.000 [9.000, 9.000] | 0.0625 | 0.188 | \< 0.0001 | 5.98e-15 | higher |
    | `task/length` | `flex-dpo` | 5 | +6.000 [6.000, 6.000] | 0.0625 | 0.188 | \< 0.0001 | 5.98e-15 | higher |
    | `task/kl` | `ppo` | 5 | +2.96 [2.71, 3.20] | 0.0625 | 0.188 | \< 0.0001 | 0.3335 | higher |
    | `task/kl` | `dpo` | 5 | +8.87 [8.14, 9.61] | 0.0625 | 0.188 | \< 0.0001 | 1.001 | higher |
    | `task/kl` | `flex-dpo` | 5 | +5.92 [5.42, 6.41] | 0.0625 | 0.188 | \< 0.0001 | 0.667 | higher |

    Seen in 80 %: the true difference that the t test would show with that chance, given the number of seeds and how far apart their differences are. Differences well below it say little: these seeds could hardly have shown them.

    ### Against ppo

    | arm | `task/gold` ↑ | `task/rows` ↑ | `task/words` ↑ | `task/rhyme` ↑ | `task/tone` ↑ | `task/title` ↑ | `task/length` | `task/kl` |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
    | `sft` | −0.154 [−0.167, −0.140] worse † | −0.170 [−0.215, −0.126] worse † | −0.186 [−0.220, −0.152] worse † | −0.171 [−0.191, −0.151] worse † | −0.155 [−0.221, −0.089] worse † | −0.151 [−0.190, −0.111] worse † | −3.000 [−3.000, −3.000] lower † | −2.96 [−3.20, −2.71] lower † |
    | `dpo` | −0.077 [−0.096, −0.058] worse † | −0.108 [−0.151, −0.064] worse † | −0.099 [−0.137, −0.062] worse † | −0.075 [−0.110, −0.041] worse † | −0.057 [−0.101, −0.014] worse † | −0.078 [−0.129, −0.027] worse † | +6.000 [6.000, 6.000] higher † | +5.92 [5.42, 6.41] higher † |
    | `flex-dpo` | −0.038 [−0.063, −0.013] worse † | −0.038 [−0.071, −0.006] worse † | −0.056 [−0.101, −0.011] worse † | −0.019 [−0.056, 0.018] not told apart | −0.053 [−0.109, 0.003] not told apart | −0.019 [−0.051, 0.014] not told apart | +3.000 [3.000, 3.000] higher † | +2.96 [2.71, 3.20] higher † |

    Mean difference to ppo [95 % interval]\: reading. A dagger: the paired t test excludes 0 at that level after Holm's adjustment over the arms.

    (Figure in the HTML report: Difference to ppo, one dot for each seed; diamond: mean difference with its interval. Dashed: no difference.)

    ### Every test against ppo

    | measure | arm | seeds | difference | p | Holm | t test, Holm | seen in 80 % | reading |
    | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | --- |
    | `task/gold` ↑ | `sft` | 5 | −0.154 [−0.167, −0.140] | 0.0625 | 0.188 | \< 0.0001 | 0.01856 | worse |
    | `task/gold` ↑ | `dpo` | 5 | −0.077 [−0.096, −0.058] | 0.0625 | 0.188 | 0.0007 | 0.02592 | worse |
    | `task/gold` ↑ | `flex-dpo` | 5 | −0.038 [−0.063, −0.013] | 0.0625 | 0.188 | 0.0136 | 0.03389 | worse |
    | `task/rows` ↑ | `sft` | 5 | −0.170 [−0.215, −0.126] | 0.0625 | 0.188 | 0.0013 | 0.06046 | worse |
    | `task/rows` ↑ | `dpo` | 5 | −0.108 [−0.151, −0.064] | 0.0625 | 0.188 | 0.0046 | 0.05844 | worse |
    | `task/rows` ↑ | `flex-dpo` | 5 | −0.038 [−0.071, −0.006] | 0.0625 | 0.188 | 0.0309 | 0.04414 | worse |
    | `task/words` ↑ | `sft` | 5 | −0.186 [−0.220, −0.152] | 0.0625 | 0.188 | 0.0003 | 0.04602 | worse |
    | `task/words` ↑ | `dpo` | 5 | −0.099 [−0.137, −0.062] | 0.0625 | 0.188 | 0.0036 | 0.05046 | worse |
    | `task/words` ↑ | `flex-dpo` | 5 | −0.056 [−0.101, −0.011] | 0.0625 | 0.188 | 0.0255 | 0.06079 | worse |
    | `task/rhyme` ↑ | `sft` | 5 | −0.171 [−0.191, −0.151] | 0.0625 | 0.188 | \< 0.0001 | 0.02679 | worse |
    | `task/rhyme` ↑ | `dpo` | 5 | −0.075 [−0.110, −0.041] | 0.0625 | 0.188 | 0.0074 | 0.04671 | worse |
    | `task/rhyme` ↑ | `flex-dpo` | 5 | −0.019 [−0.056, 0.018] | 0.250 | 0.250 | 0.229 | 0.04977 | not told apart |
    | `task/tone` ↑ | `sft` | 5 | −0.155 [−0.221, −0.089] | 0.0625 | 0.188 | 0.0087 | 0.08979 | worse |
    | `task/tone` ↑ | `dpo` | 5 | −0.057 [−0.101, −0.014] | 0.125 | 0.188 | 0.0422 | 0.05852 | worse |
    | `task/tone` ↑ | `flex-dpo` | 5 | −0.053 [−0.109, 0.003] | 0.0625 | 0.188 | 0.0570 | 0.07578 | not told apart |
    | `task/title` ↑ | `sft` | 5 | −0.151 [−0.190, −0.111] | 0.0625 | 0.188 | 0.0013 | 0.05338 | worse |
    | `task/title` ↑ | `dpo` | 5 | −0.078 [−0.129, −0.027] | 0.0625 | 0.188 | 0.0261 | 0.06905 | worse |
    | `task/title` ↑ | `flex-dpo` | 5 | −0.019 [−0.051, 0.014] | 0.188 | 0.188 | 0.186 | 0.04371 | not told apart |
    | `task/length` | `sft` | 5 | −3.000 [−3.000, −3.000] | 0.0625 | 0.188 | \< 0.0001 | n/a | lower |
    | `task/length` | `dpo` | 5 | +6.000 [6.000, 6.000] | 0.0625 | 0.188 | \< 0.0001 | 5.98e-15 | higher |
    | `task/length` | `flex-dpo` | 5 | +3.000 [3.000, 3.000] | 0.0625 | 0.188 | \< 0.0001 | 5.98e-15 | higher |
    | `task/kl` | `sft` | 5 | −2.96 [−3.20, −2.71] | 0.0625 | 0.188 | \< 0.0001 | 0.3335 | lower |
    | `task/kl` | `dpo` | 5 | +5.92 [5.42, 6.41] | 0.0625 | 0.188 | \< 0.0001 | 0.667 | higher |
    | `task/kl` | `flex-dpo` | 5 | +2.96 [2.71, 3.20] | 0.0625 | 0.188 | \< 0.0001 | 0.3335 | higher |

    Seen in 80 %: the true difference that the t test would show with that chance, given the number of seeds and how far apart their differences are. Differences well below it say little: these seeds could hardly have shown them.
    "#);
    insta::assert_snapshot!(part(&markdown, "Budgets"), @r#"
    Matched: `updates` at 200. The table shows every currency, so that arms equal in one can be compared in the others.

    | arm | updates — matched | trained tokens | generated tokens | flops | reward calls (answers) | seconds |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: |
    | `sft` | 0 | 0 | 0 | 0 | 0 | 0 |
    | `ppo` | 200 | 903,000 | 451,500 | 5.42e12 | 18,060 | 301 |
    | `dpo` | 200 | 909,000 | 454,500 | 5.45e12 | 18,180 | 303 |
    | `flex-dpo` | 200 | 906,000 | 453,000 | 5.44e12 | 18,120 | 302 |

    Training of each arm from the start on, mean over seeds.

    | arm | updates | trained tokens | generated tokens | flops | reward calls (answers) | seconds |
    | --- | ---: | ---: | ---: | ---: | ---: | ---: |
    | `sft` | 300 | 2,000,000 | 1,000,000 | 1.2e13 | 40,000 | 667 |
    | `ppo` | 300 | 2,000,000 | 1,000,000 | 1.2e13 | 40,000 | 667 |
    | `dpo` | 300 | 2,000,000 | 1,000,000 | 1.2e13 | 40,000 | 667 |
    | `flex-dpo` | 300 | 2,000,000 | 1,000,000 | 1.2e13 | 40,000 | 667 |

    The stages each arm builds on (start, candidates, pairs, reward model), as if nothing were shared, mean over seeds.
    "#);
    insta::assert_snapshot!(part(&markdown, "What was matched"), @r#"
    Arms may differ in `method`; every other setting is equal in all arms, which was checked before training. 5 seeds: 0, 1, 2, 3, 4.

    | arm | method | settings of its own |
    | --- | --- | --- |
    | `sft` | sft | none: the start as it is |
    | `ppo` | ppo | `method.ppo = { beta = 0.1 }` |
    | `dpo` | dpo: dpo | `method.dpo = { beta = 0.1 }` |
    | `flex-dpo` | dpo: flex-dpo | `method.dpo = { beta = 0.1 }` |

    ### Settings equal in every arm

    | key | value |
    | --- | --- |
    | `model.layers` | `2` |
    | `task.verse.test_prompts` | `128` |
    "#);
}

#[test]
fn the_summary_has_one_row_for_each_arm_seed_and_measure() {
    let directory = tempfile::tempdir().unwrap();
    let records = complete(directory.path(), 3);
    let report = report(&records);
    let mut reader = csv::Reader::from_reader(report.summary_csv().as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    // Ten measures and three times six currencies.
    assert_eq!(rows.len(), ARMS.len() * 3 * (10 + 18));
    let find = |arm: &str, seed: &str, measure: &str| -> f64 {
        let row = rows
            .iter()
            .find(|row| &row[0] == arm && &row[3] == seed && &row[5] == measure)
            .unwrap();
        row[7].parse().unwrap()
    };
    let ppo = records
        .cells
        .iter()
        .find(|cell| cell.arm == "ppo" && cell.seed == 2)
        .unwrap();
    assert_eq!(find("ppo", "2", "task/gold"), ppo.measures["task/gold"]);
    assert_eq!(find("ppo", "2", "budget/updates"), 200.0);
    assert_eq!(find("sft", "0", "preparation/flops"), 1.2e13);
    let first: Vec<&str> = rows[1].iter().take(7).collect();
    assert_eq!(
        first,
        ["sft", "sft", "start", "0", "done", "task/gold", "score"]
    );
}

#[test]
fn one_seed_has_means_and_no_claims() {
    let directory = tempfile::tempdir().unwrap();
    let markdown = report(&complete(directory.path(), 1)).markdown();
    assert!(
        markdown.contains("with 1 seed there is no interval, so nothing is claimed"),
        "{markdown}"
    );
    let differences = part(&markdown, "Paired differences");
    assert!(
        differences.contains("too few seeds") && differences.contains("| n/a | n/a |"),
        "{differences}"
    );
    assert!(!differences.contains("is possible, whatever"));
}

#[test]
fn missing_and_failed_cells_are_said_and_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let mut record = experiment("partial", 3, &ARMS);
    record.status = ExperimentStatus::Running;
    write_experiment(directory.path(), &record);
    for arm in &ARMS {
        for seed in 0..3 {
            if arm.0 == "flex-dpo" && seed > 0 {
                continue;
            }
            let mut cell = cell(arm, seed);
            if arm.0 == "dpo" && seed == 1 {
                cell.status = CellStatus::Failed {
                    stage: StageKind::Training,
                    message: "loss is NaN at update 17".to_owned(),
                };
                cell.measures = [("task/gold".to_owned(), 99.0)].into();
            }
            if arm.0 == "ppo" && seed == 2 {
                cell.measures.insert("task/gold".to_owned(), f64::NAN);
            }
            write_cell(directory.path(), &cell);
        }
    }
    // A cell that is running has curves and no record yet.
    write_curves(directory.path(), &ARMS[3], 1, 40);
    let report = report(&Records::read(directory.path()).unwrap());
    let markdown = report.markdown();
    assert!(
        markdown.contains("not finished: 9 of 12 cells are done"),
        "{markdown}"
    );
    assert!(markdown.contains("`dpo`, seed 1, failed at training: loss is NaN at update 17"));
    assert!(markdown.contains("Not there yet: flex-dpo (seeds 1, 2)."));
    assert!(markdown.contains("(1 not finite)"));
    let scores = part(&markdown, "Scores");
    assert!(
        scores.contains("| `dpo` | 2 |") && !scores.contains("99"),
        "{scores}"
    );
    assert!(
        report
            .summary_csv()
            .contains("dpo,dpo: dpo,file,1,failed,task/gold,score,99")
    );
    assert!(report.summary_csv().contains("task/gold,score,NaN"));
    assert!(report.html().contains("dynamics/logps_change/chosen"));
}

#[test]
fn an_experiment_without_cells_has_a_page_that_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let mut record = experiment("begun", 3, &ARMS);
    record.status = ExperimentStatus::Running;
    write_experiment(directory.path(), &record);
    let markdown = report(&Records::read(directory.path()).unwrap()).markdown();
    assert!(
        markdown.contains("0 of 12 cells are done")
            && markdown.contains("there is nothing to compare"),
        "{markdown}"
    );
    assert!(markdown.contains("## What was matched"));
}

#[test]
fn an_ablation_has_its_curves_or_its_map() {
    for (keys, drawn) in [
        (1, "Scores against method.dpo.objective.dpo.beta"),
        (2, "Scores over both settings"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let report = report(&with_ablation(directory.path(), keys));
        let html = report.html();
        assert!(html.contains(drawn));
        let ablation = part(&report.markdown(), "Ablation");
        assert_eq!(
            ablation
                .lines()
                .filter(|line| line.starts_with("| 0."))
                .count(),
            2 * if keys == 1 { 4 } else { 8 },
            "{ablation}"
        );
        // Gains peak at beta 0.05: both inner values are near it, both ends far below.
        let best = if keys == 1 { "0.03" } else { "0.1" };
        let best = format!("**Best**, by `task/gold`: `beta = {best}");
        assert!(ablation.contains(&best), "{ablation}");
        let share = |line: &str| -> f64 {
            let cell = line.split('|').nth(keys + 2).unwrap();
            cell.trim().trim_end_matches(" %").parse().unwrap()
        };
        let shares: f64 = ablation
            .lines()
            .filter(|line| line.starts_with("| 0.") && line.contains(" % |"))
            .map(share)
            .sum();
        assert!((shares - 100.0).abs() < 3.0, "{shares}: {ablation}");
        if keys == 1 {
            assert!(ablation.contains("strictly inside the range"), "{ablation}");
        } else {
            // The rate adds the same at every beta.
            assert!(
                ablation.contains("| `task/kl` | 3 | 0.0 [0.0, 0.0] | n/a | they add up |"),
                "{ablation}"
            );
        }
        // The grid's points are not arms of the comparison.
        assert!(!part(&report.markdown(), "Scores").contains("dpo@"));
        if let Some(pages) = std::env::var_os("PREFLAB_PAGES") {
            fs::write(Path::new(&pages).join(format!("ablation{keys}.html")), html).unwrap();
        }
    }
}

#[test]
fn a_reader_chooses_the_baseline() {
    let directory = tempfile::tempdir().unwrap();
    let records = complete(directory.path(), 3);
    let chosen = ReportOptions {
        baselines: vec!["dpo".to_owned()],
        ..ReportOptions::default()
    };
    let markdown = Report::new(&records, &chosen).unwrap().markdown();
    assert!(markdown.contains("### Against dpo") && !markdown.contains("### Against sft"));
    let unknown = ReportOptions {
        baselines: vec!["pp".to_owned()],
        ..ReportOptions::default()
    };
    let error = Report::new(&records, &unknown).unwrap_err();
    assert!(matches!(error, ReportError::UnknownBaseline { .. }));
    assert!(
        error
            .to_string()
            .ends_with("hint: the arms are `sft`, `ppo`, `dpo`, `flex-dpo`"),
        "{error}"
    );
}

#[test]
fn a_damaged_log_and_a_place_that_cannot_be_written_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let records = complete(directory.path(), 1);
    let error = report(&records)
        .write(&directory.path().join("none"))
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot write `") && error.contains("none/report.html"),
        "{error}"
    );
    fs::write(
        cell_directory(directory.path(), "ppo", 0).join("scalars.jsonl"),
        "{}\n",
    )
    .unwrap();
    let error = Report::new(&records, &ReportOptions::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("ppo/seed-0/scalars.jsonl:1: expected"),
        "{error}"
    );
}

#[test]
fn the_same_records_give_the_same_report_and_others_can_add_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let records = complete(directory.path(), 3);
    let mut first = report(&records);
    assert_eq!(first.html(), report(&records).html());
    first.push(
        Section::new("verdict-3d", "3D detector")
            .block(Block::paragraph("no property was flagged")),
    );
    assert!(
        first
            .markdown()
            .ends_with("## 3D detector\n\nno property was flagged\n")
    );
    assert!(
        cell_directory(directory.path(), "ppo", 0)
            .join(CELL_FILE)
            .is_file()
    );
}
