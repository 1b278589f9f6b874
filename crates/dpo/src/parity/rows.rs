//! The pairs of a golden file, and an objective measured on them.

use burn::tensor::{DType, Tensor, TensorData};
use preflab_config::Objective;
use preflab_data::Pair;
use preflab_training::parity::{
    Comparison, Node, Parity, ParityError, golden_device, golden_dtype, worst_relative_error,
};

use super::{SINGLE, subject};
use crate::inputs::{Context, Inputs, Logps, TokenTerms};
use crate::objectives::{Needs, implicit_rewards, preference_loss};

/// Log-probabilities and lengths of pairs, one number for each completion.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rows {
    pub policy: Pair<Vec<f64>>,
    pub reference: Pair<Vec<f64>>,
    pub lengths: Pair<Vec<f64>>,
}

impl Rows {
    /// From a file's `inputs`.
    pub fn read(inputs: &Node<'_>) -> Result<Self, ParityError> {
        let pair = |prefix: &str, suffix: &str| -> Result<Pair<Vec<f64>>, ParityError> {
            Pair {
                chosen: "chosen",
                rejected: "rejected",
            }
            .try_map(|side| inputs.get(&format!("{prefix}{side}_{suffix}"))?.vector())
        };
        let rows = Self {
            policy: pair("policy_", "logps")?,
            reference: pair("ref_", "logps")?,
            lengths: pair("", "lengths")?,
        };
        let averages = rows.averaged();
        for (ours, theirs) in [
            (averages.policy, pair("policy_", "avg_logps")?),
            (averages.reference, pair("ref_", "avg_logps")?),
        ] {
            let (ours, theirs) = (both(&ours), both(&theirs));
            if ours.len() != theirs.len() || worst_relative_error(&ours, &theirs) > 1e-9 {
                return Err(inputs.unusable("average log-probs are not the sums over the lengths"));
            }
        }
        inputs.only(&[
            "policy_chosen_logps",
            "policy_rejected_logps",
            "ref_chosen_logps",
            "ref_rejected_logps",
            "chosen_lengths",
            "rejected_lengths",
            "policy_chosen_avg_logps",
            "policy_rejected_avg_logps",
            "ref_chosen_avg_logps",
            "ref_rejected_avg_logps",
        ])?;
        Ok(rows)
    }

    /// The number of pairs.
    pub fn len(&self) -> usize {
        self.policy.chosen.len()
    }

    /// Every completion as one token of its mean log-probability.
    pub fn averaged(&self) -> Self {
        let divide = |values: &Pair<Vec<f64>>| {
            values
                .as_ref()
                .zip(self.lengths.as_ref())
                .map(|(sums, lengths)| sums.iter().zip(lengths).map(|(s, n)| s / n).collect())
        };
        Self {
            policy: divide(&self.policy),
            reference: divide(&self.reference),
            lengths: self
                .lengths
                .as_ref()
                .map(|lengths| vec![1.0; lengths.len()]),
        }
    }

    /// With every reference log-probability 0.
    pub fn without_reference(&self) -> Self {
        Self {
            reference: self
                .reference
                .as_ref()
                .map(|values| vec![0.0; values.len()]),
            ..self.clone()
        }
    }

    /// One pair alone.
    pub fn only(&self, row: usize) -> Self {
        let pick = |values: &Pair<Vec<f64>>| values.as_ref().map(|side| vec![side[row]]);
        Self {
            policy: pick(&self.policy),
            reference: pick(&self.reference),
            lengths: pick(&self.lengths),
        }
    }

    /// Rounded to f32.
    fn rounded(&self) -> Self {
        let round = |values: &Pair<Vec<f64>>| {
            values
                .as_ref()
                .map(|side| side.iter().map(|&x| f64::from(x as f32)).collect())
        };
        Self {
            policy: round(&self.policy),
            reference: round(&self.reference),
            lengths: self.lengths.clone(),
        }
    }
}

/// What single objectives read besides.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Extra {
    pub reward_shift: Option<f64>,
}

/// An objective on a batch of pairs.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    /// One loss per pair.
    pub loss: Vec<f64>,
    /// Gradient of the *sum* of the losses with respect to the policy's summed log-probabilities.
    pub gradient: Pair<Vec<f64>>,
    /// Implicit rewards.
    pub rewards: Pair<Vec<f64>>,
}

impl Measured {
    pub fn mean_loss(&self) -> f64 {
        mean(&self.loss)
    }

    /// Gradient of the mean of the losses.
    pub fn mean_gradient(&self) -> Pair<Vec<f64>> {
        let pairs = self.loss.len() as f64;
        self.gradient
            .as_ref()
            .map(|side| side.iter().map(|g| g / pairs).collect())
    }

    /// The same with every number 0.
    pub fn zeroed(&self) -> Self {
        let zero = |values: &Vec<f64>| vec![0.0; values.len()];
        Self {
            loss: zero(&self.loss),
            gradient: self.gradient.as_ref().map(zero),
            rewards: self.rewards.as_ref().map(zero),
        }
    }

