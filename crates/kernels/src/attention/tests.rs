use burn::tensor::{Device, Int, Tensor};

use super::*;
use crate::path::Path;
use crate::testing::{
    agree, difference, differentiates, normal, run, same_for_any_threads, values,
};

/// Values and gradients of `h` query and `g` key-value heads of width `e`, `n` queries and `m` keys.
fn check([n, m, h, g, e]: [usize; 5], segments: &Segments, settings: &AttentionSettings) {
    let inputs = [
        normal(vec![n, h, e], 1),
        normal(vec![m, g, e], 2),
        normal(vec![m, g, e], 3),
    ];
    agree(inputs, 1e-5, |[q, k, v]| {
        let (q, k, v) = (
            q.reshape([n, h, e]),
            k.reshape([m, g, e]),
            v.reshape([m, g, e]),
        );
        attention(q, k, v, segments, settings).reshape([-1])
    });
}

#[test]
fn padded_rows_equal_composed() {
    for (t, h, g, e) in [
        (1, 1, 1, 8),
        (3, 2, 1, 8),
        (17, 8, 1, 12),
        (40, 4, 4, 24),
        (128, 8, 4, 32),
        (70, 6, 2, 128),
    ] {
        let spans = [0..t, t / 3..t, 0..t - t / 4, t - 1..t];
        check(
            [4 * t, 4 * t, h, g, e],
            &Segments::rows(&spans, t),
            &AttentionSettings::causal(e),
        );
    }
}

#[test]
fn windows_and_full_views_equal_composed() {
    let (t, h, g, e) = (150, 4, 2, 16);
    let spans = [0..t, 7..t - 5];
    for (causal, window) in [
        (true, Some(1)),
        (true, Some(20)),
        (false, None),
        (true, Some(1000)),
    ] {
        let settings = AttentionSettings {
            causal,
            window,
            ..AttentionSettings::causal(e)
        };
        check(
            [2 * t, 2 * t, h, g, e],
            &Segments::rows(&spans, t),
            &settings,
        );
    }
}

#[test]
fn shared_prefixes_equal_composed() {
    let (h, g, e) = (4, 2, 16);
    let after = |tokens: std::ops::Range<usize>, prefix| Segment {
        prefix,
        ..Segment::alone(tokens)
    };
    let segments = Segments::new(vec![
        Segment::alone(0..90),
        after(90..130, 0..90),
        after(130..131, 0..90),
        Segment::alone(140..150),
        after(150..230, 140..150),
    ]);
    check(
        [230, 230, h, g, e],
        &segments,
        &AttentionSettings::causal(e),
    );
    let windowed = AttentionSettings {
        window: Some(60),
        ..AttentionSettings::causal(e)
    };
    check([230, 230, h, g, e], &segments, &windowed);
}

#[test]
fn a_shared_prefix_gives_what_a_copied_prompt_gives() {
    let (h, g, e, prompt, tail) = (4, 2, 16, 20, 9);
    let settings = AttentionSettings::causal(e);
    let part = |len: usize, heads: usize, seed| {
        values(normal(vec![len, heads, e], seed)).reshape([len, heads, e])
    };
    let join = |a: &Tensor<3>, b: &Tensor<3>, c: &Tensor<3>| {
        Tensor::cat(vec![a.clone(), b.clone(), c.clone()], 0)
    };
    let sides = [h, g, g].map(|heads| {
        [
            part(prompt, heads, 1),
            part(tail, heads, 2),
            part(tail, heads, 3),
        ]
    });
    let packed = sides.each_ref().map(|[p, a, b]| join(p, a, b));
    let after = |tokens: std::ops::Range<usize>| Segment {
        prefix: 0..prompt,
        ..Segment::alone(tokens)
    };
    let (a, b) = (prompt..prompt + tail, prompt + tail..prompt + 2 * tail);
    let segments = Segments::new(vec![Segment::alone(0..prompt), after(a), after(b.clone())]);
    let [q, k, v] = packed;
    let shared = attention(q, k, v, &segments, &settings).narrow(0, b.start, tail);
    let [q, k, v] = sides.map(|[p, _, b]| Tensor::cat(vec![p, b], 0));
    let copied = attention(
        q,
        k,
        v,
        &Segments::rows(&[0..prompt + tail], prompt + tail),
        &settings,
    );
    let copied = copied.narrow(0, prompt, tail);
    let numbers = |x: Tensor<3>| x.into_data().try_to_vec::<f32>().unwrap();
    assert!(difference(&numbers(shared), &numbers(copied)) < 1e-6);
}

#[test]
fn single_queries_over_a_cache_equal_composed() {
    for (h, g, e) in [(8, 4, 32), (3, 3, 20), (8, 1, 64)] {
        let (filled, room) = (21, 30);
        let spans = [0..filled, 5..filled, 20..filled];
        let segments = Segments::cached(&spans, 1, filled, room);
        check(
            [3, 3 * room, h, g, e],
            &segments,
            &AttentionSettings::causal(e),
        );
        let windowed = AttentionSettings {
            window: Some(4),
            ..AttentionSettings::causal(e)
        };
        check([3, 3 * room, h, g, e], &segments, &windowed);
    }
}

#[test]
fn generation_over_a_shared_prompt_equals_composed() {
    let (h, g, e) = (4, 2, 32);
    let row = |query: usize, keys| Segment {
        queries: query..query + 1,
        keys,
        prefix: 3..10,
    };
    let segments = Segments::new(vec![row(0, 10..14), row(1, 20..21)]);
    check([2, 30, h, g, e], &segments, &AttentionSettings::causal(e));
}

