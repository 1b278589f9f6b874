//! The catalogue as a Markdown page.

use std::fmt::Write;

use crate::{Better, Image, Section, Text};

/// The page `docs/metrics.md`: every metric with unit, better direction and definition.
pub fn markdown_table() -> String {
    let mut page = String::from(
        "# Logged metrics\n\n\
         Generated from `crates/metrics/src/catalogue.rs`; rewrite with `UPDATE=1 cargo test -p preflab-metrics`.\n\n\
         Natural logs, nats. A log-probability is summed over the completion's tokens unless the row says \"per token\". \
         \"Tokens\" are completion tokens with the end-of-sequence token, never padding.\n",
    );
    for &section in Section::ALL {
        heading(
            &mut page,
            section.title(),
            "| tag | unit | better | meaning |\n|---|---|---|---|",
        );
        for metric in section.metrics() {
            let better = match metric.better() {
                Better::Lower => "lower",
                Better::Higher => "higher",
                Better::Neither => "",
            };
            row(
                &mut page,
                &[
                    &format!("`{}`", metric.tag()),
                    metric.unit(),
                    better,
                    metric.meaning(),
                ],
            );
        }
    }
    heading(&mut page, "Texts", "| tag | meaning |\n|---|---|");
    for text in Text::ALL {
        row(&mut page, &[&format!("`{}`", text.tag()), text.meaning()]);
    }
    heading(&mut page, "Images", "| tag | meaning |\n|---|---|");
    for image in Image::ALL {
        row(&mut page, &[&format!("`{}`", image.tag()), image.meaning()]);
    }
    page
}

fn heading(page: &mut String, title: &str, columns: &str) {
    write!(page, "\n## {title}\n\n{columns}\n").expect("a string takes any text");
}

fn row(page: &mut String, cells: &[&str]) {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    writeln!(page, "| {} |", cells.join(" | ")).expect("a string takes any text");
}
