use preflab_stats::{
    Continuity, PValues, SignFlip, SumTies, TieCredit, Zeros, cliffs_delta, cohen_d_pooled,
    cohen_dav, cohen_dz, cohen_dz_interval, common_language_independent, common_language_paired,
    differences, hedges_gz, hedges_j, hedges_j_approximate, iqm, iqm_fractional, mad, mean, median,
    p_floor, paired_t_interval, paired_win_rate, pearson, population_sd,
    probability_of_superiority, quantile, sd, sem, sign_flip_exact, sign_test, signed_ranks,
    t_test,
};
use preflab_stats::{QuantileRule, SignedRanks};
use serde_json::Value;

use super::case::{Case, Golden, numbers};

pub fn check(golden: &Golden, case: &mut Case) {
    let data = &golden.root["datasets"][case.value["dataset"].as_str().unwrap()];
    let (a, b) = (numbers(&data["a"]), numbers(&data["b"]));
    let d = differences(&a, &b).unwrap();
    match case.kind() {
        "summary" => summary(case, &d),
        "paired_ttest" => {
            let test = t_test(&d).unwrap();
            case.close("statistic", test.statistic);
            case.close("df", test.df);
            p_values(case, test.p);
            case.interval("ci95", paired_t_interval(&a, &b, 0.95).unwrap());
            case.interval("ci99", paired_t_interval(&a, &b, 0.99).unwrap());
        }
        "signflip_exact" => sign_flip(case, data, &d),
        "sign_test" => {
            let test = sign_test(&d).unwrap();
            case.count("n_pos", test.positive);
            case.count("n_neg", test.negative);
            case.count("n_zero", test.zero);
            p_values(case, test.p);
            let m = (test.positive as f64 - test.negative as f64) / 2.0;
            case.close("statsmodels_M", m);
        }
        "probability_of_improvement" => {
            case.close("rliable_all_pairs", probability_of_superiority(&a, &b));
            let rate = |ties| paired_win_rate(&a, &b, ties).unwrap();
            case.close("paired_ties_half", rate(TieCredit::Half));
            case.close("paired_strict", rate(TieCredit::None));
            case.close("cles_paired_normal", common_language_paired(&d));
            case.close("cles_indep_normal", common_language_independent(&a, &b));
            case.close("cliffs_delta", cliffs_delta(&a, &b));
        }
        "wilcoxon_exact_enumeration" => {
            let ranks = signed_ranks(&d, zeros(case)).unwrap();
            let exact = ranks.exact().unwrap();
            case.close("r_plus", ranks.plus);
            case.close("r_minus", ranks.minus);
            case.count("n_ranked", ranks.ranked);
            case.count("n_nonzero", ranks.free.len());
            case.count("count_two_sided", exact.two_sided as usize);
            case.count("count_greater", exact.greater as usize);
            case.count("count_less", exact.less as usize);
            case.count("total", exact.total as usize);
            p_values(case, exact.p());
        }
        "wilcoxon_normal" => {
            let continuity = match case.value["source"]["arguments"]["correction"].as_bool() {
                Some(true) => Continuity::Correct,
                Some(false) => Continuity::Ignore,
                None => panic!("{}: no correction", case.id()),
            };
            let ranks = signed_ranks(&d, zeros(case)).unwrap();
            let normal = ranks.normal(continuity);
            case.close("statistic_min", ranks.statistic());
            case.close("r_plus", ranks.plus);
            case.close("r_minus", ranks.minus);
            case.close("z", normal.z);
            case.close("z_greater", normal.z_greater);
            p_values(case, normal.p);
        }
        "wilcoxon_scipy_auto" => {
            let ranks = signed_ranks(&d, zeros(case)).unwrap();
            case.close("statistic_min", ranks.statistic());
            p_values(case, automatic(&ranks, d.len()));
            let normal = ranks.normal(Continuity::Ignore);
            case.close("p_asymptotic", normal.p.two_sided);
        }
        "effect_size" => effect_size(case, &a, &b, &d),
        kind => panic!("{}: unknown kind {kind}", case.id()),
    }
}

fn summary(case: &mut Case, d: &[f64]) {
    case.count("n", d.len());
    case.close("mean", mean(d));
    case.close("median", median(d));
    case.close("std_ddof1", sd(d));
    case.close("std_ddof0", population_sd(d));
    case.close("sem", sem(d));
    case.close("min", d.iter().copied().fold(f64::INFINITY, f64::min));
    case.close("max", d.iter().copied().fold(f64::NEG_INFINITY, f64::max));
    case.close("iqm_trim", iqm(d));
    case.close("iqm_fractional", iqm_fractional(d));
    case.close("q25_linear", quantile(d, 0.25, QuantileRule::Linear));
    case.close("q75_linear", quantile(d, 0.75, QuantileRule::Linear));
    case.close("mad_raw", mad(d));
    let signs = sign_test(d).unwrap();
    case.count("n_pos", signs.positive);
    case.count("n_neg", signs.negative);
    case.count("n_zero", signs.zero);
}