    /// Several batches, one after the other.
    fn join(parts: Vec<Self>) -> Self {
        let pair = |pick: fn(&Self) -> &Pair<Vec<f64>>| Pair {
            chosen: parts.iter().flat_map(|p| pick(p).chosen.clone()).collect(),
            rejected: parts
                .iter()
                .flat_map(|p| pick(p).rejected.clone())
                .collect(),
        };
        Self {
            loss: parts.iter().flat_map(|p| p.loss.clone()).collect(),
            gradient: pair(|p| &p.gradient),
            rewards: pair(|p| &p.rewards),
        }
    }
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn both(values: &Pair<Vec<f64>>) -> Vec<f64> {
    [values.chosen.as_slice(), &values.rejected].concat()
}

/// A constant vector.
pub(super) fn constant(values: &[f64], dtype: DType) -> Tensor<1> {
    Tensor::from_data(
        TensorData::from(values),
        (&golden_device(), golden_dtype(dtype)),
    )
}

/// A vector that gradients are taken with respect to.
pub(super) fn leaf(values: &[f64], dtype: DType) -> Tensor<1> {
    let device = golden_device().autodiff();
    Tensor::from_data(TensorData::from(values), (&device, golden_dtype(dtype))).require_grad()
}

/// The numbers of a tensor.
pub(super) fn numbers(tensor: Tensor<1>) -> Vec<f64> {
    tensor
        .into_data()
        .convert::<f64>()
        .try_to_vec()
        .expect("a float tensor holds floats")
}

/// The sum spread evenly over the tokens, as HALOs' golden cases do.
fn spread(sum: &Tensor<1>, lengths: &[f64]) -> TokenTerms {
    let columns = lengths.iter().fold(1.0_f64, |a, &b| a.max(b)) as usize;
    let share: Vec<f64> = lengths
        .iter()
        .flat_map(|&n| (0..columns).map(move |t| if (t as f64) < n { 1.0 / n } else { 0.0 }))
        .collect();
    let share = constant(&share, sum.dtype()).reshape([lengths.len(), columns]);
    TokenTerms {
        logps: sum.clone().unsqueeze_dim::<2>(1) * share,
        log_collision: None,
    }
}

/// `objective` on all of `rows` as one batch.
pub(super) fn measure(objective: &Objective, rows: &Rows, extra: Extra, dtype: DType) -> Measured {
    let needs = Needs::of(objective);
    let logps = |sum: Tensor<1>, lengths: &[f64]| Logps {
        tokens: (needs.tokens || needs.collision).then(|| spread(&sum, lengths)),
        lengths: constant(lengths, dtype),
        sum,
    };
    let sums = rows.policy.as_ref().map(|side| leaf(side, dtype));
    let inputs = Inputs {
        policy: sums
            .clone()
            .zip(rows.lengths.as_ref())
            .map(|(sum, lengths)| logps(sum, lengths)),
        reference: rows
            .reference
            .as_ref()
            .zip(rows.lengths.as_ref())
            .map(|(side, lengths)| logps(constant(side, dtype), lengths)),
        context: Context {
            reward_shift: extra.reward_shift.map(|shift| constant(&[shift], dtype)),
            ..Context::default()
        },
    };
    let loss = preference_loss(objective, &inputs);
    let gradients = loss.clone().sum().backward();
    let gradient = sums.map(|sum| match sum.grad(&gradients) {
        Some(gradient) => numbers(gradient),
        None => vec![0.0; rows.len()],
    });
    Measured {
        loss: numbers(loss),
        gradient,
        rewards: implicit_rewards(objective, &inputs).map(numbers),
    }
}

/// `objective` on each pair as a batch of its own; `objective` may differ from pair to pair.
pub(super) fn measure_each(
    objective: impl Fn(usize) -> Objective,
    rows: &Rows,
    extra: Extra,
    dtype: DType,
) -> Measured {
    let parts = (0..rows.len())
        .map(|row| measure(&objective(row), &rows.only(row), extra, dtype))
        .collect();
    Measured::join(parts)
}

/// Compares f32 with f64 on the same rounded inputs.
///
/// A number counts as at least a twentieth of the largest of its kind (the gradients of both sides are one kind), since one
/// that is small by cancellation carries the rounding of the large ones; a number above 1e17, which only exponential scores of log-ratios beyond 40 nats give and
/// which f32 caps, need only be finite.
pub(super) fn compare_single(
    table: &mut Parity,
    case: &Node<'_>,
    name: &str,
    at: impl Fn(&Rows, DType) -> Measured,
    rows: &Rows,
) {
    let rounded = rows.rounded();
    let (double, single) = (at(&rounded, DType::F64), at(&rounded, DType::F32));
    let mut row = table.case(subject(name, "own f64, in f32", SINGLE), case);
    let gradients = [&double.gradient.chosen, &double.gradient.rejected];
    let steepest = gradients
        .iter()
        .map(|side| largest(side))
        .fold(0.0, f64::max);
    for (what, ours, theirs, scale) in [
        ("loss", &single.loss, &double.loss, largest(&double.loss)),
        (
            "gradient chosen",
            &single.gradient.chosen,
            &double.gradient.chosen,
            steepest,
        ),
        (
            "gradient rejected",
            &single.gradient.rejected,
            &double.gradient.rejected,
            steepest,
        ),
    ] {
        for (a, &b) in ours.iter().zip(theirs) {
            let error = match (a.is_finite(), representable(b)) {
                (false, _) => f64::INFINITY,
                (true, false) => 0.0,
                (true, true) => (a - b).abs() / b.abs().max(scale * 0.05).max(1e-30),
            };
            row.error(what, error);
        }
    }
}

fn representable(x: f64) -> bool {
    x.abs() < 1e17
}

fn largest(values: &[f64]) -> f64 {
    let sizes = values.iter().map(|x| x.abs());
    sizes.filter(|x| representable(*x)).fold(0.0, f64::max)
}

/// How far a few units in the last place of f32, in every input, can move each number: what a reference that computed in
/// f32 cannot be asked to know better. Its inputs were sums of tokens in f32.
pub(super) fn rounding(at: impl Fn(&Rows) -> Measured, rows: &Rows) -> Measured {
    let relative = 4.0 * f64::from(f32::EPSILON);
    let nudged = |side: &[f64]| side.iter().map(|x| x * (1.0 + relative)).collect();
    let exact = at(rows);
    let mut spread = exact.zeroed();
    for input in 0..4 {
        let mut moved = rows.clone();
        let side = match input {
            0 => &mut moved.policy.chosen,
            1 => &mut moved.policy.rejected,
            2 => &mut moved.reference.chosen,
            _ => &mut moved.reference.rejected,
        };
        *side = nudged(side);
        let moved = at(&moved);
        let add = |sum: &mut Vec<f64>, a: &[f64], b: &[f64]| {
            for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
                *sum += (a - b).abs();
            }
        };
        add(&mut spread.loss, &moved.loss, &exact.loss);
        add(
            &mut spread.gradient.chosen,
            &moved.gradient.chosen,
            &exact.gradient.chosen,
        );
        add(
            &mut spread.gradient.rejected,
            &moved.gradient.rejected,
            &exact.gradient.rejected,
        );
    }
    spread
}

