//! The table of every logged quantity: one row, one metric.
//!
//! Tags are TRL's (`rewards/chosen`, `eval_loss`) and those of "The N+ Implementation Details of RLHF with PPO" (`objective/kl`,
//! `policy/clipfrac_avg`) where they exist, so that curves line up with published ones. What only this suite measures lives under
//! `accuracy/`, `dynamics/`, `rollout/`, `pairs/`, `budget/`, `timing/`, `task/`, `ood/` and `toy/`.
//!
//! Conventions of every row: natural logs, nats; a log-probability is summed over the completion's tokens unless the row says "per token";
//! "tokens" are completion tokens (the end-of-sequence token included), never padding; a mean over tokens gives every token of the batch
//! the same weight; `eval_` marks the same quantity over the held-out set.

use crate::table::{catalogue, tags};

/// Which direction of a metric is the better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Better {
    /// Smaller is better.
    Lower,
    /// Larger is better.
    Higher,
    /// Neither: the value describes, it does not judge.
    Neither,
}

catalogue! {
    /// Logged by every trainer.
    Training, "Every trainer" => {
        Loss, "loss", "objective's own", Lower, "Mean over the update's examples of the objective that is minimised, before the update.";
        EvalLoss, "eval_loss", "objective's own", Lower, "Mean of the objective over the held-out examples.";
        GradNorm, "grad_norm", "norm", Neither, "Euclidean norm of the update's gradient over all trainable parameters, before clipping.";
        LearningRate, "learning_rate", "rate", Neither, "Learning rate used by the update.";
        Epoch, "epoch", "passes", Neither, "Passes over the training set after the update.";
        NumTokens, "num_tokens", "tokens", Neither, "Tokens read by training so far: prompt and completion tokens of every row, without padding.";
        Entropy, "entropy", "nats per token", Neither, "Mean over completion tokens of the entropy of the policy's next-token distribution, at temperature 1.";
        EvalEntropy, "eval_entropy", "nats per token", Neither, "The same over the held-out set.";
        MeanTokenAccuracy, "mean_token_accuracy", "fraction", Higher, "Share of completion tokens that are the policy's most probable next token.";
        EvalMeanTokenAccuracy, "eval_mean_token_accuracy", "fraction", Higher, "The same over the held-out set.";
        Perplexity, "perplexity", "ratio", Lower, "Exponential of the mean negative log-likelihood per completion token of the update's examples.";
        EvalPerplexity, "eval_perplexity", "ratio", Lower, "The same over the held-out set.";
        NllLoss, "nll_loss", "nats per token", Lower, "Mean negative log-likelihood per completion token of the chosen answers (the supervised term of a regularised objective), before its weight.";
        EvalNllLoss, "eval_nll_loss", "nats per token", Lower, "The same over the held-out set.";
        ParameterNorm, "parameter_norm", "norm", Neither, "Euclidean norm of all trainable parameters after the update.";
        DistanceFromStart, "distance_from_start", "norm", Neither, "Euclidean norm of the trainable parameters' difference from their values before training.";
    }
    /// Logged by the trainer of the DPO family.
    Preference, "Preference objectives (the DPO family)" => {
        RewardsChosen, "rewards/chosen", "reward", Higher, "Mean over pairs of the chosen answer's implicit reward: beta times (log-prob under the policy minus log-prob under the reference). Objectives without a reference: beta times the (length-averaged) log-prob.";
        RewardsRejected, "rewards/rejected", "reward", Lower, "The same for the rejected answer.";
        RewardsAccuracies, "rewards/accuracies", "fraction", Higher, "Share of pairs whose chosen implicit reward is strictly above the rejected one.";
        RewardsMargins, "rewards/margins", "reward", Higher, "Mean over pairs of chosen minus rejected implicit reward.";
        LogpsChosen, "logps/chosen", "nats per answer", Neither, "Mean over pairs of the chosen answer's log-prob under the policy, summed over its tokens.";
        LogpsRejected, "logps/rejected", "nats per answer", Neither, "The same for the rejected answer.";
        LogitsChosen, "logits/chosen", "logit", Neither, "Mean of the policy's logits over the vocabulary and the chosen answers' tokens.";
        LogitsRejected, "logits/rejected", "logit", Neither, "The same for the rejected answers.";
        RefLogpsChosen, "ref_logps/chosen", "nats per answer", Neither, "Mean over pairs of the chosen answer's log-prob under the reference, summed over its tokens: how on-policy the chosen answers are.";
        RefLogpsRejected, "ref_logps/rejected", "nats per answer", Neither, "The same for the rejected answer.";
        EvalRewardsChosen, "eval_rewards/chosen", "reward", Higher, "`rewards/chosen` over the held-out pairs.";
        EvalRewardsRejected, "eval_rewards/rejected", "reward", Lower, "`rewards/rejected` over the held-out pairs.";
        EvalRewardsAccuracies, "eval_rewards/accuracies", "fraction", Higher, "`rewards/accuracies` over the held-out pairs.";
        EvalRewardsMargins, "eval_rewards/margins", "reward", Higher, "`rewards/margins` over the held-out pairs.";
        EvalLogpsChosen, "eval_logps/chosen", "nats per answer", Neither, "`logps/chosen` over the held-out pairs.";
        EvalLogpsRejected, "eval_logps/rejected", "nats per answer", Neither, "`logps/rejected` over the held-out pairs.";
        EvalLogitsChosen, "eval_logits/chosen", "logit", Neither, "`logits/chosen` over the held-out pairs.";
        EvalLogitsRejected, "eval_logits/rejected", "logit", Neither, "`logits/rejected` over the held-out pairs.";
        PreferenceLoss, "preference_loss", "objective's own", Lower, "Mean over pairs of the preference term alone, where the objective adds others to it.";
        LogOddsChosen, "log_odds_chosen", "nats", Higher, "ORPO: mean over pairs of log odds of the chosen minus log odds of the rejected answer, from length-averaged log-probs.";
        LogOddsRatio, "log_odds_ratio", "nats", Higher, "ORPO: mean over pairs of log sigmoid of `log_odds_chosen`.";
        KtoKl, "kl", "nats per answer", Lower, "KTO: the batch's estimate of the reference point, the mean over mismatched completions of log policy minus log reference, clamped at 0.";
        BcoDelta, "delta", "reward", Neither, "BCO: the running mean of the implicit rewards, used as the reward shift.";
        DpopPenalty, "dpop_penalty", "nats per answer", Lower, "DPOP: mean over pairs of max(0, log reference minus log policy) of the chosen answer, before its weight.";
        PairWeight, "pair_weight", "fraction", Neither, "Mean over pairs of the weight with which the objective counts a pair (WPO and other weighted objectives).";
    }
    /// Logged by the reward-model trainer and its evaluation.
    RewardModel, "Reward model" => {
        Accuracy, "accuracy", "fraction", Higher, "Share of pairs whose chosen score is strictly above the rejected one.";
        Margin, "margin", "reward", Higher, "Mean over pairs of chosen minus rejected score.";
        MinReward, "min_reward", "reward", Neither, "Smallest score of the update's answers, chosen and rejected together.";
        MeanReward, "mean_reward", "reward", Neither, "Mean score of the update's answers, chosen and rejected together.";
        MaxReward, "max_reward", "reward", Neither, "Largest score of the update's answers, chosen and rejected together.";
        ChosenReward, "chosen_reward", "reward", Higher, "Mean over pairs of the chosen answer's score.";
        RejectReward, "reject_reward", "reward", Lower, "Mean over pairs of the rejected answer's score.";
        CenterLoss, "center_loss", "squared reward", Lower, "Mean over pairs of (chosen score plus rejected score) squared, before its coefficient.";
        EvalAccuracy, "eval_accuracy", "fraction", Higher, "`accuracy` over the held-out pairs.";
        EvalMargin, "eval_margin", "reward", Higher, "`margin` over the held-out pairs.";
        EvalMinReward, "eval_min_reward", "reward", Neither, "`min_reward` over the held-out pairs.";
        EvalMeanReward, "eval_mean_reward", "reward", Neither, "`mean_reward` over the held-out pairs.";
        EvalMaxReward, "eval_max_reward", "reward", Neither, "`max_reward` over the held-out pairs.";
        EvalRewardStd, "eval_reward_std", "reward", Neither, "Standard deviation (n - 1) of the held-out answers' scores, chosen and rejected together.";
        EvalChosenReward, "eval_chosen_reward", "reward", Higher, "`chosen_reward` over the held-out pairs.";
        EvalRejectReward, "eval_reject_reward", "reward", Lower, "`reject_reward` over the held-out pairs.";
        EvalEce, "eval_ece", "fraction", Lower, "Expected calibration error over the held-out pairs: sigmoid of the margin in ten equal bins, bin-size-weighted mean of |share right - mean probability|.";
        EvalBrier, "eval_brier", "squared fraction", Lower, "Brier score over the held-out pairs: mean of (1 - sigmoid of the margin) squared.";
        EvalLengthCorrelation, "eval_length_correlation", "correlation", Neither, "Pearson correlation over held-out answers of score and length in tokens.";
        EvalGoldCorrelation, "eval_gold_correlation", "correlation", Higher, "Spearman rank correlation over held-out answers of score and gold score.";
        EvalAccuracySmallMargin, "eval_accuracy/margin_small", "fraction", Higher, "`accuracy` over the third of the held-out pairs with the smallest gold margin.";
        EvalAccuracyMediumMargin, "eval_accuracy/margin_medium", "fraction", Higher, "`accuracy` over the third of the held-out pairs with the middle gold margins.";
        EvalAccuracyLargeMargin, "eval_accuracy/margin_large", "fraction", Higher, "`accuracy` over the third of the held-out pairs with the largest gold margin.";
    }
    /// Logged by every trainer on pairs, so that reward models and policies can be compared.
    PairAccuracy, "Accuracy on pairs" => {
        AccuracyHeldOut, "accuracy/held_out", "fraction", Higher, "Share of the watched held-out pairs whose chosen reward is strictly above the rejected one: by the score of a reward model, by the implicit reward of a policy. As a final figure: after the last update.";
        AccuracyTrain, "accuracy/train", "fraction", Neither, "The same over a fixed set of training pairs.";
        AccuracyGap, "accuracy/gap", "fraction", Lower, "`accuracy/train` minus `accuracy/held_out`: the overfitting gap.";
        AccuracyPeak, "accuracy/peak", "fraction", Higher, "Largest `accuracy/held_out` of the run, the look before the first update left out, as in every figure of a whole curve.";
        AccuracyPeakPass, "accuracy/peak_pass", "passes", Neither, "Passes over the training pairs at the first look with that accuracy.";
        AccuracyDrop, "accuracy/drop", "fraction", Lower, "`accuracy/peak` minus `accuracy/held_out` after the last update.";
        AccuracyFluctuation, "accuracy/fluctuation", "fraction", Lower, "Standard deviation (n - 1) of the changes of `accuracy/held_out` from one look to the next.";
        AccuracyTrainFluctuation, "accuracy/train_fluctuation", "fraction", Lower, "The same of `accuracy/train`.";
        AccuracyGapFirstPass, "accuracy/gap_first_pass", "fraction", Lower, "Mean of `accuracy/gap` over the looks in the second half of the first pass over the training pairs.";
        AccuracyGapSecondPass, "accuracy/gap_second_pass", "fraction", Lower, "The same for the second pass.";
        AccuracySecondPassChange, "accuracy/second_pass_change", "fraction", Higher, "Mean of `accuracy/held_out` over the looks in the second half of the second pass, minus that of the first pass: below 0 where a second pass overfits.";
        AccuracyHeldOutLoss, "accuracy/held_out_loss", "nats", Lower, "Mean over the watched held-out pairs of -log sigmoid of chosen minus rejected reward.";
        AccuracyTrainLoss, "accuracy/train_loss", "nats", Neither, "The same over the fixed training pairs.";
        AccuracyLossRise, "accuracy/loss_rise", "nats", Lower, "`accuracy/held_out_loss` after the last update minus its smallest value of the run.";
        AccuracySecondPassLossChange, "accuracy/second_pass_loss_change", "nats", Lower, "Mean of `accuracy/held_out_loss` over the looks in the second half of the second pass, minus that of the first pass.";
    }
    /// Logged by PPO and the critic-free trainers on the same rollouts.
    Ppo, "PPO, RLOO and GRPO" => {
        ObjectiveKl, "objective/kl", "nats per answer", Lower, "Mean over sampled answers of the summed token terms log policy - log reference (k1).";
        ObjectiveKlK1, "objective/kl_k1", "nats per token", Lower, "Mean over sampled tokens of k1 = log policy - log reference.";
        ObjectiveKlK2, "objective/kl_k2", "nats per token", Lower, "Mean over sampled tokens of k2 = (log policy - log reference)^2 / 2.";
        ObjectiveKlK3, "objective/kl_k3", "nats per token", Lower, "Mean over sampled tokens of k3 = r - 1 - log r with log r = log reference - log policy.";
        ObjectiveKlExact, "objective/kl_exact", "nats per answer", Lower, "Mean over sampled answers of the sum over token positions of the exact KL of policy from reference over the whole vocabulary.";
        ObjectiveSqrtKl, "objective/sqrt_kl", "sqrt nats", Lower, "Square root of `objective/kl_exact`: the distance of over-optimisation curves.";
        ObjectiveEntropy, "objective/entropy", "nats per answer", Neither, "Mean over sampled answers of the summed token terms -log policy.";
        ObjectiveNonScoreReward, "objective/non_score_reward", "reward", Higher, "Mean over sampled answers of the summed KL part of the reward, -coefficient times the KL terms.";
        ObjectiveRlhfReward, "objective/rlhf_reward", "reward", Higher, "Mean over sampled answers of score plus `non_score_reward`: what PPO maximises.";
        ObjectiveScores, "objective/scores", "reward", Higher, "Mean over sampled answers of the reward-model score, before the KL part, after penalties and clipping.";
        ObjectiveScoresStd, "objective/scores_std", "reward", Neither, "Standard deviation (n - 1) over sampled answers of the score.";
        ObjectiveRawScores, "objective/raw_scores", "reward", Higher, "Mean over sampled answers of the reward-model score before scaling, clipping and penalties.";
        ObjectiveClippedScores, "objective/clipped_scores", "fraction", Neither, "Share of sampled answers whose score reached the clipping bound.";
        ObjectiveValidationScore, "objective/validation_score", "reward", Higher, "Mean over the minibatch's answers of the score during the policy's last pass, as the N+ program logs it.";
        ObjectiveKlCoef, "objective/kl_coef", "coefficient", Neither, "KL coefficient used by the update.";
        ObjectiveGold, "objective/gold", "score", Higher, "Mean over sampled answers of the task's gold score, where it is computed on rollouts; never part of the reward.";
        ObjectiveRewardScale, "objective/reward_scale", "reward", Neither, "Running standard deviation by which the scores are divided.";
        ObjectiveLengthPenalty, "objective/length_penalty", "reward", Neither, "Mean over sampled answers of the length penalty added to the score.";
        PolicyApproxkl, "policy/approxkl_avg", "nats per token", Neither, "Mean over minibatches and tokens of (log policy - log policy at sampling)^2 / 2.";
        PolicyKlK3, "policy/kl_k3_avg", "nats per token", Neither, "Mean over minibatches and tokens of ratio - 1 - log ratio, ratio = policy / policy at sampling.";
        PolicyClipfrac, "policy/clipfrac_avg", "fraction", Neither, "Share of tokens, over minibatches, whose clipped term is the larger loss.";
        PolicyClipfracLow, "policy/clipfrac_low_avg", "fraction", Neither, "Share of tokens, over minibatches, clipped at the lower bound of the ratio.";
        PolicyClipfracHigh, "policy/clipfrac_high_avg", "fraction", Neither, "Share of tokens, over minibatches, clipped at the upper bound of the ratio.";
        PolicyClipfracDual, "policy/clipfrac_dual_avg", "fraction", Neither, "Share of tokens, over minibatches, held by the dual clip (negative advantage, ratio above its bound).";
        PolicyEntropy, "policy/entropy_avg", "nats per token", Neither, "Mean over minibatches and tokens of the entropy of the policy's next-token distribution at the rollout temperature.";
        PolicyGradNorm, "policy/grad_norm", "norm", Neither, "Mean over minibatches of the policy gradient's Euclidean norm, before clipping.";
        PolicyEpochs, "policy/epochs", "passes", Neither, "Passes over the rollout that were made before the target-KL stop, or all of them.";
        PolicyLearns, "policy/learns", "flag", Neither, "1 when the update changed the policy, 0 during critic warm-up.";
        LossPolicy, "loss/policy_avg", "loss", Lower, "Mean over minibatches of the clipped policy loss.";
        LossValue, "loss/value_avg", "squared reward", Lower, "Mean over minibatches of the value loss, before its coefficient.";
        LossEntropy, "loss/entropy_avg", "nats per token", Neither, "Mean over minibatches of the entropy bonus, before its coefficient.";
        LossKl, "loss/kl_avg", "nats per token", Lower, "Mean over minibatches of the KL term that is part of the loss, before its coefficient (GRPO, or KL in the loss).";
        LossTotal, "loss/total", "loss", Lower, "Mean over minibatches of the weighted sum that is minimised.";
        ValClipfrac, "val/clipfrac_avg", "fraction", Neither, "Share of tokens, over minibatches, whose clipped value term is the larger loss.";
        ValRatio, "val/ratio", "ratio", Neither, "Mean over minibatches and tokens of policy / policy at sampling.";
        ValRatioVar, "val/ratio_var", "squared ratio", Neither, "Variance (n - 1) over the update's minibatches of their mean ratio.";
        ValRatioMax, "val/ratio_max", "ratio", Neither, "Largest ratio of the update's tokens.";
        ValNumEosTokens, "val/num_eos_tokens", "tokens", Neither, "End-of-sequence tokens among the rollout's sampled tokens.";
        ValMissingEos, "val/missing_eos", "fraction", Lower, "Share of sampled answers without an end-of-sequence token.";
        ValError, "val/error", "squared reward", Lower, "Mean over tokens of (value - return)^2 before the update.";
        ValMean, "val/mean", "reward", Neither, "Mean over tokens of the value predicted at sampling.";
        ValVar, "val/var", "squared reward", Neither, "Variance (n - 1) over tokens of the value predicted at sampling.";
        ValVpred, "val/vpred", "reward", Neither, "Mean over minibatches and tokens of the value predicted during the update.";
        ValExplainedVariance, "val/explained_variance", "fraction", Higher, "1 - variance of (return - value at sampling) / variance of return, over the rollout's tokens.";
        ValAdvantage, "val/advantage", "reward", Neither, "Mean over tokens of the advantage, as the policy loss uses it.";
        ValAdvantageVar, "val/advantage_var", "squared reward", Neither, "Variance (n - 1) over tokens of the advantage, as the policy loss uses it.";
        ValGradNorm, "val/grad_norm", "norm", Neither, "Mean over minibatches of the value gradient's Euclidean norm, before clipping.";
        ReturnsMean, "returns/mean", "reward", Neither, "Mean over tokens of the return, the value's target.";
        ReturnsVar, "returns/var", "squared reward", Neither, "Variance (n - 1) over tokens of the return.";
        Lr, "lr", "rate", Neither, "Learning rate of the policy used by the update.";
        Episode, "episode", "answers", Neither, "Answers sampled for training so far.";
        Eps, "eps", "answers per second", Higher, "Answers sampled for training so far divided by the seconds since the start.";
        GroupRewardStd, "reward_std", "reward", Neither, "Mean over prompts of the standard deviation (n - 1) of their sampled answers' rewards (RLOO, GRPO).";
        GroupZeroStd, "frac_reward_zero_std", "fraction", Lower, "Share of prompts whose sampled answers all got the same reward (RLOO, GRPO): no signal.";
        RolloutLength, "rollout/length", "tokens", Neither, "Mean length of the sampled answers.";
        RolloutLogpMismatchMax, "rollout/logp_mismatch_max", "nats", Lower, "Largest absolute difference over tokens between the log-prob kept while sampling and the one recomputed for training, before the first minibatch.";
        RolloutLogpMismatchMean, "rollout/logp_mismatch_mean", "nats", Lower, "Mean absolute difference over tokens between the log-prob kept while sampling and the one recomputed for training.";
        ReferenceDistance, "objective/reference_ema_kl", "nats per answer", Neither, "Mean over sampled answers of the summed log moving reference - log first reference (reference EMA).";
    }
    /// What happens to the policy while it learns from preferences (the paper's properties).
    Dynamics, "Dynamics of preference training" => {
        DynamicsLogpsChosen, "dynamics/logps/chosen", "nats per answer", Neither, "Mean over the probe pairs of the chosen answer's log-prob under the policy, summed over its tokens.";
        DynamicsLogpsRejected, "dynamics/logps/rejected", "nats per answer", Neither, "The same for the probe pairs' rejected answers.";
        DynamicsLogpsUnseen, "dynamics/logps/unseen", "nats per answer", Neither, "The same for the probe's unseen answers: held-out samples of the start model, in no pair.";
        DynamicsLogpsOtherPrompts, "dynamics/logps/other_prompts", "nats per answer", Neither, "The same for chosen answers of other prompts, put after this one.";
        DynamicsLogpsRandom, "dynamics/logps/random", "nats per answer", Neither, "The same for continuations of uniformly random tokens.";
        DynamicsMeanLogpChosen, "dynamics/logps_mean/chosen", "nats per token", Neither, "Mean over the probe pairs of the chosen answer's log-prob divided by its length.";
        DynamicsMeanLogpRejected, "dynamics/logps_mean/rejected", "nats per token", Neither, "The same for the probe pairs' rejected answers.";
        DynamicsMeanLogpUnseen, "dynamics/logps_mean/unseen", "nats per token", Neither, "The same for the probe's unseen answers: held-out samples of the start model.";
        DynamicsMeanLogpOtherPrompts, "dynamics/logps_mean/other_prompts", "nats per token", Neither, "The same for chosen answers of other prompts.";
        DynamicsMeanLogpRandom, "dynamics/logps_mean/random", "nats per token", Neither, "The same for continuations of uniformly random tokens.";
        DynamicsChangeChosen, "dynamics/logps_change/chosen", "nats per token", Neither, "`dynamics/logps_mean/chosen` minus its value at step 0.";
        DynamicsChangeRejected, "dynamics/logps_change/rejected", "nats per token", Neither, "`dynamics/logps_mean/rejected` minus its value at step 0.";
        DynamicsChangeUnseen, "dynamics/logps_change/unseen", "nats per token", Neither, "`dynamics/logps_mean/unseen` minus its value at step 0.";
        DynamicsChangeOtherPrompts, "dynamics/logps_change/other_prompts", "nats per token", Neither, "`dynamics/logps_mean/other_prompts` minus its value at step 0.";
        DynamicsChangeRandom, "dynamics/logps_change/random", "nats per token", Neither, "`dynamics/logps_mean/random` minus its value at step 0.";
        DynamicsLogGradientChosen, "dynamics/log_gradient/chosen", "nats", Neither, "Log of the mean over the update's pairs of |d loss / d likelihood of the chosen answer|, averaged in log space.";
        DynamicsLogGradientRejected, "dynamics/log_gradient/rejected", "nats", Neither, "The same with respect to the likelihood of the rejected answer.";
        DynamicsLogGradientRatio, "dynamics/log_gradient/ratio", "nats", Neither, "Mean over the update's pairs of log |d loss / d rejected likelihood| - log |d loss / d chosen likelihood|.";
        DynamicsLogpGradientChosen, "dynamics/logp_gradient/chosen", "loss per nat", Neither, "Mean over the update's pairs of |d loss / d log-prob of the chosen answer|.";
        DynamicsLogpGradientRejected, "dynamics/logp_gradient/rejected", "loss per nat", Neither, "The same with respect to the log-prob of the rejected answer.";
        DynamicsGradientNormChosen, "dynamics/gradient_norm/chosen", "norm", Neither, "Euclidean norm over the observed parameters of the gradient part that comes through the chosen answers' log-probs.";
        DynamicsGradientNormRejected, "dynamics/gradient_norm/rejected", "norm", Neither, "The same through the rejected answers' log-probs.";
        DynamicsGradientNormRatio, "dynamics/gradient_norm/ratio", "ratio", Neither, "`dynamics/gradient_norm/rejected` divided by `dynamics/gradient_norm/chosen`.";
        DynamicsGradientCosine, "dynamics/gradient_cosine", "cosine", Neither, "Cosine of the angle between the chosen and the rejected gradient parts over the observed parameters.";
        DynamicsMassOutside, "dynamics/mass_outside", "fraction", Lower, "Mean over the probe pairs' token positions of the next-token probability on tokens other than the answer's own there, minus its value at step 0.";
        DynamicsTokenChangeChosen, "dynamics/token_change/chosen", "nats per token", Neither, "Mean over the chosen answers' tokens of log-prob minus log-prob at step 0 (as a histogram: the tokens themselves).";
        DynamicsTokenChangeRejected, "dynamics/token_change/rejected", "nats per token", Neither, "The same over the rejected answers' tokens.";
        DynamicsTokenGainMax, "dynamics/token_gain/max", "fraction", Neither, "Largest gain since step 0 of one token's mean next-token probability over the probe's positions.";
        DynamicsTokenGainOutside, "dynamics/token_gain/outside", "fraction", Neither, "Sum over tokens that are not the answer's own at a position of the gains of next-token probability since step 0, mean over the probe's positions.";
        DynamicsChes, "dynamics/ches", "squared hidden", Neither, "Mean over the probe pairs of the length-normalised centred hidden embedding similarity of chosen and rejected answer (Razin et al. 2024).";
        DynamicsChesCorrelation, "dynamics/ches_correlation", "correlation", Neither, "Spearman rank correlation over the probe pairs of CHES at step 0 with the change since step 0 of the chosen answer's log-prob.";
        DynamicsEntropy, "dynamics/entropy", "nats per token", Neither, "Mean over the probe answers' token positions of the entropy of the policy's next-token distribution.";
        DynamicsDistinct1, "dynamics/distinct_1", "fraction", Neither, "Distinct tokens divided by all tokens of the answers sampled at a look, and in the records at the evaluation, all answers together.";
        DynamicsDistinct2, "dynamics/distinct_2", "fraction", Neither, "The same for pairs of neighbouring tokens.";
        DynamicsDistinct3, "dynamics/distinct_3", "fraction", Neither, "The same for triples of neighbouring tokens.";
        DynamicsRepetition, "dynamics/repetition", "fraction", Lower, "Mean over sampled answers of the share of their token triples that occurred earlier in the same answer.";
        DynamicsLength, "dynamics/length", "tokens", Neither, "Mean length of the answers sampled at a look.";
        DynamicsEosRate, "dynamics/eos_rate", "fraction", Higher, "Share of the answers sampled at a look that ended by themselves, before the length limit.";
        DynamicsGold, "dynamics/gold", "score", Higher, "Mean gold score of the answers to validation prompts sampled at a look.";
        DynamicsKl, "dynamics/kl", "nats per answer", Neither, "Mean over the answers sampled at the evaluation of the exact KL of policy from reference, summed over token positions.";
        DetectorDrop, "dynamics/detector/drop", "strength", Lower, "Strength of the drastic drop of the rejected likelihood, as the 3D detector defines it.";
        DetectorDegradation, "dynamics/detector/degradation", "strength", Lower, "Strength of the degradation of the chosen likelihood, as the 3D detector defines it.";
        DetectorDispersion, "dynamics/detector/dispersion", "strength", Lower, "Strength of the dispersion of mass on unseen answers, as the 3D detector defines it.";
        DetectorFlagged, "dynamics/detector/flagged", "flag", Lower, "1 where the 3D detector sees the drop together with degradation or dispersion, 0 otherwise.";
        DetectorDropOnset, "dynamics/detector/drop_onset", "steps", Higher, "First step at which the drop is flagged; absent when it never is.";
        DetectorDegradationOnset, "dynamics/detector/degradation_onset", "steps", Higher, "First step at which the degradation is flagged; absent when it never is.";
        DetectorDispersionOnset, "dynamics/detector/dispersion_onset", "steps", Higher, "First step at which the dispersion is flagged; absent when it never is.";
    }
    /// How the preference pairs came to be.
    Pairs, "Preference pairs" => {
        PairsKept, "pairs/kept", "pairs", Neither, "Pairs made: prompts whose candidates differ in gold score.";
        PairsDroppedUniform, "pairs/dropped_uniform", "prompts", Lower, "Prompts dropped because all candidates were equally good or bad.";
        PairsDroppedBroken, "pairs/dropped_broken", "pairs", Lower, "Pairs dropped because the sides are identical, empty or too long.";
        PairsGoldChosen, "pairs/gold_chosen", "score", Higher, "Mean gold score of the chosen answers.";
        PairsGoldRejected, "pairs/gold_rejected", "score", Lower, "Mean gold score of the rejected answers.";
        PairsGoldMargin, "pairs/gold_margin", "score", Higher, "Mean over pairs of chosen minus rejected gold score.";
        PairsGoldCandidates, "pairs/gold_candidates", "score", Higher, "Mean gold score of all candidates sampled from the start model.";
        PairsFlipped, "pairs/flipped", "fraction", Lower, "Share of pairs whose label the judge's noise turned round.";
        PairsLogpChosen, "pairs/logp_chosen", "nats per token", Neither, "Mean over pairs of the chosen answer's log-prob under the start divided by its length: how on-policy the chosen answers are.";
        PairsLogpRejected, "pairs/logp_rejected", "nats per token", Neither, "The same for the rejected answers.";
        PairsLengthChosen, "pairs/length_chosen", "tokens", Neither, "Mean length of the chosen answers.";
        PairsLengthRejected, "pairs/length_rejected", "tokens", Neither, "Mean length of the rejected answers.";
    }
    /// What a cell has spent so far, in currencies that do not depend on the machine.
    Budget, "Budget" => {
        BudgetUpdates, "budget/updates", "updates", Lower, "Optimiser updates made by the arm so far.";
        BudgetTrainedTokens, "budget/trained_tokens", "tokens", Lower, "Tokens that went through a backward pass so far, prompt and completion, without padding.";
        BudgetGeneratedTokens, "budget/generated_tokens", "tokens", Lower, "Tokens sampled for training so far (candidates or rollouts; not the evaluation).";
        BudgetFlops, "budget/flops", "FLOPs", Lower, "Floating-point operations so far by formula: forward and backward passes, sampling, scoring and reference passes; not the evaluation.";
        BudgetRewardCalls, "budget/reward_calls", "answers", Lower, "Answers scored by the reward model so far.";
        BudgetGoldCalls, "budget/gold_calls", "answers", Lower, "Answers scored by the task's gold judge so far (to make pairs; not the evaluation).";
        BudgetExamples, "budget/examples", "examples", Lower, "Training examples (pairs, answers, rollouts) used by updates so far, repeats counted.";
        BudgetPadding, "budget/padding_share", "fraction", Lower, "Share of padding among the token positions computed by training so far.";
    }
    /// Wall-clock readings: never the same twice, left out of every comparison of records.
    WallClock, "Wall clock and machine" => {
        BudgetSeconds, "budget/seconds", "seconds", Lower, "Wall-clock seconds spent by the arm so far, without the evaluation.";
        TimingStep, "timing/step", "seconds", Lower, "Wall-clock seconds of the last update, logging included.";
        TimingGenerate, "timing/generate", "seconds", Lower, "Wall-clock seconds of the last update spent sampling.";
        TimingScore, "timing/score", "seconds", Lower, "Wall-clock seconds of the last update spent in reward and reference models.";
        TimingTrain, "timing/train", "seconds", Lower, "Wall-clock seconds of the last update spent in forward and backward passes and the optimiser.";
        TimingDynamics, "timing/dynamics", "seconds", Lower, "Wall-clock seconds of the last update spent measuring the dynamics.";
        TimingAccuracy, "timing/accuracy", "seconds", Lower, "Wall-clock seconds of the last look at the accuracy on pairs.";
        TimingEvaluate, "timing/evaluate", "seconds", Lower, "Wall-clock seconds of the last evaluation.";
        TokensPerSecond, "timing/tokens_per_second", "tokens per second", Higher, "Tokens trained in the last update divided by its seconds.";
        GeneratedPerSecond, "timing/generated_tokens_per_second", "tokens per second", Higher, "Tokens sampled in the last update divided by the seconds spent sampling.";
        PeakMemory, "timing/peak_memory", "bytes", Lower, "Largest resident memory of the process so far.";
    }
    /// The task's gold judge on held-out prompts.
    Task, "Task scores" => {
        TaskGold, "task/gold", "score", Higher, "Mean over the test prompts of the gold score of one sampled answer each.";
        TaskRows, "task/rows", "score", Higher, "Verse: mean over the test prompts of the row-number score.";
        TaskWords, "task/words", "score", Higher, "Verse: mean over the test prompts of the words-per-row score.";
        TaskRhyme, "task/rhyme", "score", Higher, "Verse: mean over the test prompts of the rhyme score.";
        TaskTone, "task/tone", "score", Higher, "Verse: mean over the test prompts of the tone-pattern score.";
        TaskTitle, "task/title", "score", Higher, "Verse: mean over the test prompts of the title score.";
        TaskRubric, "task/rubric", "points", Higher, "Arithmetic: mean over the test prompts of the 1-5 rubric.";
        TaskFivePoints, "task/five_points", "fraction", Higher, "Arithmetic: share of the test prompts whose answer gets 5 points (right result, right and complete working).";
        TaskFourFivePoints, "task/four_five_points", "fraction", Higher, "Arithmetic: share of the test prompts whose answer gets 4 or 5 points (right result).";
        TaskResult, "task/result", "fraction", Higher, "Arithmetic: share of the test prompts with the right final number.";
        TaskProcess, "task/process", "fraction", Higher, "Arithmetic: mean over the test prompts of the share of right steps of the working.";
        TaskWordCount, "task/word_count", "score", Higher, "Slogan: mean over the test prompts of the word-count score.";
        TaskContentWords, "task/content_words", "score", Higher, "Slogan: mean over the test prompts of the content-word score.";
        TaskLength, "task/length", "tokens", Neither, "Mean over the test prompts of the sampled answer's length.";
        TaskEosRate, "task/eos_rate", "fraction", Higher, "Share of the test prompts whose sampled answer ended by itself.";
        TaskKl, "task/kl", "nats per answer", Neither, "Mean over the test prompts' sampled answers of the exact KL of policy from the SFT start, summed over token positions.";
        TaskProxyReward, "task/proxy_reward", "reward", Higher, "Mean over the test prompts' sampled answers of the reward-model score.";
        TaskWinRate, "task/win_rate", "fraction", Higher, "Share of test prompts on which the arm's answer has a higher gold score than the SFT start's; ties count one half.";
        OodGold, "ood/gold", "score", Higher, "`task/gold` on the second, differently distributed test set.";
        OodRubric, "ood/rubric", "points", Higher, "`task/rubric` on the second test set.";
        OodFivePoints, "ood/five_points", "fraction", Higher, "`task/five_points` on the second test set.";
        OodFourFivePoints, "ood/four_five_points", "fraction", Higher, "`task/four_five_points` on the second test set.";
        OodResult, "ood/result", "fraction", Higher, "`task/result` on the second test set.";
        OodProcess, "ood/process", "fraction", Higher, "`task/process` on the second test set.";
        OodLength, "ood/length", "tokens", Neither, "`task/length` on the second test set.";
        OodKl, "ood/kl", "nats per answer", Neither, "`task/kl` on the second test set.";
    }
    /// The paper's toy model. Likelihoods are logged as logs: they fall far below what a 32-bit number can hold.
    Toy, "Toy model" => {
        ToyLogChosenMean, "toy/log_likelihood/chosen_mean", "nats", Higher, "Log of the mean over prompts of the likelihood of the prompt's own chosen response.";
        ToyLogChosenMin, "toy/log_likelihood/chosen_min", "nats", Higher, "Log of the smallest over prompts of that likelihood.";
        ToyLogRejectedMean, "toy/log_likelihood/rejected_mean", "nats", Lower, "Log of the mean over prompts and rejected responses of their likelihood.";
        ToyLogRejectedMax, "toy/log_likelihood/rejected_max", "nats", Lower, "Log of the largest over prompts and rejected responses of their likelihood.";
        ToyLogUnseenMean, "toy/log_likelihood/unseen_mean", "nats", Lower, "Log of the mean over prompts and unseen responses of their likelihood.";
        ToyMassChosen, "toy/mass/chosen", "fraction", Higher, "Mean over prompts of the probability on the prompt's own chosen response.";
        ToyMassOtherChosen, "toy/mass/other_chosen", "fraction", Lower, "Mean over prompts of the probability on other prompts' chosen responses.";
        ToyMassRejected, "toy/mass/rejected", "fraction", Lower, "Mean over prompts of the probability on rejected responses.";
        ToyMassUnseen, "toy/mass/unseen", "fraction", Lower, "Mean over prompts of the probability on unseen responses.";
        ToyLogGradientChosen, "toy/log_gradient/chosen", "nats", Neither, "Mean over the epoch's pairs of log |d loss / d likelihood of the chosen response|.";
        ToyLogGradientRejected, "toy/log_gradient/rejected", "nats", Neither, "Mean over the epoch's pairs of log |d loss / d likelihood of the rejected response|.";
        ToyLoss, "toy/loss", "objective's own", Lower, "Mean over the epoch's pairs of the objective.";
        ToyTotalVariation, "toy/total_variation", "fraction", Lower, "Mean over prompts of the total variation distance from the exact KL-regularised optimum.";
        ToyKlToOptimum, "toy/kl_to_optimum", "nats", Lower, "Mean over prompts of the KL of policy from the exact KL-regularised optimum.";
        ToyKlToStart, "toy/kl_to_start", "nats", Neither, "Mean over prompts of the KL of policy from the start.";
        ToyEntropy, "toy/entropy", "nats", Neither, "Mean over prompts of the policy's entropy.";
    }
}

