//! The normal, Student, beta and noncentral t distributions, to about 1e-12.
//!
//! `statrs` supplies the special functions but `erfc`, of which it has ten digits and `libm` all. Its inverse of the incomplete beta function stops too early for some arguments, so quantiles are found
//! here by bisection of the distribution function; and it has no noncentral t.

use libm::erfc;
use statrs::function::beta::beta_reg;
use statrs::function::erf::erfc_inv;
use statrs::function::gamma::{gamma_ur, ln_gamma};

/// `P(Z <= x)` of a standard normal.
pub fn normal_cdf(x: f64) -> f64 {
    0.5 * erfc(-x / std::f64::consts::SQRT_2)
}

/// `P(Z >= x)` of a standard normal, without the cancellation of `1 - cdf`.
pub fn normal_sf(x: f64) -> f64 {
    normal_cdf(-x)
}

/// The `x` with `P(Z <= x) = p`; infinite at 0 and 1, NaN outside.
pub fn normal_quantile(p: f64) -> f64 {
    if p.is_nan() || !(0.0..=1.0).contains(&p) {
        return f64::NAN;
    }
    if p == 0.0 || p == 1.0 {
        return if p == 0.0 {
            f64::NEG_INFINITY
        } else {
            f64::INFINITY
        };
    }
    let x = -std::f64::consts::SQRT_2 * erfc_inv(2.0 * p);
    let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
    x - (normal_cdf(x) - p) / density
}

/// `P(|T| >= |t|)` of Student's t with `df` degrees of freedom (> 0, may be fractional).
pub fn t_two_sided(t: f64, df: f64) -> f64 {
    if t.is_nan() || df.is_nan() {
        return f64::NAN;
    }
    if t.is_infinite() {
        return 0.0;
    }
    beta_reg(0.5 * df, 0.5, df / (df + t * t))
}

/// `P(T >= t)` of Student's t.
pub fn t_sf(t: f64, df: f64) -> f64 {
    let tail = 0.5 * t_two_sided(t, df);
    if t < 0.0 { 1.0 - tail } else { tail }
}

/// The `t >= 0` with `P(|T| >= t) = alpha`: the two-sided critical value.
pub fn t_critical(alpha: f64, df: f64) -> f64 {
    let mut high = 2.0;
    while t_two_sided(high, df) > alpha {
        high *= 2.0;
    }
    bisect(0.0, high, |t| t_two_sided(t, df) - alpha)
}

/// `P(F >= f)` of Fisher's F.
pub fn f_sf(f: f64, df_numerator: f64, df_denominator: f64) -> f64 {
    if f.is_nan() {
        return f64::NAN;
    }
    if f.is_infinite() {
        return 0.0;
    }
    let x = df_denominator / (df_denominator + df_numerator * f);
    beta_reg(0.5 * df_denominator, 0.5 * df_numerator, x)
}

/// `P(X >= x)` of χ² with `df` degrees of freedom.
pub fn chi_squared_sf(x: f64, df: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    gamma_ur(0.5 * df, 0.5 * x)
}

/// The `x` with `I_x(a, b) = p`.
pub fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    bisect(0.0, 1.0, |x| beta_reg(a, b, x) - p)
}

/// `P(X <= k)` of a binomial with `n` trials and success probability 1/2; summed from the smaller tail.
pub fn fair_binomial_cdf(k: u64, n: u64) -> f64 {
    if k >= n {
        return 1.0;
    }
    if 2 * k >= n {
        return 1.0 - fair_binomial_cdf(n - k - 1, n);
    }
    (0..=k).map(|i| fair_binomial_pmf(i, n)).sum()
}

/// `P(X = k)` of a binomial with `n` trials and success probability 1/2.
pub fn fair_binomial_pmf(k: u64, n: u64) -> f64 {
    if k > n {
        return 0.0;
    }
    // The product keeps full precision; halving as it goes keeps it within range.
    let mut halvings = n;
    let mut value = 1.0;
    for i in 0..k.min(n - k) {
        value *= (n - i) as f64 / (i + 1) as f64;
        while value > 1.0 && halvings > 0 {
            value *= 0.5;
            halvings -= 1;
        }
    }
    value * (-(halvings as f64)).exp2()
}

