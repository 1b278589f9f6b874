//! Entropy of next-token distributions at padding, as TRL's PPO averages it.
//!
//! TRL runs its policy over padded rows: padding is hidden from every token, itself included, and a token's position is the
//! number of real tokens before it. Our decoders never compute on padding, so its rows are computed here, on plain numbers in
//! 64-bit floats, for models of Llama's layout. At real tokens this is a second route to what the decoders give.

use preflab_training::parity::Weights;
use preflab_transformer::{Architecture, Positions, RotaryScaling};

/// One matrix, `[rows, columns]`, as PyTorch stores it.
struct Matrix<'w> {
    columns: usize,
    numbers: &'w [f32],
}

impl Matrix<'_> {
    fn row(&self, row: usize) -> impl Iterator<Item = f64> {
        self.numbers[row * self.columns..(row + 1) * self.columns]
            .iter()
            .map(|&x| f64::from(x))
    }

    /// `W x`.
    fn times(&self, x: &[f64]) -> Vec<f64> {
        (0..self.numbers.len() / self.columns)
            .map(|row| self.row(row).zip(x).map(|(w, x)| w * x).sum())
            .collect()
    }
}

/// A decoder of Llama's layout on plain numbers.
pub struct PlainDecoder<'w> {
    weights: &'w Weights,
    architecture: &'w Architecture,
    theta: f64,
}

/// A token of a padded row.
struct Place {
    id: u32,
    position: usize,
    real: bool,
}

impl<'w> PlainDecoder<'w> {
    /// Of a model with these tensors; `None` if it is not of Llama's layout.
    pub fn new(weights: &'w Weights, architecture: &'w Architecture) -> Option<Self> {
        let Positions::Rotary(rotary) = &architecture.positions else {
            return None;
        };
        let plain = rotary.scaling == RotaryScaling::None
            && rotary.width == architecture.attention.head_width
            && !architecture.attention.qkv_bias
            && !architecture.attention.qk_norm
            && architecture.mlp.gated
            && !architecture.tied
            && architecture
                .layers
                .iter()
                .all(|layer| layer.window.is_none());
        plain.then_some(Self {
            weights,
            architecture,
            theta: rotary.theta,
        })
    }

