//! Grouped-query self-attention, with or without a key-value cache.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::architecture::{AttentionSettings, NormKind, NormSettings};
use crate::cache::LayerCache;
use crate::init::Initializer;
use crate::linear::Linear;
use crate::norm::Norm;
use crate::ops;
use crate::rotary::Rotation;
use crate::visibility::Visibility;

/// `softmax(q k^T * scale) v` per head, between four projections.
#[derive(Module, Debug)]
pub struct Attention {
    /// `d -> h * e`.
    pub q_proj: Linear,
    /// `d -> g * e`.
    pub k_proj: Linear,
    /// `d -> g * e`.
    pub v_proj: Linear,
    /// `h * e -> d`.
    pub o_proj: Linear,
    /// Over each head's queries.
    pub q_norm: Option<Norm>,
    /// Over each head's keys.
    pub k_norm: Option<Norm>,
    #[module(skip)]
    settings: AttentionSettings,
}

impl Attention {
    pub(crate) fn init(
        d: usize,
        settings: &AttentionSettings,
        norm: NormSettings,
        initializer: &mut Initializer,
    ) -> Self {
        let AttentionSettings {
            heads,
            kv_heads,
            head_width,
            qkv_bias,
            output_bias,
            qk_norm,
            ..
        } = *settings;
        let head_norm = NormSettings {
            kind: NormKind::Rms,
            ..norm
        };
        Self {
            q_proj: Linear::init(d, heads * head_width, qkv_bias, initializer),
            k_proj: Linear::init(d, kv_heads * head_width, qkv_bias, initializer),
            v_proj: Linear::init(d, kv_heads * head_width, qkv_bias, initializer),
            o_proj: Linear::init(heads * head_width, d, output_bias, initializer),
            q_norm: qk_norm.then(|| Norm::init(head_width, head_norm, initializer)),
            k_norm: qk_norm.then(|| Norm::init(head_width, head_norm, initializer)),
            settings: *settings,
        }
    }

    /// `x`: `[b, t, d]`, the last `t` columns of `visibility`; earlier ones come from `cache`. Returns `[b, t, d]`.
    pub(crate) fn forward(
        &self,
        x: Tensor<3>,
        rotation: Option<&Rotation>,
        visibility: &Visibility,
        window: Option<usize>,
        cache: Option<&mut LayerCache>,
    ) -> Tensor<3> {
        let [b, t, _] = x.dims();
        let AttentionSettings {
            heads,
            kv_heads,
            head_width,
            scale,
            cap,
            ..
        } = self.settings;
        let mut q = self
            .q_proj
            .forward(x.clone())
            .reshape([b, t, heads, head_width]);
        let mut k = self
            .k_proj
            .forward(x.clone())
            .reshape([b, t, kv_heads, head_width]);
        let v = self
            .v_proj
            .forward(x)
            .reshape([b, t, kv_heads, head_width])
            .swap_dims(1, 2);
        if let (Some(q_norm), Some(k_norm)) = (&self.q_norm, &self.k_norm) {
            q = q_norm.forward(q);
            k = k_norm.forward(k);
        }
        let (mut q, mut k) = (q.swap_dims(1, 2), k.swap_dims(1, 2));
        if let Some(Rotation { cosine, sine }) = rotation {
            q = ops::rotary(q, cosine.clone(), sine.clone());
            k = ops::rotary(k, cosine.clone(), sine.clone());
        }
        let (k, v) = match cache {
            Some(cache) => cache.append(k, v, visibility.keys),
            None => (k, v),
        };
        let y = ops::attention(q, k, v, visibility.hidden(window), scale, cap);
        self.o_proj
            .forward(y.swap_dims(1, 2).reshape([b, t, heads * head_width]))
    }
}