#[test]
fn some_queries_give_what_they_give_among_all() {
    let (h, g, e) = (4, 2, 16);
    let after = |tokens: std::ops::Range<usize>| Segment {
        prefix: 0..90,
        ..Segment::alone(tokens)
    };
    let segments = Segments::new(vec![
        Segment::alone(0..90),
        after(90..170),
        after(170..240),
        Segment::alone(240..300),
    ]);
    let wanted: Vec<usize> = [89..90, 90..165, 239..240, 250..252, 280..300]
        .into_iter()
        .flatten()
        .collect();
    let places: Vec<i64> = wanted.iter().map(|&place| place as i64).collect();
    let places = Tensor::<1, Int>::from_data(places.as_slice(), &Device::flex());
    let inputs = [h, g, g]
        .into_iter()
        .zip(1..)
        .map(|(heads, seed)| normal(vec![300, heads, e], seed));
    let inputs: [Vec<f32>; 3] = inputs.collect::<Vec<_>>().try_into().unwrap();
    for (path, window) in [
        (Path::Fused, None),
        (Path::Fused, Some(60)),
        (Path::Composed, None),
    ] {
        let settings = AttentionSettings {
            window,
            ..AttentionSettings::causal(e)
        };
        let found = |narrowed: bool| {
            run(&inputs, path, &|[q, k, v]: [Tensor<1>; 3]| {
                let (q, k, v) = (
                    q.reshape([300, h, e]),
                    k.reshape([300, g, e]),
                    v.reshape([300, g, e]),
                );
                let y = match narrowed {
                    true => {
                        let q = q.select(0, places.clone());
                        attention(q, k, v, &segments.of_queries(&wanted), &settings)
                    }
                    false => attention(q, k, v, &segments, &settings).select(0, places.clone()),
                };
                y.reshape([-1])
            })
        };
        let ((some, some_gradients), (all, all_gradients)) = (found(true), found(false));
        assert!(
            difference(&some, &all) < 1e-5,
            "{path:?}, window {window:?}"
        );
        for (some, all) in some_gradients.iter().zip(&all_gradients) {
            assert!(difference(some, all) < 1e-5, "{path:?}, window {window:?}");
        }
    }
}

#[test]
fn gradients_equal_central_differences() {
    let (t, h, g, e) = (4, 2, 1, 3);
    let segments = Segments::rows(std::slice::from_ref(&(0..t)), t);
    let inputs = [
        normal(vec![t, h, e], 1),
        normal(vec![t, g, e], 2),
        normal(vec![t, g, e], 3),
    ];
    differentiates(inputs, 1e-3, |[q, k, v]| {
        let (q, k, v) = (
            q.reshape([t, h, e]),
            k.reshape([t, g, e]),
            v.reshape([t, g, e]),
        );
        attention(q, k, v, &segments, &AttentionSettings::causal(e)).reshape([-1])
    });
}

#[test]
fn queries_outside_every_span_give_zeros() {
    let (t, h, g, e) = (6, 2, 1, 8);
    let x = |heads: usize| values(normal(vec![t, heads, e], 5)).reshape([t, heads, e]);
    let segments = Segments::rows(std::slice::from_ref(&(2..5)), t);
    let y = attention(x(h), x(g), x(g), &segments, &AttentionSettings::causal(e));
    let y: Vec<f32> = y.into_data().try_to_vec().unwrap();
    for (token, y) in y.chunks(h * e).enumerate() {
        assert_eq!(
            y.iter().all(|&y| y == 0.0),
            !(2..5).contains(&token),
            "token {token}"
        );
    }
    let none = attention(
        x(h),
        x(g),
        x(g),
        &Segments::new(Vec::new()),
        &AttentionSettings::causal(e),
    );
    assert!(
        none.into_data()
            .try_to_vec::<f32>()
            .unwrap()
            .iter()
            .all(|&y| y == 0.0)
    );
}

#[test]
fn scores_of_ten_thousand_stay_finite() {
    let (t, e) = (5, 8);
    // Whole numbers: scores are exact, so that equal ones stay equal.
    let whole = |seed| {
        normal(vec![t, 1, e], seed)
            .iter()
            .map(|x| x.round())
            .collect()
    };
    let segments = Segments::rows(std::slice::from_ref(&(0..t)), t);
    let settings = AttentionSettings {
        scale: 1e4,
        ..AttentionSettings::causal(e)
    };
    agree(
        [whole(1), whole(2), normal(vec![t, 1, e], 3)],
        1e-5,
        |sides| {
            let [q, k, v] = sides.map(|side| side.reshape([t, 1, e]));
            attention(q, k, v, &segments, &settings).reshape([-1])
        },
    );
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let (t, h, g, e) = (200, 8, 2, 32);
    let inputs = [
        normal(vec![t, h, e], 1),
        normal(vec![t, g, e], 2),
        normal(vec![t, g, e], 3),
    ];
    let segments = Segments::rows(&[0..t / 2, 3..t / 2], t / 2);
    same_for_any_threads(inputs, |[q, k, v]| {
        let (q, k, v) = (
            q.reshape([t, h, e]),
            k.reshape([t, g, e]),
            v.reshape([t, g, e]),
        );
        attention(q, k, v, &segments, &AttentionSettings::causal(e)).reshape([-1])
    });
}
