//! Vectors of numbers: one implementation per instruction set.

/// A vector of `f32`.
///
/// Methods are `#[inline(always)]` and unsafe: they may only run inside a function compiled for their instruction set,
/// on a machine that has it. Pointers must be valid for what is read or written.
pub(crate) trait Vector: Copy {
    /// Elements per vector.
    const WIDTH: usize;
    /// Rows of a tile, chosen so that `ROWS × 3` sums, three vectors and one broadcast fit the register file.
    const ROWS: usize;
    unsafe fn zero() -> Self;
    unsafe fn load(from: *const f32) -> Self;
    /// The first `count` elements, zeros behind.
    unsafe fn load_first(from: *const f32, count: usize) -> Self;
    unsafe fn store(self, to: *mut f32);
    unsafe fn store_first(self, to: *mut f32, count: usize);
    unsafe fn broadcast(from: *const f32) -> Self;
    unsafe fn add(self, other: Self) -> Self;
    /// `self + a·b`.
    unsafe fn add_product(self, a: Self, b: Self) -> Self;
    /// The transpose of `rows × columns` elements, at most [`Self::WIDTH`] each way; rows are `step` elements apart at
    /// `from` and columns `to_step` elements at `to`.
    unsafe fn transpose(
        from: *const f32,
        step: usize,
        rows: usize,
        columns: usize,
        to: *mut f32,
        to_step: usize,
    );
    /// Asks for the memory at `from`, which need not exist, to be brought near.
    unsafe fn prefetch(from: *const f32);
}

/// Eight lanes the compiler maps to whatever the target guarantees.
#[derive(Clone, Copy)]
pub(crate) struct Portable([f32; 8]);

impl Vector for Portable {
    const WIDTH: usize = 8;
    const ROWS: usize = 2;

