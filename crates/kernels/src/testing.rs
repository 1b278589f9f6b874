//! What the tests of all operations share.

use burn::tensor::{Device, Tensor, TensorData};

use crate::path::{Path, with_path};

/// A vector on the CPU.
pub(crate) fn values(values: Vec<f32>) -> Tensor<1> {
    let count = values.len();
    Tensor::from_data(TensorData::new(values, [count]), &Device::flex())
}

/// As many standard normal numbers as `shape` holds, as a vector; equal seeds give equal numbers.
pub(crate) fn normal(shape: Vec<usize>, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut uniform = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f64 + 0.5) / (1u64 << 24) as f64
    };
    (0..shape.iter().product())
        .map(|_| {
            ((-2.0 * uniform().ln()).sqrt() * (std::f64::consts::TAU * uniform()).cos()) as f32
        })
        .collect()
}

/// `f` of `inputs`, and the gradients of `Σ w·f` for fixed random `w`.
pub(crate) fn run<const N: usize>(
    inputs: &[Vec<f32>; N],
    path: Path,
    f: &impl Fn([Tensor<1>; N]) -> Tensor<1>,
) -> (Vec<f32>, [Vec<f32>; N]) {
    let device = Device::flex().autodiff();
    let leaves = inputs.each_ref().map(|input| {
        let data = TensorData::new(input.clone(), [input.len()]);
        Tensor::<1>::from_data(data, &device).require_grad()
    });
    let y = with_path(path, || f(leaves.clone()));
    let n = y.dims()[0];
    let weights = values(normal(vec![n], 77));
    let gradients = (y.clone() * weights).sum().backward();
    let gradients = leaves.map(|leaf| match leaf.grad(&gradients) {
        Some(gradient) => gradient.into_data().try_to_vec().unwrap(),
        None => vec![0.0; leaf.dims()[0]],
    });
    (y.inner().into_data().try_to_vec().unwrap(), gradients)
}

/// The largest difference, against the largest magnitude (at least 1).
pub(crate) fn difference(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    assert!(
        ours.iter().all(|x| x.is_finite()),
        "a number that is not finite"
    );
    let scale = theirs.iter().fold(1.0f32, |scale, x| scale.max(x.abs()));
    ours.iter()
        .zip(theirs)
        .fold(0.0f32, |worst, (a, b)| worst.max((a - b).abs()))
        / scale
}

/// Values and gradients of `f` by both paths differ by at most `tolerance`; the fused path without autodiff gives the
/// fused values.
pub(crate) fn agree<const N: usize>(
    inputs: [Vec<f32>; N],
    tolerance: f32,
    f: impl Fn([Tensor<1>; N]) -> Tensor<1>,
) {
    let (fused, fused_gradients) = run(&inputs, Path::Fused, &f);
    let (composed, composed_gradients) = run(&inputs, Path::Composed, &f);
    let sizes = inputs.each_ref().map(Vec::len);
    let apart = difference(&fused, &composed);
    assert!(
        apart <= tolerance,
        "values differ by {apart} for inputs of {sizes:?}"
    );
    for (input, (ours, theirs)) in fused_gradients.iter().zip(&composed_gradients).enumerate() {
        let apart = difference(ours, theirs);
        assert!(
            apart <= tolerance,
            "gradient {input} differs by {apart} for inputs of {sizes:?}"
        );
    }
    let plain = f(inputs.map(values))
        .into_data()
        .try_to_vec::<f32>()
        .unwrap();
    assert_eq!(plain, fused, "without autodiff");
}

/// Values and gradients of the fused path are bitwise those of one thread, for two and for five.
pub(crate) fn same_for_any_threads<const N: usize>(
    inputs: [Vec<f32>; N],
    f: impl Fn([Tensor<1>; N]) -> Tensor<1> + Sync,
) {
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| run(&inputs, Path::Fused, &f))
    };
    let one = with(1);
    for threads in [2, 5] {
        assert!(
            with(threads) == one,
            "{threads} threads give other numbers than one"
        );
    }
}

/// The gradients of the fused path against central differences in `f64`-summed steps of `1e-2`.
pub(crate) fn differentiates<const N: usize>(
    inputs: [Vec<f32>; N],
    tolerance: f64,
    f: impl Fn([Tensor<1>; N]) -> Tensor<1>,
) {
    let (_, gradients) = run(&inputs, Path::Fused, &f);
    let objective = |inputs: [Vec<f32>; N]| {
        let y: Vec<f32> = f(inputs.map(values)).into_data().try_to_vec().unwrap();
        let weights = normal(vec![y.len()], 77);
        y.iter()
            .zip(weights)
            .map(|(y, w)| f64::from(*y) * f64::from(w))
            .sum::<f64>()
    };
    let step = 1e-2f32;
    for (input, gradient) in gradients.iter().enumerate() {
        for (place, &ours) in gradient.iter().enumerate() {
            let moved = |by: f32| {
                let mut inputs = inputs.clone();
                inputs[input][place] += by;
                objective(inputs)
            };
            // Fourth order: the error of the plain central difference would hide what is tested.
            let near = moved(step) - moved(-step);
            let far = moved(2.0 * step) - moved(-2.0 * step);
            let slope = (8.0 * near - far) / (12.0 * f64::from(step));
            let apart = (slope - f64::from(ours)).abs();
            assert!(
                apart <= tolerance,
                "input {input}, element {place}: {slope} by difference, {ours} by backward"
            );
        }
    }
}
