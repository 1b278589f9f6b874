//! The claims: one row each.

use super::run::Run;
use super::toy::Check;
use super::training;
use super::verdict::Comparison;

/// How a claim is read.
#[derive(Clone, Copy)]
pub(super) enum Reader {
    /// The toy model's checks that belong to it.
    Toy(fn(&Check) -> bool),
    /// The comparisons that a run has for it; none where it has not the data.
    Run(fn(&Run) -> Vec<Comparison>),
}

/// A claim before it meets any run.
pub(super) struct Definition {
    pub(super) id: &'static str,
    pub(super) statement: &'static str,
    pub(super) place: &'static str,
    pub(super) supplied_by: &'static str,
    pub(super) reader: Reader,
}

const fn toy(
    id: &'static str,
    statement: &'static str,
    place: &'static str,
    select: fn(&Check) -> bool,
) -> Definition {
    Definition {
        id,
        statement,
        place,
        supplied_by: "preflab toy",
        reader: Reader::Toy(select),
    }
}

const fn trained(
    id: &'static str,
    statement: &'static str,
    place: &'static str,
    supplied_by: &'static str,
    compare: fn(&Run) -> Vec<Comparison>,
) -> Definition {
    Definition {
        id,
        statement,
        place,
        supplied_by,
        reader: Reader::Run(compare),
    }
}

/// Every claim, the toy model's first.
pub(super) const CLAIMS: &[Definition] = &[
    toy(
        "toy-drop",
        "property 1, toy: DPO's rejected likelihood falls by more than the chosen one rises",
        "section 3, fig. 2",
        |check| check.claim == 'a',
    ),
    toy(
        "toy-degradation",
        "property 2, toy: DPO's chosen likelihood declines in the long run, by more than 1 %",
        "section 3, fig. 2",
        |check| check.claim == 'd' && check.statement.contains("chosen likelihood declines"),
    ),
    toy(
        "toy-dispersion",
        "property 3, toy: probability moves to unseen responses and stays there",
        "section 3, fig. 2",
        |check| check.claim == 'd' && check.statement.contains("unseen responses and stays"),
    ),
    toy(
        "toy-gradients",
        "toy: DPO's gradient by the chosen likelihood tends to 0, that by the rejected one grows",
        "section 3, corollary 1, fig. 2",
        |check| check.claim == 'b' || check.claim == 'c',
    ),
    toy(
        "toy-on-policy",
        "toy: of the four scenarios, on-policy pairs are the mildest",
        "section 3, fig. 3",
        |check| check.claim == 'e',
    ),
    toy(
        "toy-flex-dpo",
        "toy: Flex-DPO softens the drop, the degradation and the loss of chosen mass",
        "section 3, appendix B.2.1",
        |check| check.claim == 'f' && check.place.starts_with("flex-dpo"),
    ),
    toy(
        "toy-sft-dpo",
        "toy: SFT-DPO softens the drop, the degradation and the loss of chosen mass",
        "section 3, eq. 6",
        |check| check.claim == 'f' && check.place.starts_with("sft-dpo"),
    ),
    toy(
        "toy-reward-model",
        "toy: a reward model's gradients stay in balance, and so does the policy's on its reward",
        "section 3",
        |check| check.claim == 'g',
    ),
    trained(
        "drop",
        "property 1: DPO's rejected log-prob falls by more than the chosen one rises, by 0.1 nats per token and more",
        "section 3, table 7",
        "experiments/paper/table7_logprobs.toml",
        training::drop,
    ),
    trained(
        "degradation",
        "property 2: under DPO the chosen answers end less likely than they began",
        "section 3, table 7",
        "experiments/paper/table7_logprobs.toml",
        training::degradation,
    ),
    trained(
        "dispersion",
        "property 3: under DPO probability moves to tokens of no pair, by 0.01 and more",
        "section 3",
        "experiments/paper/table7_logprobs.toml",
        training::dispersion,
    ),
    trained(
        "gradients",
        "under DPO the gradient by the rejected likelihood outgrows that by the chosen one",
        "fig. 6",
        "experiments/paper/fig6_gradients.toml",
        training::gradients,
    ),
    trained(
        "on-policy-best",
        "on-policy pairs (scenario 1) give DPO the best score, on both test sets",
        "section 4.2, tables 1 and 8",
        "experiments/paper/table1_scenarios.toml",
        training::on_policy_best,
    ),
    trained(
        "on-policy-slowest",
        "on-policy pairs make the log-probs of chosen and rejected answers decline the least",
        "table 7",
        "experiments/paper/table7_logprobs.toml",
        training::on_policy_slowest,
    ),
    trained(
        "flex-dpo-milder",
        "Flex-DPO is milder than DPO: both sides' log-probs fall less",
        "appendix B.2.1, table 9",
        "experiments/paper/table9_variants.toml",
        training::flex_dpo_milder,
    ),
    trained(
        "sft-dpo-milder",
        "SFT-DPO is milder than DPO: both sides' log-probs fall less",
        "eq. 6, table 9",
        "experiments/paper/table9_variants.toml",
        training::sft_dpo_milder,
    ),
    trained(
        "beta-minus-interior",
        "Flex-DPO's score has an optimum in beta- strictly inside the range",
        "fig. 4",
        "experiments/paper/fig4_beta_minus.toml",
        training::beta_minus_interior,
    ),
    trained(
        "reward-steadier",
        "a reward model's accuracy on held-out pairs fluctuates less than DPO's",
        "section 4.4, fig. 5",
        "experiments/paper/fig5_rm_vs_dpo.toml",
        training::reward_steadier,
    ),
    trained(
        "dpo-overfits",
        "DPO overfits in the second pass: its gap to training pairs widens, its held-out accuracy falls",
        "section 4.4, figs. 5 and 7-9",
        "experiments/paper/fig5_rm_vs_dpo.toml",
        training::dpo_overfits,
    ),
    trained(
        "reward-generalises",
        "a reward model's gap between training and held-out pairs is smaller than DPO's",
        "section 4.4, figs. 7-9",
        "experiments/paper/fig5_rm_vs_dpo.toml",
        training::reward_generalises,
    ),
    trained(
        "ppo-verse",
        "PPO scores above DPO on verse",
        "section 4, table 2",
        "experiments/paper/table2_ppo_vs_dpo_verse.toml",
        training::ppo_above_dpo_on_verse,
    ),
    trained(
        "ppo-slogan",
        "PPO scores above DPO on slogans",
        "section 4, table 2",
        "experiments/paper/table2_ppo_vs_dpo_slogan.toml",
        training::ppo_above_dpo_on_slogans,
    ),
    trained(
        "variants-above-dpo",
        "variants are between DPO and PPO, first half: each scores above DPO",
        "table 9",
        "experiments/paper/table9_variants.toml",
        training::variants_above_dpo,
    ),
    trained(
        "variants-below-ppo",
        "variants are between DPO and PPO, second half: PPO scores above each",
        "tables 2 and 9",
        "experiments/paper/table2_ppo_vs_dpo_verse.toml",
        training::variants_below_ppo,
    ),
    trained(
        "iterative-above-one-shot",
        "rounds of sampling, judging and DPO score above one-shot DPO",
        "appendix A.1",
        "experiments/paper/iterative_dpo.toml",
        training::iterative_above_one_shot,
    ),
];