    #[inline(always)]
    unsafe fn zero() -> Self {
        Self([0.0; 8])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's.
        Self(unsafe { from.cast::<[f32; 8]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn load_first(from: *const f32, count: usize) -> Self {
        let mut lanes = [0.0; 8];
        for (i, lane) in lanes.iter_mut().enumerate().take(count) {
            // SAFETY: the caller's.
            *lane = unsafe { *from.add(i) };
        }
        Self(lanes)
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's.
        unsafe { to.cast::<[f32; 8]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn store_first(self, to: *mut f32, count: usize) {
        for (i, lane) in self.0.iter().enumerate().take(count) {
            // SAFETY: the caller's.
            unsafe { *to.add(i) = *lane };
        }
    }

    #[inline(always)]
    unsafe fn broadcast(from: *const f32) -> Self {
        // SAFETY: the caller's.
        Self([unsafe { *from }; 8])
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        let mut lanes = self.0;
        for (lane, other) in lanes.iter_mut().zip(other.0) {
            *lane += other;
        }
        Self(lanes)
    }

    #[inline(always)]
    unsafe fn add_product(self, a: Self, b: Self) -> Self {
        const FMA: bool = cfg!(target_arch = "aarch64");
        let mut lanes = self.0;
        for (lane, (a, b)) in lanes.iter_mut().zip(a.0.into_iter().zip(b.0)) {
            *lane = crate::simd::mul_add::<FMA>(a, b, *lane);
        }
        Self(lanes)
    }

    #[inline(always)]
    unsafe fn transpose(
        from: *const f32,
        step: usize,
        rows: usize,
        columns: usize,
        to: *mut f32,
        to_step: usize,
    ) {
        for row in 0..rows {
            for column in 0..columns {
                // SAFETY: the caller's.
                unsafe { *to.add(column * to_step + row) = *from.add(row * step + column) };
            }
        }
    }

    #[inline(always)]
    unsafe fn prefetch(_: *const f32) {}
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Vector;
    use std::arch::x86_64::*;

    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(__m256);

    #[inline(always)]
    unsafe fn mask(count: usize) -> __m256i {
        // SAFETY: the caller runs with AVX2.
        unsafe {
            let lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            _mm256_cmpgt_epi32(_mm256_set1_epi32(count as i32), lane)
        }
    }

    impl Vector for Avx2 {
        const WIDTH: usize = 8;
        const ROWS: usize = 4;

        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: the caller's, as for all methods below.
            Self(unsafe { _mm256_setzero_ps() })
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(unsafe { _mm256_loadu_ps(from) })
        }
        #[inline(always)]
        unsafe fn load_first(from: *const f32, count: usize) -> Self {
            Self(unsafe { _mm256_maskload_ps(from, mask(count)) })
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm256_storeu_ps(to, self.0) }
        }
        #[inline(always)]
        unsafe fn store_first(self, to: *mut f32, count: usize) {
            unsafe { _mm256_maskstore_ps(to, mask(count), self.0) }
        }
        #[inline(always)]
        unsafe fn broadcast(from: *const f32) -> Self {
            Self(unsafe { _mm256_set1_ps(*from) })
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            Self(unsafe { _mm256_add_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn add_product(self, a: Self, b: Self) -> Self {
            Self(unsafe { _mm256_fmadd_ps(a.0, b.0, self.0) })
        }
        #[inline(always)]
        unsafe fn transpose(
            from: *const f32,
            step: usize,
            rows: usize,
            columns: usize,
            to: *mut f32,
            to_step: usize,
        ) {
            unsafe {
                let mut lines = [Self::zero().0; 8];
                for (row, line) in lines.iter_mut().enumerate().take(rows) {
                    let from = from.add(row * step);
                    *line = if columns == Self::WIDTH {
                        Self::load(from).0
                    } else {
                        Self::load_first(from, columns).0
                    };
                }
                let turned = turn_8(lines);
                for (column, line) in turned.into_iter().enumerate().take(columns) {
                    let to = to.add(column * to_step);
                    if rows == Self::WIDTH {
                        Self(line).store(to);
                    } else {
                        Self(line).store_first(to, rows);
                    }
                }
            }
        }
        #[inline(always)]
        unsafe fn prefetch(from: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
        }
    }

    // No closures here: they would be compiled without the instruction set.

    /// The transpose of eight rows: pairs of rows, pairs of pairs, then halves.
    #[inline(always)]
    unsafe fn turn_8(x: [__m256; 8]) -> [__m256; 8] {
        let (mut pairs, mut fours, mut turned) = (x, x, x);
        // SAFETY: the caller runs with AVX2.
        unsafe {
            for i in 0..4 {
                pairs[2 * i] = _mm256_unpacklo_ps(x[2 * i], x[2 * i + 1]);
                pairs[2 * i + 1] = _mm256_unpackhi_ps(x[2 * i], x[2 * i + 1]);
            }
            for g in 0..2 {
                for i in 0..2 {
                    let (a, b) = (pairs[4 * g + i], pairs[4 * g + i + 2]);
                    fours[4 * g + 2 * i] = _mm256_shuffle_ps::<0x44>(a, b);
                    fours[4 * g + 2 * i + 1] = _mm256_shuffle_ps::<0xee>(a, b);
                }
            }
            for i in 0..4 {
                turned[i] = _mm256_permute2f128_ps::<0x20>(fours[i], fours[4 + i]);
                turned[4 + i] = _mm256_permute2f128_ps::<0x31>(fours[i], fours[4 + i]);
            }
        }
        turned
    }

    /// The transpose of sixteen rows: pairs of rows, pairs of pairs, then quarters twice.
    #[inline(always)]
    unsafe fn turn_16(x: [__m512; 16]) -> [__m512; 16] {
        let (mut pairs, mut fours, mut turned) = (x, x, x);
        // SAFETY: the caller runs with AVX-512.
        unsafe {
            for i in 0..8 {
                pairs[2 * i] = _mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]);
                pairs[2 * i + 1] = _mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]);
            }
            // Quarter `l` of `fours[4g + i]` is column `4l + i` of rows `4g` to `4g + 3`.
            for g in 0..4 {
                for i in 0..2 {
                    let a = _mm512_castps_pd(pairs[4 * g + i]);
                    let b = _mm512_castps_pd(pairs[4 * g + i + 2]);
                    fours[4 * g + 2 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                    fours[4 * g + 2 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
                }
            }
            for i in 0..4 {
                // Quarters 0 and 2, then 1 and 3, of the first two groups and of the last two.
                let even_low = _mm512_shuffle_f32x4::<0x88>(fours[i], fours[4 + i]);
                let even_high = _mm512_shuffle_f32x4::<0x88>(fours[8 + i], fours[12 + i]);
                let odd_low = _mm512_shuffle_f32x4::<0xdd>(fours[i], fours[4 + i]);
                let odd_high = _mm512_shuffle_f32x4::<0xdd>(fours[8 + i], fours[12 + i]);
                turned[i] = _mm512_shuffle_f32x4::<0x88>(even_low, even_high);
                turned[4 + i] = _mm512_shuffle_f32x4::<0x88>(odd_low, odd_high);
                turned[8 + i] = _mm512_shuffle_f32x4::<0xdd>(even_low, even_high);
                turned[12 + i] = _mm512_shuffle_f32x4::<0xdd>(odd_low, odd_high);
            }
        }
        turned
    }

    #[derive(Clone, Copy)]
    pub(crate) struct Avx512(__m512);

    impl Vector for Avx512 {
        const WIDTH: usize = 16;
        const ROWS: usize = 8;

        #[inline(always)]
        unsafe fn zero() -> Self {
            // SAFETY: the caller's, as for all methods below.
            Self(unsafe { _mm512_setzero_ps() })
        }
        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            Self(unsafe { _mm512_loadu_ps(from) })
        }
        #[inline(always)]
        unsafe fn load_first(from: *const f32, count: usize) -> Self {
            Self(unsafe { _mm512_maskz_loadu_ps(((1u32 << count) - 1) as u16, from) })
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self.0) }
        }
        #[inline(always)]
        unsafe fn store_first(self, to: *mut f32, count: usize) {
            unsafe { _mm512_mask_storeu_ps(to, ((1u32 << count) - 1) as u16, self.0) }
        }
        #[inline(always)]
        unsafe fn broadcast(from: *const f32) -> Self {
            Self(unsafe { _mm512_set1_ps(*from) })
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            Self(unsafe { _mm512_add_ps(self.0, other.0) })
        }
        #[inline(always)]
        unsafe fn add_product(self, a: Self, b: Self) -> Self {
            Self(unsafe { _mm512_fmadd_ps(a.0, b.0, self.0) })
        }
        #[inline(always)]
        unsafe fn transpose(
            from: *const f32,
            step: usize,
            rows: usize,
            columns: usize,
            to: *mut f32,
            to_step: usize,
        ) {
            unsafe {
                let mut lines = [Self::zero().0; 16];
                for (row, line) in lines.iter_mut().enumerate().take(rows) {
                    let from = from.add(row * step);
                    *line = if columns == Self::WIDTH {
                        Self::load(from).0
                    } else {
                        Self::load_first(from, columns).0
                    };
                }
                let turned = turn_16(lines);
                for (column, line) in turned.into_iter().enumerate().take(columns) {
                    let to = to.add(column * to_step);
                    if rows == Self::WIDTH {
                        Self(line).store(to);
                    } else {
                        Self(line).store_first(to, rows);
                    }
                }
            }
        }
        #[inline(always)]
        unsafe fn prefetch(from: *const f32) {
            unsafe { _mm_prefetch::<_MM_HINT_T0>(from.cast()) }
        }
    }
}

/// Compiles a function that is generic over [`Vector`] once per level, and adds the level as its first argument.
macro_rules! at_every_level {
    ($(#[$meta:meta])* $vis:vis unsafe fn $name:ident($($arg:ident: $ty:ty),* $(,)?) = $generic:ident) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments, reason = "kernels take pointers, sizes and steps")]
        $vis unsafe fn $name(level: $crate::simd::Level, $($arg: $ty),*) {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
            #[allow(clippy::too_many_arguments, reason = "kernels take pointers, sizes and steps")]
            unsafe fn avx512($($arg: $ty),*) {
                // SAFETY: the caller's; compiled for the instruction set.
                unsafe { $generic::<$crate::vector::Avx512>($($arg),*) }
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            #[allow(clippy::too_many_arguments, reason = "kernels take pointers, sizes and steps")]
            unsafe fn avx2($($arg: $ty),*) {
                // SAFETY: the caller's; compiled for the instruction set.
                unsafe { $generic::<$crate::vector::Avx2>($($arg),*) }
            }
            // SAFETY: the caller's; a level is only named where the machine has it.
            unsafe {
                match level {
                    #[cfg(target_arch = "x86_64")]
                    $crate::simd::Level::Avx512 => avx512($($arg),*),
                    #[cfg(target_arch = "x86_64")]
                    $crate::simd::Level::Avx2 => avx2($($arg),*),
                    #[cfg(not(target_arch = "x86_64"))]
                    $crate::simd::Level::Avx512 | $crate::simd::Level::Avx2 => {
                        $generic::<$crate::vector::Portable>($($arg),*)
                    }
                    $crate::simd::Level::Portable => $generic::<$crate::vector::Portable>($($arg),*),
                }
            }
        }
    };
}
pub(crate) use at_every_level;