tags! {
    /// A text in the log.
    Text {
        Settings, "run/settings", "The cell's complete settings, as TOML.";
        Samples, "samples/answers", "Answers sampled at the evaluation: prompt, answer, gold score.";
        Verdict, "dynamics/verdict", "The 3D detector's verdict, onset and suggested remedy.";
        TokenGains, "dynamics/token_gains", "The tokens whose mean next-token probability gained most since step 0.";
        RolloutAlarm, "rollout/alarm", "Per-token table of one rollout, written when its KL is negative beyond noise or its log-probs disagree.";
        DataReport, "pairs/report", "What was found wrong with the preference data and dropped.";
    }
}

tags! {
    /// An image in the log.
    Image {
        ToyLikelihoods, "toy/figure/likelihoods", "Likelihood curves of one arm and scenario (the paper's figure 2).";
        ToyGradients, "toy/figure/gradients", "Gradient curves of one arm and scenario (the paper's figure 2).";
        ToyScenarios, "toy/figure/scenarios", "The four scenarios side by side (the paper's figure 3).";
        ToyPolicyStart, "toy/figure/policy_start", "The policy before preference training, prompts by responses (the paper's figure 1).";
        ToyPolicyEnd, "toy/figure/policy_end", "The policy after preference training, prompts by responses (the paper's figure 1).";
        ToyMap, "toy/figure/map", "Where the three properties appear over two settings.";
        Curves, "figure/curves", "Curves of a finished run.";
    }
}

