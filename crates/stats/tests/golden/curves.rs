use preflab_stats::{
    AnovaTable, CorrelationVariance, Effect, Frontier, Optimizer, PERMUTATION_LIMIT, Smoother,
    SumsOfSquares, TwoWay, best_of_n, best_of_n_kl, best_of_n_with_replacement,
    correlation_interval, correlation_p, fit_overoptimization, kendall, linear_trend, mean,
    pass_at_k, pearson, sd, smoothing_ratios, spearman, spearman_permutations, steps,
    theil_sen_slope, variance, von_neumann_ratio,
};

use super::case::{Case, Golden, index, indices, number, numbers};

pub fn check(_: &Golden, case: &mut Case) {
    match case.kind() {
        "gao_bon_fit" => fit(case, Optimizer::BestOfN),
        "gao_rl_fit" => fit(case, Optimizer::ReinforcementLearning),
        "reward_at_kl" => reward_at_kl(case),
        "bon_kl" => {
            let kl: Vec<f64> = (indices(case.input("n")).iter())
                .map(|&n| best_of_n_kl(n as u64))
                .collect();
            case.list("kl", &kl);
            case.list(
                "sqrt_kl",
                &kl.iter().map(|kl| kl.sqrt()).collect::<Vec<_>>(),
            );
        }
        "best_of_n_unbiased" => {
            let (proxy, gold) = (numbers(case.input("proxy")), numbers(case.input("gold")));
            for (i, n) in indices(case.input("n")).into_iter().enumerate() {
                let replaced = best_of_n_with_replacement(&proxy, &gold, n).unwrap();
                case.close(
                    &format!("unbiased[{i}]"),
                    best_of_n(&proxy, &gold, n).unwrap(),
                );
                case.close(&format!("with_replacement[{i}]"), replaced);
            }
        }
        "pass_at_k" => {
            let rows = case.value["expected"]["rows"].as_array().unwrap();
            for (i, row) in rows.iter().enumerate() {
                let [n, c, k] = ["n", "c", "k"].map(|key| index(&row[key]));
                case.count(&format!("rows[{i}].n"), n);
                case.count(&format!("rows[{i}].c"), c);
                case.count(&format!("rows[{i}].k"), k);
                case.close(&format!("rows[{i}].pass_at_k"), pass_at_k(n, c, k).unwrap());
            }
        }
        "two_way_anova" => anova(case),
        "correlation" => correlation(case),
        "series_trend" => series(case),
        kind => panic!("{}: unknown kind {kind}", case.id()),
    }
}

fn fit(case: &mut Case, optimizer: Optimizer) {
    let (kl, reward) = (numbers(case.input("kl")), numbers(case.input("reward")));
    let fit = fit_overoptimization(&kl, &reward, optimizer).unwrap();
    case.count("n", kl.len());
    case.list("params", &fit.parameters);
    case.matrix("cov", &fit.covariance.map(Vec::from));
    case.list("se", &fit.se());
    for (i, interval) in fit.intervals(0.95).unwrap().into_iter().enumerate() {
        case.interval(&format!("ci95[{i}]"), interval);
    }
    case.close("rss", fit.rss);
    case.close("sigma2", fit.rss / fit.df);
    case.close("df", fit.df);
    case.close("r2_uncentered", fit.r2_uncentered);
    match fit.peak() {
        Some(peak) => {
            case.close("peak.d", peak.d);
            case.close("peak.kl", peak.d * peak.d);
            case.close("peak.reward", peak.reward);
            case.close("peak.zero_crossing_d", peak.zero_crossing_d);
            case.close("peak.d_se_delta", peak.d_se);
            case.close("peak.reward_se_delta", peak.reward_se);
        }
        None => case.null("peak"),
    }
    let at = numbers(&case.value["expected"]["predict"]["d"]);
    case.list("predict.d", &at);
    let predicted: Vec<f64> = at.iter().map(|&d| fit.predict(d)).collect();
    case.list("predict.reward", &predicted);
}

