//! The report: one page with figures, tables, and the settings that give it again.

use preflab_config::ToySettings;
use preflab_dpo::detector::Thresholds;
use preflab_report::document::{Block, Document, Rich, Section};

use crate::claims::Check;
use crate::constructions::Construction;
use crate::detection::CellDetection;
use crate::figures::NamedFigure;
use crate::outcome::Outcome;
use crate::run::ToyReport;
use crate::tables;

/// What a page is made of.
pub(crate) struct Contents<'a> {
    pub(crate) settings: &'a ToySettings,
    pub(crate) outcome: &'a Outcome,
    pub(crate) checks: &'a [Check],
    pub(crate) detections: &'a [CellDetection],
    pub(crate) figures: &'a [NamedFigure],
    pub(crate) maps: &'a [NamedFigure],
    pub(crate) constructions: &'a [Construction],
    pub(crate) report: &'a ToyReport,
}

/// The page.
pub(crate) fn page(contents: &Contents<'_>) -> Document {
    let settings = contents.settings;
    let runs = contents.report.runs;
    let thresholds = Thresholds::default();
    Document::new("The toy model of arXiv:2406.07327")
        .lead(Block::paragraph(
            Rich::new()
                .and(&format!(
                    "{runs} runs ({} arms, {} scenarios, {} seeds) of {} epochs. Rejected responses are drawn as ",
                    contents.outcome.arms.len(),
                    contents.outcome.scenarios.len(),
                    contents.outcome.seeds.len(),
                    settings.epochs.get(),
                ))
                .and_code(settings.rejected.name())
                .and(&format!(
                    "; width {}, mini-batches of {} pairs, learning rate {}. Likelihoods are followed as logs: they fall far below what a number can hold.",
                    settings.width.get(),
                    settings.batch.get(),
                    settings.learning_rate.get(),
                )),
        ))
        .section(
            Section::new("claims", "The paper's claims")
                .block(Block::Table(tables::claims(contents.checks)))
                .block(Block::Folded(
                    "Every check with its effect size".to_owned(),
                    vec![Block::Table(tables::checks(contents.checks))],
                )),
        )
        .section(
            Section::new("detector", "The 3D detector")
                .block(Block::paragraph(format!(
                    "Drop: the rejected log-likelihood fell by more than {} nats beyond the chosen one's gain. Degradation: the chosen one is more than {} nats below its peak while the gradients' ratio has grown by more than {} nats. Dispersion: the mass on responses that are in no pair of the prompt is more than {} above its lowest value. All of them up to the end. A run is flagged if it has the drop and one of the others.",
                    thresholds.drop, thresholds.decline, thresholds.gradient_ratio, thresholds.dispersion
                )))
                .block(Block::Table(tables::detections(contents.detections))),
        )
        .section(
            Section::new("ends", "Where every arm ends").block(Block::Table(tables::ends(contents.outcome))),
        )
        .section(Section::new("figures", "Figures").blocks(drawn(contents.figures)))
        .section(Section::new("map", "Phase map").blocks(drawn(contents.maps)))
        .section(unseen(contents.constructions))
        .section(
            Section::new("settings", "Settings").block(Block::Code(
                toml::to_string(settings).expect("settings are plain data"),
            )),
        )
}

fn drawn(figures: &[NamedFigure]) -> impl Iterator<Item = Block> {
    figures
        .iter()
        .map(|named| Block::figure(named.figure.clone(), named.caption.as_str()))
}

fn unseen(constructions: &[Construction]) -> Section {
    let section = Section::new("unseen", "Does the likelihood of unseen responses rise?");
    if constructions.is_empty() {
        return section;
    }
    section.block(Block::Table(tables::constructions(constructions)))
}