/// Compares number by number, each counting as at least the size at which its `spread` is [`SINGLE`] of it.
pub(super) fn each_within(
    row: &mut Comparison<'_>,
    what: &str,
    ours: &[f64],
    theirs: &[f64],
    spread: &[f64],
) {
    if ours.len() != theirs.len() {
        row.vector(what, ours, theirs);
        return;
    }
    for ((a, b), spread) in ours.iter().zip(theirs).zip(spread) {
        row.error(what, (a - b).abs() / b.abs().max(spread / SINGLE).max(1e-6));
    }
}

/// The gradients of the members of a tie in ascending order, so that two sorts which broke it differently agree.
///
/// `keys` are what was sorted; keys within `1e-9` of each other are a tie.
pub(super) fn settle_ties(keys: &[f64], gradients: &mut [f64]) {
    let mut order: Vec<usize> = (0..keys.len()).collect();
    order.sort_by(|&a, &b| keys[a].total_cmp(&keys[b]).then(a.cmp(&b)));
    let tied = |a: &usize, b: &usize| (keys[*a] - keys[*b]).abs() <= 1e-9 * keys[*b].abs().max(1.0);
    for group in order.chunk_by(tied) {
        let mut values: Vec<f64> = group.iter().map(|&i| gradients[i]).collect();
        values.sort_by(f64::total_cmp);
        for (&i, value) in group.iter().zip(values) {
            gradients[i] = value;
        }
    }
}

/// Compares number by number, so that a large one does not hide a small one.
pub(super) fn each(row: &mut Comparison<'_>, what: &str, ours: &[f64], theirs: &[f64]) {
    if ours.len() != theirs.len() {
        row.vector(what, ours, theirs);
        return;
    }
    for (a, b) in ours.iter().zip(theirs) {
        row.number(what, *a, *b);
    }
}

/// [`each`] of both sides.
pub(super) fn each_side(
    row: &mut Comparison<'_>,
    what: &str,
    ours: &Pair<Vec<f64>>,
    theirs: &Pair<Vec<f64>>,
) {
    each(row, &format!("{what} chosen"), &ours.chosen, &theirs.chosen);
    each(
        row,
        &format!("{what} rejected"),
        &ours.rejected,
        &theirs.rejected,
    );
}

/// A case's two lists under keys that differ in the side's name alone.
pub(super) fn sides(
    case: &Node<'_>,
    key: fn(&str) -> String,
) -> Result<Pair<Vec<f64>>, ParityError> {
    Pair {
        chosen: "chosen",
        rejected: "rejected",
    }
    .try_map(|side| case.get(&key(side))?.vector())
}

/// The gradients of a case, under the names that most sections use.
pub(super) fn gradients_of(case: &Node<'_>) -> Result<Pair<Vec<f64>>, ParityError> {
    sides(case, |side| format!("grad_policy_{side}_logps"))
}

/// The rewards of a case.
pub(super) fn rewards_of(case: &Node<'_>) -> Result<Pair<Vec<f64>>, ParityError> {
    sides(case, |side| format!("{side}_rewards"))
}