impl Metric {
    /// Whether the value is the same when the same cell is run again on the CPU: false for wall-clock readings only.
    pub const fn reproducible(self) -> bool {
        !matches!(self.section(), Section::WallClock) && !matches!(self, Metric::Eps)
    }

    /// The metric of a task's criterion, by the criterion's name: `rhyme` is `task/rhyme`.
    pub fn of_criterion(criterion: &str) -> Option<Metric> {
        Metric::from_tag(&format!("task/{criterion}"))
    }

    /// The tag of the metric's histogram. TensorBoard shows a tag in one tab only, so a histogram needs a tag of its own.
    pub fn histogram_tag(self) -> String {
        format!("{}/histogram", self.tag())
    }
}

impl std::fmt::Display for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.tag())
    }
}

impl serde::Serialize for Metric {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.tag())
    }
}

impl<'de> serde::Deserialize<'de> for Metric {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let tag = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Metric::from_tag(&tag).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "expected a tag of the metrics catalogue, found `{tag}`"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn tags_are_unique_over_scalars_histograms_texts_and_images() {
        let mut seen = BTreeSet::new();
        let tags = (Metric::ALL
            .iter()
            .flat_map(|m| [m.tag().to_owned(), m.histogram_tag()]))
        .chain(Text::ALL.iter().map(|t| t.tag().to_owned()))
        .chain(Image::ALL.iter().map(|t| t.tag().to_owned()));
        for tag in tags {
            assert!(seen.insert(tag.clone()), "`{tag}` twice");
        }
    }

