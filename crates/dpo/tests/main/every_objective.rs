//! One setting or more of every objective, so that a test over all of them cannot forget one.

use preflab_config::{
    Alphapo, Aot, AotUnpaired, ApoDown, ApoZero, Bco, Cdpo, Cpo, Discopop, Divergence, Dpo,
    DpoMean, Dpop, Exo, Finite, FlexDpo, FlipProbability, Hinge, Humanline, Ipo, IpoMean,
    KlBaseline, Kto, LdDpo, Link, Nca, NonNegative, Objective, Odpo, OffsetScale, Orpo, Positive,
    RDpo, ReferenceFree, RewardShift, Robust, Sft, SftAggregation, SftDpo, Simpo, Slic, Sppo,
    TokenAggregation, Weighted, Wpo, WpoAlignment,
};

/// Every objective, with a name for messages.
pub fn every_objective() -> Vec<(String, Objective)> {
    let beta = Positive::of(0.1);
    let mut all = plain(beta);
    for (name, divergence) in [
        ("forward", Divergence::ForwardKl),
        ("js", Divergence::JensenShannon),
        ("alpha", Divergence::Alpha(Finite::of(0.5))),
    ] {
        let dpo = Objective::Dpo(Dpo { beta, divergence });
        let ipo = Objective::IpoMean(IpoMean {
            eta: beta,
            divergence,
        });
        all.push((format!("dpo {name}"), dpo));
        all.push((format!("ipo-mean {name}"), ipo));
    }
    let inner = || Box::new(Objective::Dpo(Dpo::default()));
    let wrapped = [
        (
            "ld-dpo",
            Objective::LdDpo(LdDpo {
                objective: inner(),
                ..LdDpo::default()
            }),
        ),
        (
            "wpo",
            Objective::Wpo(Wpo {
                alignment: WpoAlignment::Sampled,
                objective: inner(),
            }),
        ),
        (
            "wpo unaligned",
            Objective::Wpo(Wpo {
                alignment: WpoAlignment::None,
                objective: inner(),
            }),
        ),
        (
            "humanline",
            Objective::Humanline(Humanline {
                low: Finite::of(-1.0),
                high: Finite::of(1.5),
                objective: inner(),
            }),
        ),
        (
            "reference-free",
            Objective::ReferenceFree(ReferenceFree { objective: inner() }),
        ),
        (
            "sum",
            Objective::Sum(vec![
                Weighted {
                    weight: NonNegative::of(1.0),
                    objective: Objective::Dpo(Dpo::default()),
                },
                Weighted {
                    weight: NonNegative::of(0.25),
                    objective: Objective::Sft(Sft {
                        likelihood: SftAggregation::BatchMean,
                    }),
                },
            ]),
        ),
    ];
    all.extend(wrapped.map(|(name, objective)| (name.to_owned(), objective)));
    let seen: Vec<usize> = all.iter().map(|(_, objective)| place(objective)).collect();
    assert!((0..VARIANTS).all(|variant| seen.contains(&variant)));
    all
}

