use preflab_report::figure::{Axis, ColourMap, Dash, Figure, HeatMap, Marker, Plot, Style};

/// A figure with everything that can be in one.
fn everything() -> Figure {
    let falling = |rate: f64| -> Vec<(f64, f64)> {
        (0..=100)
            .map(|step| (f64::from(step), (-rate * f64::from(step)).exp()))
            .collect()
    };
    let band: Vec<(f64, f64, f64)> = falling(0.02)
        .iter()
        .map(|&(x, y)| (x, y * 0.8, y * 1.2))
        .collect();
    let mut broken = falling(0.3);
    broken[40].1 = f64::NAN;
    broken[90].1 = 0.0;
    let curves = Plot::new(Axis::linear("update"), Axis::log("likelihood"))
        .title("falling <likelihoods> & more")
        .band(&band, Style::series(0))
        .line("chosen", &falling(0.02), Style::series(0))
        .line("rejected", &broken, Style::series(1).dash(Dash::Dashed))
        .rule_x(50.0);
    let arms = ["sft", "ppo", "flex-dpo with a long name"];
    let mut dots = Plot::new(Axis::linear("gold score"), Axis::categories("", &arms))
        .title("scores of each seed")
        .rule_x(0.5);
    for (row, _) in arms.iter().enumerate() {
        let (at, style) = (row as f64, Style::series(row).marker(Marker::Circle));
        let seeds: Vec<(f64, f64)> = (0..5)
            .map(|seed| (0.5 + 0.1 * at + 0.02 * f64::from(seed), at))
            .collect();
        dots = dots
            .interval_x(at, 0.48 + 0.1 * at, 0.6 + 0.1 * at, style)
            .dots("", &seeds, style)
            .estimate(
                "mean of the seeds",
                (0.54 + 0.1 * at, at),
                style.marker(Marker::Diamond),
            );
    }
    let turned = Plot::new(Axis::categories("arm", &arms), Axis::linear("score"))
        .title("names below")
        .estimate("", (1.0, 0.3), Style::series(2));
    let map = HeatMap::new(
        ("beta", &["0.01", "0.03", "0.1", "0.3"]),
        ("learning rate", &["1e-4", "1e-3", "1e-2"]),
        &[
            vec![0.1, 0.2, 0.4, 0.9],
            vec![0.0, f64::NAN, 0.7, 0.8],
            vec![-0.4, 0.3, 0.5, 0.6],
        ],
    )
    .title("gold score")
    .value_label("mean over seeds")
    .decimals(2);
    let diverging = map
        .clone()
        .colours(ColourMap::Diverging)
        .range(-1.0, 1.0)
        .title("difference");
    Figure::new("One of everything")
        .panel(curves)
        .panel(dots)
        .panel(turned)
        .panel(map)
        .panel(diverging)
        .columns(2)
}

#[test]
fn a_figure_is_a_picture_in_both_formats_and_always_the_same() {
    let figure = everything();
    if let Some(directory) = std::env::var_os("PREFLAB_FIGURES") {
        let directory = std::path::Path::new(&directory);
        std::fs::create_dir_all(directory).unwrap();
        std::fs::write(directory.join("everything.svg"), figure.to_svg()).unwrap();
        std::fs::write(directory.join("everything.png"), figure.to_png(1.5)).unwrap();
    }
    let svg = figure.to_svg();
    assert_eq!(svg, figure.to_svg());
    assert!(svg.contains("falling &lt;likelihoods&gt; &amp; more"));
    assert_eq!(svg.matches("<svg").count(), 1);
    assert!(!svg.contains("NaN") && !svg.contains("inf"));
    let png = figure.to_png(1.0);
    assert_eq!(png, figure.to_png(1.0));
    let side = |at: usize| u32::from_be_bytes(png[at..at + 4].try_into().unwrap());
    assert!(side(16) > 500 && side(20) > 500);
}

#[test]
fn the_legend_names_each_label_once_and_lies_below_the_panels() {
    let svg = everything().to_svg();
    assert_eq!(svg.matches(">mean of the seeds</text>").count(), 1);
    let height_of = |text: &str| -> f64 {
        let line = svg.lines().find(|line| line.contains(text)).unwrap();
        line.split("y=\"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .parse()
            .unwrap()
    };
    assert!(height_of(">chosen</text>") > height_of(">learning rate</text>"));
}

#[test]
fn an_inline_figure_takes_its_colours_from_the_page() {
    let svg = everything().to_inline_svg();
    assert!(
        svg.contains("class=\"figure\"")
            && svg.contains("class=\"s0\"")
            && svg.contains("class=\"f1\"")
    );
    assert!(!svg.contains("fill=\"#fff\"/>"));
    for class in ["it", "im", "la", "lg", "s0", "f0", "s6"] {
        assert!(
            preflab_report::figure::FIGURE_CSS.contains(&format!(".{class}{{")),
            "{class}"
        );
    }
}

#[test]
fn figures_of_nothing_are_empty_pictures() {
    let empty = Figure::new("").panel(
        Plot::new(Axis::log("x"), Axis::linear("y"))
            .line("a", &[], Style::series(0))
            .line("b", &[(1.0, f64::NAN)], Style::series(9)),
    );
    assert!(empty.to_png(0.5).starts_with(b"\x89PNG"));
    assert!(Figure::new("nothing").is_empty());
    assert!(Figure::new("nothing").to_svg().contains("</svg>"));
}

#[test]
fn a_line_is_cut_at_the_frame_and_where_a_value_is_missing() {
    let plot = Plot::new(
        Axis::linear("x").range(0.0, 1.0),
        Axis::linear("y").range(0.0, 1.0),
    )
    .size(100.0, 100.0)
    .line(
        "",
        &[
            (-1.0, -1.0),
            (2.0, 2.0),
            (f64::NAN, 0.5),
            (0.2, 0.5),
            (0.4, 0.5),
        ],
        Style::series(1),
    );
    let svg = Figure::new("").panel(plot).to_svg();
    let lines: Vec<&str> = svg
        .lines()
        .filter(|line| line.contains("#d55e00"))
        .collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(lines[0].contains("M") && lines[0].matches('L').count() == 1);
}

#[test]
#[should_panic(expected = "a logarithmic axis begins above 0, not at 0")]
fn a_logarithmic_axis_cannot_begin_at_zero() {
    let _ = Axis::log("x").range(0.0, 1.0);
}