/// `P(T <= t)` of the noncentral t: `T = (Z + delta) / s`, `s² ~ χ²_df / df`.
///
/// `F(t) = ∫ Φ(t s - δ) f(s) ds` over the density of `s`, by composite Gauss-Legendre quadrature
/// (Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions 2, ch. 31).
pub fn noncentral_t_cdf(t: f64, df: f64, delta: f64) -> f64 {
    over_scale(df, |s| normal_cdf(t * s - delta))
}

/// `P(T >= t)` of the noncentral t, without the cancellation of `1 - cdf`.
pub fn noncentral_t_sf(t: f64, df: f64, delta: f64) -> f64 {
    over_scale(df, |s| normal_cdf(delta - t * s))
}

/// Nodes and weights of the 10-point Gauss-Legendre rule on `[-1, 1]`, positive half (Abramowitz and Stegun, table 25.4).
const GAUSS_LEGENDRE_10: [(f64, f64); 5] = [
    (0.148_874_338_981_631_2, 0.295_524_224_714_752_9),
    (0.433_395_394_129_247_2, 0.269_266_719_309_996_4),
    (0.679_409_568_299_024_4, 0.219_086_362_515_982_04),
    (0.865_063_366_688_984_5, 0.149_451_349_150_580_6),
    (0.973_906_528_517_171_7, 0.066_671_344_308_688_14),
];

/// Panels of the quadrature over the scale.
const PANELS: usize = 160;

/// `E[g(s)]` for `s = sqrt(χ²_df / df)`.
fn over_scale(df: f64, g: impl Fn(f64) -> f64) -> f64 {
    let low = (1.0 - 9.0 / df.sqrt()).max(0.0);
    let high = 1.0 + 9.0 / df.sqrt();
    let log_constant = std::f64::consts::LN_2 + 0.5 * df * (0.5 * df).ln() - ln_gamma(0.5 * df);
    let weighted = |s: f64| {
        let log_density = log_constant + (df - 1.0) * s.ln() - 0.5 * df * s * s;
        log_density.exp() * g(s)
    };
    let half = 0.5 * (high - low) / PANELS as f64;
    let mut total = 0.0;
    for panel in 0..PANELS {
        let centre = low + half * (2 * panel + 1) as f64;
        for (node, weight) in GAUSS_LEGENDRE_10 {
            total += weight * (weighted(centre - half * node) + weighted(centre + half * node));
        }
    }
    total * half
}

/// The zero of a monotone function between two arguments where its signs differ, to the last bit or so.
pub(crate) fn bisect(mut low: f64, mut high: f64, f: impl Fn(f64) -> f64) -> f64 {
    let rising = f(high) > f(low);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if middle <= low || middle >= high {
            break;
        }
        if (f(middle) < 0.0) == rising {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_invert_their_distribution_functions() {
        for p in [1e-9, 0.02, 0.5, 0.8, 0.999] {
            assert!((normal_cdf(normal_quantile(p)) - p).abs() < 1e-14);
            assert!((t_two_sided(t_critical(p, 2.0), 2.0) - p).abs() < 1e-12);
            assert!((beta_reg(2.5, 0.5, beta_quantile(p, 2.5, 0.5)) - p).abs() < 1e-12);
        }
    }

    #[test]
    fn a_noncentral_t_without_noncentrality_is_student() {
        for df in [1.0, 2.0, 7.0, 99.0] {
            for t in [0.0, 0.3, 4.0] {
                let difference = noncentral_t_sf(t, df, 0.0) - t_sf(t, df);
                assert!(difference.abs() < 1e-12, "df {df}, t {t}: {difference}");
            }
        }
    }

    #[test]
    fn a_fair_binomial_sums_to_one_and_is_symmetric() {
        for n in [0, 1, 7, 2000] {
            let total: f64 = (0..=n).map(|k| fair_binomial_pmf(k, n)).sum();
            assert!((total - 1.0).abs() < 1e-12);
            assert_eq!(fair_binomial_pmf(0, n), fair_binomial_pmf(n, n));
        }
    }

    #[test]
    fn limits_of_the_normal_quantile_are_infinite_and_outside_is_nan() {
        assert_eq!(normal_quantile(0.0), f64::NEG_INFINITY);
        assert_eq!(normal_quantile(1.0), f64::INFINITY);
        assert!(normal_quantile(1.5).is_nan() && normal_quantile(f64::NAN).is_nan());
    }
}
