//! Instruction sets, found at run time.
//!
//! Every kernel takes the [`Level`] to run at as its first argument and is compiled once per level, so that one binary
//! uses AVX-512 where the machine has it and still runs where it does not. The order of every sum is the same at all
//! levels: those with fused multiply-add give the same bits, the others agree to rounding.

use std::sync::OnceLock;

/// The instruction set a kernel is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// What the compilation target guarantees.
    Portable,
    /// 256-bit vectors with fused multiply-add.
    Avx2,
    /// 512-bit vectors with fused multiply-add.
    Avx512,
}

impl Level {
    /// The best level this machine has, or a lower one that the environment variable `PREFLAB_SIMD` names (`portable`,
    /// `avx2`). Found once per process.
    ///
    /// # Panics
    /// If the variable names no level of this machine.
    pub fn best() -> Self {
        static BEST: OnceLock<Level> = OnceLock::new();
        *BEST.get_or_init(|| {
            let available = Self::available();
            let best = available.last().copied();
            let chosen = match std::env::var("PREFLAB_SIMD") {
                Ok(name) => available.into_iter().find(|level| level.name() == name),
                Err(_) => best,
            };
            chosen.expect("PREFLAB_SIMD is `portable`, `avx2` or `avx512`, and the machine has it")
        })
    }

    /// As in reports and in `PREFLAB_SIMD`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Every level this machine has, the portable one first.
    pub fn available() -> Vec<Self> {
        let mut levels = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                levels.push(Self::Avx2);
                if is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
                {
                    levels.push(Self::Avx512);
                }
            }
        }
        levels
    }
}

/// Compiles a function once per [`Level`] and adds the level as its first argument.
///
/// The body sees `FMA`, a constant that is true where fused multiply-add is one instruction (see [`mul_add`]). Everything
/// the body calls must be `#[inline(always)]`, or it is compiled for the portable level only.
macro_rules! vectorised {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? $body:block) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments, reason = "kernels take slices, sizes and constants")]
        $vis fn $name(level: $crate::simd::Level, $($arg: $ty),*) $(-> $ret)? {
            #[allow(clippy::too_many_arguments, reason = "kernels take slices, sizes and constants")]
            #[allow(clippy::extra_unused_type_parameters, reason = "not every kernel multiplies and adds")]
            #[inline(always)]
            fn body<const FMA: bool>($($arg: $ty),*) $(-> $ret)? $body

            #[allow(clippy::too_many_arguments, reason = "kernels take slices, sizes and constants")]
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            fn avx512($($arg: $ty),*) $(-> $ret)? {
                body::<true>($($arg),*)
            }

            #[allow(clippy::too_many_arguments, reason = "kernels take slices, sizes and constants")]
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) $(-> $ret)? {
                body::<true>($($arg),*)
            }

            match level {
                // SAFETY: a level is only named where the machine has it (`Level::available`).
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Level::Avx512 => unsafe { avx512($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::simd::Level::Avx2 => unsafe { avx2($($arg),*) },
                #[cfg(not(target_arch = "x86_64"))]
                $crate::simd::Level::Avx512 | $crate::simd::Level::Avx2 => {
                    body::<{ cfg!(target_arch = "aarch64") }>($($arg),*)
                }
                $crate::simd::Level::Portable => body::<{ cfg!(target_arch = "aarch64") }>($($arg),*),
            }
        }
    };
}
pub(crate) use vectorised;