fn plain(beta: Positive) -> Vec<(String, Objective)> {
    let smoothed = Link::Logistic {
        label_smoothing: FlipProbability::of(0.1),
    };
    let all = [
        ("dpo", Objective::Dpo(Dpo::default())),
        (
            "dpo-mean",
            Objective::DpoMean(DpoMean {
                label_smoothing: FlipProbability::of(0.1),
                ..DpoMean::default()
            }),
        ),
        ("flex-dpo", Objective::FlexDpo(FlexDpo::default())),
        ("sft-dpo", Objective::SftDpo(SftDpo::default())),
        ("ipo", Objective::Ipo(Ipo::default())),
        ("ipo-mean", Objective::IpoMean(IpoMean::default())),
        ("slic", Objective::Slic(Slic::default())),
        ("hinge", Objective::Hinge(Hinge::default())),
        (
            "simpo",
            Objective::Simpo(Simpo {
                link: smoothed,
                ..Simpo::default()
            }),
        ),
        (
            "simpo hinge",
            Objective::Simpo(Simpo {
                link: Link::Hinge,
                ..Simpo::default()
            }),
        ),
        ("alphapo", Objective::Alphapo(Alphapo::default())),
        (
            "dpop",
            Objective::Dpop(Dpop {
                lambda: NonNegative::of(5.0),
                length_weight: Finite::of(0.02),
                ..Dpop::default()
            }),
        ),
        ("odpo", Objective::Odpo(Odpo::default())),
        (
            "odpo linear",
            Objective::Odpo(Odpo {
                scale: OffsetScale::Linear,
                ..Odpo::default()
            }),
        ),
        (
            "r-dpo",
            Objective::RDpo(RDpo {
                log_ratio: TokenAggregation::Mean,
                ..RDpo::default()
            }),
        ),
        ("cdpo", Objective::Cdpo(Cdpo::default())),
        ("robust", Objective::Robust(Robust::default())),
        ("exo", Objective::Exo(Exo::default())),
        (
            "nca",
            Objective::Nca(Nca {
                beta,
                ..Nca::default()
            }),
        ),
        ("bco", Objective::Bco(Bco::default())),
        (
            "bco unshifted",
            Objective::Bco(Bco {
                beta,
                shift: RewardShift::Zero,
                ..Bco::default()
            }),
        ),
        ("kto", Objective::Kto(Kto::default())),
        (
            "kto other side",
            Objective::Kto(Kto {
                baseline: KlBaseline::OtherSide,
                ..Kto::default()
            }),
        ),
        (
            "kto no baseline",
            Objective::Kto(Kto {
                baseline: KlBaseline::Zero,
                ..Kto::default()
            }),
        ),
        ("apo-zero", Objective::ApoZero(ApoZero::default())),
        ("apo-down", Objective::ApoDown(ApoDown::default())),
        (
            "sppo",
            Objective::Sppo(Sppo {
                beta,
                ..Sppo::default()
            }),
        ),
        (
            "aot",
            Objective::Aot(Aot {
                beta,
                label_smoothing: FlipProbability::of(0.1),
            }),
        ),
        (
            "aot-unpaired",
            Objective::AotUnpaired(AotUnpaired {
                beta,
                ..AotUnpaired::default()
            }),
        ),
        ("discopop", Objective::Discopop(Discopop::default())),
        ("orpo", Objective::Orpo(Orpo::default())),
        ("cpo", Objective::Cpo(Cpo::default())),
        ("sft", Objective::Sft(Sft::default())),
        (
            "sft sum",
            Objective::Sft(Sft {
                likelihood: SftAggregation::Sum,
            }),
        ),
    ];
    all.map(|(name, objective)| (name.to_owned(), objective))
        .into()
}

const VARIANTS: usize = 33;

/// The place of a variant: the compiler asks for a new one here, and the list above must then hold it.
fn place(objective: &Objective) -> usize {
    match objective {
        Objective::Dpo(_) => 0,
        Objective::DpoMean(_) => 1,
        Objective::FlexDpo(_) => 2,
        Objective::SftDpo(_) => 3,
        Objective::Ipo(_) => 4,
        Objective::IpoMean(_) => 5,
        Objective::Slic(_) => 6,
        Objective::Hinge(_) => 7,
        Objective::Simpo(_) => 8,
        Objective::Alphapo(_) => 9,
        Objective::Dpop(_) => 10,
        Objective::Odpo(_) => 11,
        Objective::RDpo(_) => 12,
        Objective::Cdpo(_) => 13,
        Objective::Robust(_) => 14,
        Objective::Exo(_) => 15,
        Objective::Nca(_) => 16,
        Objective::Bco(_) => 17,
        Objective::Kto(_) => 18,
        Objective::ApoZero(_) => 19,
        Objective::ApoDown(_) => 20,
        Objective::Sppo(_) => 21,
        Objective::Aot(_) => 22,
        Objective::AotUnpaired(_) => 23,
        Objective::Discopop(_) => 24,
        Objective::Orpo(_) => 25,
        Objective::Cpo(_) => 26,
        Objective::Sft(_) => 27,
        Objective::LdDpo(_) => 28,
        Objective::Wpo(_) => 29,
        Objective::Humanline(_) => 30,
        Objective::ReferenceFree(_) => 31,
        Objective::Sum(_) => 32,
    }
}