fn reward_at_kl(case: &mut Case) {
    let (kl, reward) = (numbers(case.input("kl")), numbers(case.input("reward")));
    let frontier = Frontier::new(&kl, &reward).unwrap();
    for (i, query) in numbers(case.input("query")).into_iter().enumerate() {
        let key = |key: &str| format!("rows[{i}].{key}");
        case.close(&key("kl"), query);
        case.flag(&key("in_range"), frontier.range().contains(query));
        case.optional(&key("sorted_mean_ties"), frontier.reward_at(query));
        case.close(&key("sorted_clamped"), frontier.reward_near(query));
        let crossings = frontier.crossings(query);
        let reward = |crossing: Option<&preflab_stats::Crossing>| crossing.map(|at| at.reward);
        case.optional(&key("path_first"), reward(crossings.first()));
        case.optional(&key("path_last"), reward(crossings.last()));
        for list in ["path_all", "path_segments"] {
            let recorded = case.value["expected"]["rows"][i][list]
                .as_array()
                .unwrap()
                .len();
            case.take(&key(list));
            if recorded != crossings.len() {
                case.fail(&key(list), recorded, crossings.len());
            }
        }
        for (j, crossing) in crossings.iter().enumerate() {
            case.close(&key(&format!("path_all[{j}]")), crossing.reward);
            case.count(&key(&format!("path_segments[{j}]")), crossing.segment);
        }
    }
}

fn correlation(case: &mut Case) {
    let (x, y) = (numbers(case.input("x")), numbers(case.input("y")));
    let n = x.len();
    case.count("n", n);
    let r = pearson(&x, &y);
    case.close("pearson.r", r);
    case.close("pearson.p", correlation_p(r, n));
    let interval = |r, variance| correlation_interval(r, n, 0.95, variance);
    case.interval(
        "pearson.ci95_fisher",
        interval(r, CorrelationVariance::Fisher),
    );
    let rho = spearman(&x, &y);
    case.close("spearman.rho", rho);
    case.close("spearman.p_t", correlation_p(rho, n));
    for (key, variance) in [
        ("ci95_fisher", CorrelationVariance::Fisher),
        ("ci95_fieller", CorrelationVariance::Fieller),
        ("ci95_bonett_wright", CorrelationVariance::BonettWright),
    ] {
        case.interval(&format!("spearman.{key}"), interval(rho, variance));
    }
    if n <= PERMUTATION_LIMIT {
        let exact = spearman_permutations(&x, &y).unwrap();
        let share = |count: u64| count as f64 / exact.total as f64;
        case.close("spearman.p_exact_permutation", share(exact.two_sided));
        case.close("spearman.p_exact_greater", share(exact.greater));
        case.count("spearman.permutations", exact.total as usize);
    }
    let kendall = kendall(&x, &y).unwrap();
    case.close("kendall_tau_b.tau", kendall.tau);
    case.close("kendall_tau_b.p", kendall.p);
}

/// Levels numbered in ascending order of their names.
fn levels(case: &Case, key: &str) -> Vec<usize> {
    let names: Vec<&str> = (case.input(key).as_array().unwrap().iter())
        .map(|name| name.as_str().unwrap())
        .collect();
    let mut distinct = names.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let place = |name: &&str| distinct.iter().position(|known| known == name).unwrap();
    names.iter().map(place).collect()
}