    #[test]
    fn a_tag_leads_back_to_its_metric() {
        for &metric in Metric::ALL {
            assert_eq!(Metric::from_tag(metric.tag()), Some(metric));
            let json = serde_json::to_string(&metric).unwrap();
            assert_eq!(serde_json::from_str::<Metric>(&json).unwrap(), metric);
        }
        assert_eq!(Metric::from_tag("no/such/tag"), None);
    }

    #[test]
    fn sections_hold_every_metric_once_and_in_order() {
        let listed: Vec<Metric> = Section::ALL
            .iter()
            .flat_map(|s| s.metrics())
            .copied()
            .collect();
        assert_eq!(listed, Metric::ALL);
        assert!(Metric::ALL.is_sorted());
        for &section in Section::ALL {
            assert!(section.metrics().iter().all(|m| m.section() == section));
        }
    }

    #[test]
    fn every_definition_is_a_sentence_and_every_tag_is_lower_case() {
        for metric in Metric::ALL {
            let meaning = metric.meaning();
            assert!(
                meaning.ends_with('.') && meaning.len() > 15,
                "{metric}: {meaning}"
            );
            assert!(!metric.unit().is_empty());
            let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_/".contains(c);
            assert!(metric.tag().chars().all(fits), "{metric}");
        }
    }

