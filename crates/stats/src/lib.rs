//! Paired comparison of small samples: intervals, tests, aggregates, curve fits.
//!
//! Arms of an experiment share seeds, so they are compared by differences within a seed ([`differences`]). Everything here is a pure function of slices;
//! what is random takes a seed and repeats bit by bit. With few seeds a permutation, rank or sign test cannot reach a small p: see [`p_floor`].
//!
//! # Example
//! ```
//! use preflab_stats::{differences, p_floor, paired_t_interval, sign_flip};
//! let dpo = [0.62, 0.58, 0.66, 0.61, 0.64];
//! let ppo = [0.55, 0.57, 0.60, 0.52, 0.59];
//! let interval = paired_t_interval(&dpo, &ppo, 0.95)?;
//! assert!(interval.low > 0.0);
//! // All five differences are positive, yet five pairs cannot give less than 2/2^5.
//! let p = sign_flip(&differences(&dpo, &ppo)?, 0)?.p().two_sided;
//! assert_eq!(p, p_floor(5));
//! # Ok::<(), preflab_stats::StatsError>(())
//! ```
//!
//! # Degenerate samples
//! Descriptive quantities (means, spreads, correlations) are NaN where they are not defined and where a value is NaN. Tests and intervals return
//! [`StatsError`] for too few values, values that are not finite, and levels outside their range.

mod anova;
mod best;
mod best_of_n;
mod bootstrap;
mod calibration;
mod correlation;
pub mod detector;
pub mod distribution;
mod effect_size;
mod error;
mod frontier;
mod interaction;
mod interval;
mod multiple;
mod overoptimization;
mod paired;
mod power;
mod proportions;
mod ranks;
mod scores;
mod series;
mod sign_flip;
mod summary;
mod wilcoxon;

pub use anova::{AnovaTable, Contrast, Effect, InteractionEffects, SumsOfSquares, TwoWay};
pub use best::{Best, Goal, InteriorOptimum, best_setting, interior_optimum};
pub use best_of_n::{best_of_n, best_of_n_kl, best_of_n_with_replacement, pass_at_k};
pub use bootstrap::{
    Draws, ReplicateTies, acceleration, acceleration_of_samples, basic_interval, bca_levels,
    bias_correction, interval_at, jackknife, percentile_interval, share_below, stratified_interval,
};
pub use calibration::{BinEdges, Calibration, CalibrationBin, brier, brier_classes, calibration};
pub use correlation::{
    CorrelationVariance, Kendall, PERMUTATION_LIMIT, RankPermutations, correlation_interval,
    correlation_p, kendall, pearson, spearman, spearman_permutations,
};
pub use effect_size::{
    cohen_d_pooled, cohen_dav, cohen_dz, cohen_dz_interval, common_language_independent,
    common_language_paired, hedges_gz, hedges_j, hedges_j_approximate,
};
pub use error::StatsError;
pub use frontier::{Crossing, Frontier};
pub use interaction::bilinear_interaction;
pub use interval::Interval;
pub use multiple::{Correction, adjust, reject};
pub use overoptimization::{Optimizer, OveroptimizationFit, Peak, fit_overoptimization};
pub use paired::{
    PValues, SignTest, TTest, TieCredit, cliffs_delta, differences, p_floor, paired_t_interval,
    paired_win_rate, probability_of_superiority, sign_test, t_interval, t_test,
};
pub use power::{
    Sides, critical_t, detectable_effect, detectable_effect_normal, pairs_needed, t_test_power,
};
pub use proportions::{
    DifferenceInterval, McNemar, PairedTable, Phi, ProportionInterval, Tally,
    proportion_difference_interval, proportion_interval,
};
pub use ranks::midranks;
pub use scores::{Aggregate, Scores, probability_of_improvement};
pub use series::{
    LinearTrend, Smoother, SmoothingRatios, linear_trend, smoothing_ratios, steps, theil_sen_slope,
    von_neumann_ratio,
};
pub use sign_flip::{
    DRAWS, EXACT_LIMIT, SignFlip, SumTies, sign_flip, sign_flip_exact, sign_flip_monte_carlo,
};
pub use summary::{
    QuantileRule, iqm, iqm_fractional, mad, mean, median, population_sd, quantile, sd, sem, sum,
    sum_of_squares, variance,
};
pub use wilcoxon::{Continuity, ExactWilcoxon, NormalWilcoxon, SignedRanks, Zeros, signed_ranks};