/// `a·b + c`, in one rounding where that is one instruction.
#[inline(always)]
pub(crate) fn mul_add<const FMA: bool>(a: f32, b: f32, c: f32) -> f32 {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Independent partial results of a reduction: enough to fill the widest vectors and hide the latency of an addition.
pub(crate) const LANES: usize = 32;

/// `e^x` to about one unit in the last place; 0 below -87.3, infinity above 88.7, NaN for NaN.
///
/// Range reduction to `x = n·ln 2 + r`, `|r| ≤ ln 2 / 2`, then a polynomial of degree six in `r` (the minimax
/// coefficients of Moshier's Cephes library). Branch-free, so that it vectorises.
#[inline(always)]
pub(crate) fn exp<const FMA: bool>(x: f32) -> f32 {
    /// `1.5·2^23`: adding it rounds to an integer and leaves that integer in the low bits.
    const MAGIC: f32 = 12_582_912.0;
    let clamped = if x > 88.5 { 88.5 } else { x };
    let clamped = if clamped < -87.3 { -87.3 } else { clamped };
    let shifted = mul_add::<FMA>(clamped, std::f32::consts::LOG2_E, MAGIC);
    let n = shifted - MAGIC;
    let r = mul_add::<FMA>(n, -0.693_359_4, clamped);
    let r = mul_add::<FMA>(n, 2.121_944_4e-4, r);
    let p = mul_add::<FMA>(1.987_569_1e-4, r, 1.398_199_9e-3);
    let p = mul_add::<FMA>(p, r, 8.333_452e-3);
    let p = mul_add::<FMA>(p, r, 4.166_579_6e-2);
    let p = mul_add::<FMA>(p, r, 1.666_666_5e-1);
    let p = mul_add::<FMA>(p, r, 0.5);
    let p = mul_add::<FMA>(p * r, r, r + 1.0);
    let n = (shifted.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32);
    // Two factors, so that `n = 128` does not overflow the exponent field.
    let half = n >> 1;
    let low = f32::from_bits(((half + 127) << 23) as u32);
    let high = f32::from_bits(((n - half + 127) << 23) as u32);
    let y = p * low * high;
    let y = if x < -87.3 { 0.0 } else { y };
    let y = if x > 88.7 { f32::INFINITY } else { y };
    if x.is_nan() { x } else { y }
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid<const FMA: bool>(x: f32) -> f32 {
    1.0 / (1.0 + exp::<FMA>(-x))
}

/// Adds to `lanes`, element by element, what `f` makes of the elements of `N` slices of equal length: the order is the
/// same on every machine of one level, whatever the number of threads. Returns the sums over all lanes.
#[inline(always)]
pub(crate) fn accumulate<const N: usize, const M: usize>(
    slices: [&[f32]; N],
    f: impl Fn([f32; N]) -> [f32; M],
) -> [f32; M] {
    // Loops, not closures over arrays: these would be compiled for the portable level.
    let n = slices[0].len();
    let mut lanes = [[0.0f32; LANES]; M];
    let mut inputs = [0.0f32; N];
    let whole = n - n % LANES;
    let mut start = 0;
    while start < whole {
        let mut blocks = [&[0.0f32; LANES]; N];
        for i in 0..N {
            blocks[i] = slices[i][start..]
                .first_chunk::<LANES>()
                .expect("slices of equal length");
        }
        for lane in 0..LANES {
            for i in 0..N {
                inputs[i] = blocks[i][lane];
            }
            let terms = f(inputs);
            for m in 0..M {
                lanes[m][lane] += terms[m];
            }
        }
        start += LANES;
    }
    for lane in 0..n - whole {
        for i in 0..N {
            inputs[i] = slices[i][whole + lane];
        }
        let terms = f(inputs);
        for m in 0..M {
            lanes[m][lane] += terms[m];
        }
    }
    let mut sums = [0.0; M];
    for m in 0..M {
        sums[m] = fold(lanes[m], |a, b| a + b);
    }
    sums
}

/// `Σ a·b`, in the order of [`accumulate`].
#[inline(always)]
pub(crate) fn dot<const FMA: bool>(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for lane in 0..LANES {
            lanes[lane] = mul_add::<FMA>(a[lane], b[lane], lanes[lane]);
        }
    }
    for (lane, (a, b)) in a_rest.iter().zip(b_rest).enumerate() {
        lanes[lane] = mul_add::<FMA>(*a, *b, lanes[lane]);
    }
    fold(lanes, |a, b| a + b)
}

/// The largest element; negative infinity for none.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (blocks, rest) = x.as_chunks::<LANES>();
    for block in blocks {
        for lane in 0..LANES {
            lanes[lane] = larger(lanes[lane], block[lane]);
        }
    }
    for (lane, &x) in rest.iter().enumerate() {
        lanes[lane] = larger(lanes[lane], x);
    }
    fold(lanes, larger)
}

#[inline(always)]
fn fold(mut lanes: [f32; LANES], combine: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            lanes[lane] = combine(lanes[lane], lanes[lane + width]);
        }
        width /= 2;
    }
    lanes[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    vectorised! {
        fn exponentials(x: &[f32], y: &mut [f32]) {
            for (y, x) in y.iter_mut().zip(x) {
                *y = exp::<FMA>(*x);
            }
        }
    }

    #[test]
    fn the_exponential_is_right_to_two_units_in_the_last_place() {
        let x: Vec<f32> = (-87_000..88_000).map(|i| i as f32 * 1e-3 + 1e-5).collect();
        for level in Level::available() {
            let mut y = vec![0.0; x.len()];
            exponentials(level, &x, &mut y);
            for (x, y) in x.iter().zip(&y) {
                let exact = f64::from(*x).exp();
                assert!(
                    (f64::from(*y) / exact - 1.0).abs() < 2.0 * f64::from(f32::EPSILON),
                    "{level:?}: e^{x} = {y}"
                );
            }
        }
    }

    #[test]
    fn the_exponential_of_extremes() {
        let x = [
            0.0,
            -0.0,
            -88.0,
            -1e4,
            f32::NEG_INFINITY,
            89.0,
            1e4,
            f32::INFINITY,
        ];
        for level in Level::available() {
            let mut y = [0.0; 8];
            exponentials(level, &x, &mut y);
            assert_eq!(
                y,
                [
                    1.0,
                    1.0,
                    0.0,
                    0.0,
                    0.0,
                    f32::INFINITY,
                    f32::INFINITY,
                    f32::INFINITY
                ],
                "{level:?}"
            );
            let mut y = [0.0];
            exponentials(level, &[f32::NAN], &mut y);
            assert!(y[0].is_nan());
        }
    }

    vectorised! {
        fn reductions(a: &[f32], b: &[f32]) -> [f32; 3] {
            [accumulate([a], |[a]| [a])[0], dot::<FMA>(a, b), max(a)]
        }
    }

    #[test]
    fn reductions_of_any_length() {
        let a: Vec<f32> = (0..200).map(|i| ((i * 37) % 101) as f32 - 50.0).collect();
        let b: Vec<f32> = a.iter().map(|x| x + 1.0).collect();
        for level in Level::available() {
            for n in [0, 1, 15, 16, 31, 32, 33, 100, 200] {
                let (a, b) = (&a[..n], &b[..n]);
                let largest = a.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                let products = a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
                // Whole numbers below 2^24: every order of summation gives the same.
                assert_eq!(
                    reductions(level, a, b),
                    [a.iter().sum(), products, largest],
                    "{level:?}, {n}"
                );
            }
        }
    }
}