    #[test]
    fn the_tags_of_published_curves_are_here() {
        // TRL 1.16 DPO; TRL reward trainer; the N+ set as TRL logs it.
        let published = "loss grad_norm learning_rate rewards/chosen rewards/rejected rewards/accuracies rewards/margins logps/chosen \
            logps/rejected logits/chosen logits/rejected entropy mean_token_accuracy num_tokens epoch accuracy margin min_reward \
            mean_reward max_reward objective/kl objective/entropy objective/non_score_reward objective/rlhf_reward objective/scores \
            policy/approxkl_avg policy/clipfrac_avg policy/entropy_avg loss/policy_avg loss/value_avg val/clipfrac_avg val/ratio \
            val/ratio_var val/num_eos_tokens lr episode eps eval_loss eval_rewards/chosen eval_accuracy";
        for tag in published.split_whitespace() {
            assert!(Metric::from_tag(tag).is_some(), "`{tag}` is missing");
        }
    }

    #[test]
    fn only_clocks_are_not_reproducible() {
        assert!(!Metric::BudgetSeconds.reproducible());
        assert!(!Metric::Eps.reproducible());
        assert!(Metric::BudgetFlops.reproducible());
        assert_eq!(Metric::of_criterion("rhyme"), Some(Metric::TaskRhyme));
    }
}