fn anova(case: &mut Case) {
    let design = TwoWay::new(
        &levels(case, "a"),
        &levels(case, "b"),
        &numbers(case.input("y")),
    )
    .unwrap();
    for (key, kind) in [
        ("type1", SumsOfSquares::Sequential),
        ("type2", SumsOfSquares::Hierarchical),
        ("type3", SumsOfSquares::Marginal),
    ] {
        let AnovaTable {
            intercept,
            a,
            b,
            interaction,
        } = design.table(kind);
        effect(case, &format!("{key}.a"), a);
        effect(case, &format!("{key}.b"), b);
        effect(case, &format!("{key}.a:b"), interaction);
        if let Some(intercept) = intercept {
            effect(case, &format!("{key}.Intercept"), intercept);
        }
        case.close(
            &format!("{key}.Residual.ss"),
            design.residual_sum_of_squares(),
        );
        case.close(&format!("{key}.Residual.df"), design.residual_df());
        case.null(&format!("{key}.Residual.F"));
        case.null(&format!("{key}.Residual.p"));
    }
    case.close("mse", design.mse());
    case.close(
        "interaction_partial_eta2",
        design.interaction_partial_eta2(),
    );
    case.close(
        "interaction_partial_omega2",
        design.interaction_partial_omega2(),
    );
    case.matrix("cell_means", &design.cell_means());
    for (i, row) in design.cell_counts().iter().enumerate() {
        for (j, &count) in row.iter().enumerate() {
            case.count(&format!("cell_counts[{i}][{j}]"), count);
        }
    }
    if let Some(contrast) = design.interaction_2x2(0.95).unwrap() {
        case.close("interaction_2x2.estimate", contrast.estimate);
        case.close("interaction_2x2.se", contrast.se);
        case.close("interaction_2x2.t", contrast.t);
        case.close("interaction_2x2.p", contrast.p);
        case.close("interaction_2x2.df", design.residual_df());
        case.interval("interaction_2x2.ci95", contrast.interval);
    }
    if let Some(found) = design.interaction_effects(0.95).unwrap() {
        case.matrix("interaction_effects.effects", &found.effects);
        case.close("interaction_effects.se", found.se);
        let limits = |of: fn(&preflab_stats::Interval) -> f64| -> Vec<Vec<f64>> {
            let rows = found.intervals.iter();
            rows.map(|row| row.iter().map(of).collect()).collect()
        };
        case.matrix(
            "interaction_effects.ci95_lo",
            &limits(|interval| interval.low),
        );
        case.matrix(
            "interaction_effects.ci95_hi",
            &limits(|interval| interval.high),
        );
    }
}

fn effect(case: &mut Case, key: &str, effect: Effect) {
    case.close(&format!("{key}.ss"), effect.sum_of_squares);
    case.close(&format!("{key}.df"), effect.df);
    case.close(&format!("{key}.F"), effect.f);
    case.close(&format!("{key}.p"), effect.p);
}

fn series(case: &mut Case) {
    let y = numbers(case.input("y"));
    let of_steps = steps(&y);
    case.count("n", y.len());
    case.close("step_sd", sd(&of_steps));
    case.close("step_mean", mean(&of_steps));
    let squares: Vec<f64> = of_steps.iter().map(|step| step * step).collect();
    case.close("step_rms", mean(&squares).sqrt());
    case.close("level_var", variance(&y));
    case.close("von_neumann_ratio", von_neumann_ratio(&y));
    let rows = case.value["expected"]["smoothed"].as_array().unwrap();
    for (i, row) in rows.iter().enumerate() {
        let param = number(&row["param"]);
        let key = |key: &str| format!("smoothed[{i}].{key}");
        case.take(&key("smoother"));
        case.close(&key("param"), param);
        let smoother = match row["smoother"].as_str() {
            Some("ema") => Smoother::Exponential { beta: param },
            Some("centered_mean_valid") => Smoother::CentredMean {
                window: param as usize,
            },
            other => panic!("{}: unknown smoother {other:?}", case.id()),
        };
        let (smoothed, _) = smoother.smooth(&y);
        case.list(&key("smoothed"), &smoothed);
        case.close(&key("step_sd_smoothed"), sd(&steps(&smoothed)));
        let ratios = smoothing_ratios(&y, smoother);
        case.close(&key("ratio_step_var"), ratios.steps);
        case.close(&key("ratio_level_var"), ratios.levels);
        case.close(
            &key("ratio_step_to_smoothed_level"),
            ratios.steps_to_smoothed_levels,
        );
        case.close(
            &key("residual_to_smoothed_var"),
            ratios.residual_to_smoothed,
        );
    }
    let trend = linear_trend(&y, 0.95).unwrap();
    case.close("linear_trend.slope", trend.slope);
    case.close("linear_trend.intercept", trend.intercept);
    case.close("linear_trend.se", trend.se);
    case.close("linear_trend.p", trend.p);
    case.close("linear_trend.r", trend.r);
    case.interval("linear_trend.ci95", trend.interval);
    case.close("theil_sen_slope", theil_sen_slope(&y));
}