fn p_values(case: &mut Case, p: PValues) {
    case.close("p_two_sided", p.two_sided);
    case.close("p_greater", p.greater);
    case.close("p_less", p.less);
}

fn zeros(case: &Case) -> Zeros {
    match case.value["source"]["arguments"]["zero_method"].as_str() {
        Some("wilcox") => Zeros::Drop,
        Some("pratt") => Zeros::RankThenDrop,
        Some("zsplit") => Zeros::Split,
        other => panic!("{}: unknown zero method {other:?}", case.id()),
    }
}

/// SciPy's choice: exact up to 50 pairs without ties and zeros, up to 13 with them, else normal.
fn automatic(ranks: &SignedRanks, n: usize) -> PValues {
    let plain = !ranks.has_ties() && ranks.zeros == 0;
    if n <= 13 || (plain && n <= 50) {
        ranks.exact().unwrap().p()
    } else {
        ranks.normal(Continuity::Ignore).p
    }
}

fn sign_flip(case: &mut Case, data: &Value, d: &[f64]) {
    let exact = sign_flip_exact(d, SumTies::Exact).unwrap();
    case.close("statistic_mean", mean(d));
    case.count("total", exact.total as usize);
    flips(case, "", exact);
    flips(
        case,
        "with_tolerance.",
        sign_flip_exact(d, SumTies::DECIMAL).unwrap(),
    );
    // The literals as integers of their last decimal: their differences are exact.
    let (a, b) = (decimals(&data["a"]), decimals(&data["b"]));
    let places = a.iter().chain(&b).map(|(_, places)| *places).max().unwrap();
    let whole = |&(digits, own): &(i64, u32)| (digits * 10i64.pow(places - own)) as f64;
    let integers: Vec<f64> = a.iter().zip(&b).map(|(a, b)| whole(a) - whole(b)).collect();
    flips(
        case,
        "decimal_inputs.",
        sign_flip_exact(&integers, SumTies::Exact).unwrap(),
    );
    case.close("min_attainable_p", p_floor(d.len()));
}

fn flips(case: &mut Case, prefix: &str, flips: SignFlip) {
    case.count(
        &format!("{prefix}count_two_sided"),
        flips.two_sided as usize,
    );
    case.count(&format!("{prefix}count_greater"), flips.greater as usize);
    case.count(&format!("{prefix}count_less"), flips.less as usize);
    let p = flips.p();
    case.close(&format!("{prefix}p_two_sided"), p.two_sided);
    case.close(&format!("{prefix}p_greater"), p.greater);
    case.close(&format!("{prefix}p_less"), p.less);
}

/// Digits and decimal places of each literal.
fn decimals(value: &Value) -> Vec<(i64, u32)> {
    numbers(value)
        .iter()
        .map(|number| {
            let text = number.to_string();
            let places = text
                .split_once('.')
                .map_or(0, |(_, tail)| tail.len() as u32);
            (text.replace('.', "").parse().unwrap(), places)
        })
        .collect()
}

fn effect_size(case: &mut Case, a: &[f64], b: &[f64], d: &[f64]) {
    let df = d.len() as f64 - 1.0;
    case.close("cohen_dz", cohen_dz(d));
    case.close("hedges_j_exact", hedges_j(df));
    case.close("hedges_j_approx", hedges_j_approximate(df));
    case.close("hedges_gz_exact", hedges_gz(d));
    case.close("hedges_gz_approx", hedges_j_approximate(df) * cohen_dz(d));
    case.close("cohen_dav", cohen_dav(a, b));
    case.close("cohen_d_pooled_indep", cohen_d_pooled(a, b));
    case.close("sd_a", sd(a));
    case.close("sd_b", sd(b));
    case.close("pearson_r_ab", pearson(a, b));
    // The recorded limits are themselves a quadrature, stated to be good to about 1e-8.
    let interval = cohen_dz_interval(d, 0.95).unwrap();
    case.close_within("cohen_dz_ci95_nct[0]", interval.low, 1e-8);
    case.close_within("cohen_dz_ci95_nct[1]", interval.high, 1e-8);
}