    fn matrix(&self, name: &str) -> Matrix<'w> {
        let (shape, numbers) = &self.weights[name];
        Matrix {
            columns: *shape.last().expect("a matrix"),
            numbers,
        }
    }

    fn normed(&self, x: &[f64], name: &str) -> Vec<f64> {
        let mean_square = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (mean_square + self.architecture.norm.epsilon).sqrt();
        x.iter()
            .zip(&self.weights[name].1)
            .map(|(x, &w)| x * scale * f64::from(w))
            .collect()
    }

    /// Rotates every head of `x` in the half layout.
    fn rotated(&self, mut x: Vec<f64>, position: usize) -> Vec<f64> {
        let width = self.architecture.attention.head_width;
        for head in x.chunks_exact_mut(width) {
            for i in 0..width / 2 {
                let angle = position as f64 * self.theta.powf(-2.0 * i as f64 / width as f64);
                let (a, b) = (head[i], head[i + width / 2]);
                head[i] = a * angle.cos() - b * angle.sin();
                head[i + width / 2] = b * angle.cos() + a * angle.sin();
            }
        }
        x
    }

    /// Entropy, nats, of the distribution after each token of a row under `softmax(logits / temperature)`.
    ///
    /// - `row`: token ids; `pad` is padding wherever it stands. The row starts with a real token.
    /// - `from`: the first token whose entropy is wanted.
    pub fn entropies(&self, row: &[u32], pad: u32, from: usize, temperature: f64) -> Vec<f64> {
        let mut real = 0;
        let places: Vec<Place> = (row.iter())
            .map(|&id| {
                let place = Place {
                    id: if id == pad { 0 } else { id },
                    position: real,
                    real: id != pad,
                };
                real += usize::from(place.real);
                place
            })
            .collect();
        let embedding = self.matrix("model.embed_tokens.weight");
        let mut stream: Vec<Vec<f64>> = places
            .iter()
            .map(|place| embedding.row(place.id as usize).collect())
            .collect();
        for layer in 0..self.architecture.layers.len() {
            stream = self.layer(layer, stream, &places);
        }
        let head = self.matrix("lm_head.weight");
        stream[from..]
            .iter()
            .map(|x| {
                let logits = head.times(&self.normed(x, "model.norm.weight"));
                entropy(
                    logits
                        .into_iter()
                        .map(|logit| logit / temperature)
                        .collect(),
                )
            })
            .collect()
    }

    fn layer(&self, layer: usize, stream: Vec<Vec<f64>>, places: &[Place]) -> Vec<Vec<f64>> {
        let name = |part: &str| format!("model.layers.{layer}.{part}.weight");
        let projection = |part: &str| self.matrix(&name(&format!("self_attn.{part}")));
        let (q_proj, k_proj, v_proj, o_proj) = (
            projection("q_proj"),
            projection("k_proj"),
            projection("v_proj"),
            projection("o_proj"),
        );
        let (gate, up, down) = (
            self.matrix(&name("mlp.gate_proj")),
            self.matrix(&name("mlp.up_proj")),
            self.matrix(&name("mlp.down_proj")),
        );
        let normed: Vec<Vec<f64>> = stream
            .iter()
            .map(|x| self.normed(x, &name("input_layernorm")))
            .collect();
        let keys: Vec<Vec<f64>> = normed
            .iter()
            .zip(places)
            .map(|(x, place)| self.rotated(k_proj.times(x), place.position))
            .collect();
        let values: Vec<Vec<f64>> = normed.iter().map(|x| v_proj.times(x)).collect();
        let after = stream.into_iter().enumerate().map(|(index, x)| {
            let query = self.rotated(q_proj.times(&normed[index]), places[index].position);
            let seen: Vec<usize> = (0..=index).filter(|&other| places[other].real).collect();
            let attended = o_proj.times(&self.attend(layer, &query, &keys, &values, &seen));
            let x: Vec<f64> = x.iter().zip(&attended).map(|(x, y)| x + y).collect();
            let inner = self.normed(&x, &name("post_attention_layernorm"));
            let gated: Vec<f64> = (gate.times(&inner).iter().zip(up.times(&inner)))
                .map(|(gate, up)| gate / (1.0 + (-gate).exp()) * up)
                .collect();
            x.iter()
                .zip(down.times(&gated))
                .map(|(x, y)| x + y)
                .collect()
        });
        after.collect()
    }

    fn attend(
        &self,
        layer: usize,
        query: &[f64],
        keys: &[Vec<f64>],
        values: &[Vec<f64>],
        seen: &[usize],
    ) -> Vec<f64> {
        let attention = &self.architecture.attention;
        let (width, group) = (attention.head_width, attention.heads / attention.kv_heads);
        let mut out = vec![0.0; query.len()];
        for head in 0..attention.heads {
            let own = head * width..(head + 1) * width;
            let shared = (head / group) * width..(head / group + 1) * width;
            let score = |&other: &usize| {
                let products = query[own.clone()]
                    .iter()
                    .zip(&keys[other][shared.clone()])
                    .map(|(q, k)| q * k);
                products.sum::<f64>() * self.architecture.layers[layer].scale
            };
            let scores: Vec<f64> = seen.iter().map(score).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
            let total: f64 = weights.iter().sum();
            for (weight, &other) in weights.iter().zip(seen) {
                for (out, value) in out[own.clone()]
                    .iter_mut()
                    .zip(&values[other][shared.clone()])
                {
                    *out += weight / total * value;
                }
            }
        }
        out
    }
}

fn entropy(logits: Vec<f64>) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mean: f64 = weights
        .iter()
        .zip(&logits)
        .map(|(weight, logit)| weight / total * (logit - largest))
        .sum();
    total.ln() - mean
}
