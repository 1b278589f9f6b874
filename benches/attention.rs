//! Causal attention of whole sequences, and of one new token over a cache.

use criterion::Criterion;
use preflab_kernels::{AttentionSettings, Segments, attention};

use crate::support::{compare, leaf};

/// Throughput in tokens.
pub(crate) fn bench(criterion: &mut Criterion) {
    for (b, t, h, g, e) in [(8, 128, 8, 4, 32), (64, 40, 4, 2, 24), (2, 1024, 8, 4, 32)] {
        compare(
            criterion,
            "attention",
            &format!("{b}x{t}_h{h}g{g}e{e}"),
            b * t,
            |device| {
                let q = leaf([b * t, h, e], device);
                let (k, v) = (leaf([b * t, g, e], device), leaf([b * t, g, e], device));
                let segments = Segments::rows(&vec![0..t; b], t);
                let settings = AttentionSettings::causal(e);
                move || attention(q.clone(), k.clone(), v.clone(), &segments, &settings)
            },
        );
    }
    let (b, filled, room, h, g, e) = (16, 100, 128, 8, 4, 32);
    compare(
        criterion,
        "attention_step",
        &format!("{b}x{filled}_h{h}g{g}e{e}"),
        b,
        |device| {
            let q = leaf([b, h, e], device);
            let (k, v) = (
                leaf([b * room, g, e], device),
                leaf([b * room, g, e], device),
            );
            let segments = Segments::cached(&vec![0..filled; b], 1, filled, room);
            let settings = AttentionSettings::causal(e);
            move || attention(q.clone(), k.clone(), v.clone(), &segments, &settings)
        },
    );
}
