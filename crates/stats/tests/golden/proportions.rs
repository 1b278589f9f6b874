use preflab_stats::{
    BinEdges, DifferenceInterval, PairedTable, Phi, ProportionInterval, Tally, brier,
    brier_classes, calibration, proportion_difference_interval, proportion_interval,
};

use super::case::{Case, Golden, indices, number, numbers, rows};

pub fn check(_: &Golden, case: &mut Case) {
    match case.kind() {
        "proportion_interval" => {
            let tally = tally(case, "k", "n");
            let alpha = number(case.input("alpha"));
            for (key, method) in [
                ("wilson", ProportionInterval::Wilson),
                ("wilson_cc", ProportionInterval::WilsonContinuity),
                ("clopper_pearson", ProportionInterval::ClopperPearson),
                ("jeffreys", ProportionInterval::Jeffreys),
                (
                    "jeffreys_endpoint_modified",
                    ProportionInterval::JeffreysEndPoints,
                ),
                ("agresti_coull", ProportionInterval::AgrestiCoull),
                ("wald", ProportionInterval::Wald),
            ] {
                case.interval(key, proportion_interval(tally, alpha, method).unwrap());
            }
        }
        "two_proportion_difference" => {
            let (first, second) = (tally(case, "k1", "n1"), tally(case, "k2", "n2"));
            let alpha = number(case.input("alpha"));
            case.close("diff", first.share() - second.share());
            for (key, method) in [
                ("newcombe", DifferenceInterval::Newcombe),
                ("wald", DifferenceInterval::Wald),
                ("agresti_caffo", DifferenceInterval::AgrestiCaffo),
            ] {
                let interval = proportion_difference_interval(first, second, alpha, method);
                case.interval(key, interval.unwrap());
            }
        }
        "paired_proportion_difference" => {
            let table = table(case);
            let alpha = number(case.input("alpha"));
            case.close("diff", table.difference());
            for (key, phi) in [
                ("newcombe_phi_corrected", Phi::Corrected),
                ("newcombe_phi_uncorrected", Phi::Uncorrected),
            ] {
                case.close(&format!("{key}.phi"), table.phi(phi));
                let interval = table.difference_interval(alpha, phi).unwrap();
                case.interval(&format!("{key}.ci{:.0}", 100.0 * (1.0 - alpha)), interval);
            }
        }
        "mcnemar" => {
            let table = table(case);
            let test = table.mcnemar();
            case.count(
                "statistic_min",
                table.first_only.min(table.second_only) as usize,
            );
            case.count("n_discordant", test.discordant as usize);
            case.close("p_exact", test.p_exact);
            case.close("p_binomtest", test.p_exact);
            case.close("p_midp", test.p_mid);
            case.close("chi2_cc0", test.chi_squared);
            case.close("chi2_cc1", test.chi_squared_corrected);
            case.close("p_chi2_cc0", test.p_chi_squared());
            case.close("p_chi2_cc1", test.p_chi_squared_corrected());
        }
        "ece" => {
            let edges = match case.input("edge_rule").as_str() {
                Some("right_closed") => BinEdges::RightClosed,
                Some("left_closed") => BinEdges::LeftClosed,
                other => panic!("{}: unknown edge rule {other:?}", case.id()),
            };
            let confidences = numbers(case.input("confidence"));
            let bins = number(case.input("bins")) as usize;
            let found = calibration(&confidences, &outcomes(case), bins, edges).unwrap();
            case.close("ece", found.expected_error());
            case.close("mce", found.maximum_error());
            case.close("rms", found.rms_error());
            for (i, bin) in found.bins.iter().enumerate() {
                case.count(&format!("bins[{i}].bin"), bin.bin);
                case.count(&format!("bins[{i}].count"), bin.count);
                case.close(&format!("bins[{i}].mean_confidence"), bin.mean_confidence);
                case.close(&format!("bins[{i}].accuracy"), bin.accuracy);
            }
        }
        "brier_binary" => {
            let outcomes = outcomes(case);
            let probabilities = numbers(case.input("probability"));
            case.close("brier", brier(&probabilities, &outcomes).unwrap());
            let base =
                outcomes.iter().filter(|&&outcome| outcome).count() as f64 / outcomes.len() as f64;
            let constant = vec![base; outcomes.len()];
            case.close("base_rate_brier", brier(&constant, &outcomes).unwrap());
        }
        "brier_multiclass" => {
            let probabilities = rows(case.input("probability"));
            let score = brier_classes(&probabilities, &indices(case.input("label"))).unwrap();
            case.close("brier_sum", score);
            case.close("brier_half", 0.5 * score);
        }
        kind => panic!("{}: unknown kind {kind}", case.id()),
    }
}

fn tally(case: &Case, successes: &str, trials: &str) -> Tally {
    let count = |key| number(case.input(key)) as u64;
    Tally::new(count(successes), count(trials)).unwrap()
}

fn table(case: &Case) -> PairedTable {
    let cells: Vec<u64> = rows(case.input("table"))
        .concat()
        .iter()
        .map(|&cell| cell as u64)
        .collect();
    let [both, first_only, second_only, neither] = cells[..] else {
        panic!("{}: not a table of two by two", case.id());
    };
    PairedTable {
        both,
        first_only,
        second_only,
        neither,
    }
}

fn outcomes(case: &Case) -> Vec<bool> {
    numbers(case.input("outcome"))
        .iter()
        .map(|&outcome| outcome == 1.0)
        .collect()
}
