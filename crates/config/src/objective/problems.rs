//! What the ranges of single parameters cannot say.

use super::Objective;

impl Objective {
    /// What single ranges cannot say: parameters that are each right and do not go together.
    pub fn problems(&self) -> Vec<String> {
        match self {
            Self::LdDpo(o) => o.objective.problems(),
            Self::Wpo(o) => o.objective.problems(),
            Self::ReferenceFree(o) => o.objective.problems(),
            Self::Humanline(o) => {
                let mut problems = o.objective.problems();
                if o.low.get() >= o.high.get() {
                    problems.push(format!(
                        "`humanline` clamps to an interval: `low` ({}) must be below `high` ({})",
                        o.low.get(),
                        o.high.get()
                    ));
                }
                problems
            }
            Self::Sum(terms) if terms.is_empty() => vec!["`sum` holds no objective".to_owned()],
            Self::Sum(terms) => terms
                .iter()
                .flat_map(|term| term.objective.problems())
                .collect(),
            Self::Dpo(_)
            | Self::DpoMean(_)
            | Self::FlexDpo(_)
            | Self::SftDpo(_)
            | Self::Ipo(_)
            | Self::IpoMean(_)
            | Self::Slic(_)
            | Self::Hinge(_)
            | Self::Simpo(_)
            | Self::Alphapo(_)
            | Self::Dpop(_)
            | Self::Odpo(_)
            | Self::RDpo(_)
            | Self::Cdpo(_)
            | Self::Robust(_)
            | Self::Exo(_)
            | Self::Nca(_)
            | Self::Bco(_)
            | Self::Kto(_)
            | Self::ApoZero(_)
            | Self::ApoDown(_)
            | Self::Sppo(_)
            | Self::Aot(_)
            | Self::AotUnpaired(_)
            | Self::Discopop(_)
            | Self::Orpo(_)
            | Self::Cpo(_)
            | Self::Sft(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Deserialize)]
    struct Method {
        objective: Objective,
    }

    fn parse(text: &str) -> Objective {
        toml::from_str::<Method>(text).unwrap().objective
    }

    #[test]
    fn parameters_that_do_not_go_together_are_found_inside_wrappers() {
        let text = "objective.wpo = { objective.humanline = { low = 2.0, high = 1.0 } }";
        let problems = parse(text).problems();
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].contains("`low` (2) must be below `high` (1)"));
        assert_eq!(parse("objective.sum = []").problems().len(), 1);
        assert_eq!(parse("objective.dpo = {}").problems(), [""; 0]);
    }
}
