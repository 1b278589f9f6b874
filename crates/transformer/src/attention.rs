//! Grouped-query self-attention, with or without a key-value cache.

use burn::module::Module;
use burn::tensor::Tensor;
use preflab_kernels::{Segments, attention, rotary};

use crate::architecture::{AttentionSettings, Layer, NormKind, NormSettings};
use crate::cache::{Cache, Place};
use crate::dtype::{cast, full};
use crate::init::Initializer;
use crate::linear::Linear;
use crate::lora::JointAdapter;
use crate::narrow::Narrowed;
use crate::norm::Norm;
use crate::rotary::Rotation;

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
    /// A low-rank adapter of queries, keys and values together.
    pub joint_adapter: Option<JointAdapter>,
    /// Over each head's queries.
    pub q_norm: Option<Norm>,
    /// Over each head's keys.
    pub k_norm: Option<Norm>,
    #[module(skip)]
    settings: AttentionSettings,
    #[module(skip)]
    layer: Layer,
}

/// What the blocks of one pass have in common.
pub(crate) struct Pass<'a> {
    pub rotation: Option<Rotation>,
    pub segments: &'a Segments,
    /// Keys and values of earlier tokens, and the place of the new ones among them.
    pub cache: Option<(&'a mut Cache, Place)>,
}

impl Attention {
    pub(crate) fn init(
        d: usize,
        settings: &AttentionSettings,
        layer: Layer,
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
            joint_adapter: None,
            q_norm: qk_norm.then(|| Norm::init(head_width, head_norm, initializer)),
            k_norm: qk_norm.then(|| Norm::init(head_width, head_norm, initializer)),
            settings: *settings,
            layer,
        }
    }

    /// `x`: `[n, d]`, in block `index`. Returns `[n, d]`, or the rows of `narrowed`.
    pub(crate) fn forward(
        &self,
        x: Tensor<2>,
        index: usize,
        pass: &mut Pass,
        narrowed: Option<&Narrowed>,
    ) -> Tensor<2> {
        let rows = |x: Tensor<2>| match narrowed {
            Some(narrowed) => narrowed.rows(x),
            None => x,
        };
        let [n, _] = x.dims();
        let AttentionSettings {
            heads,
            kv_heads,
            head_width,
            cap,
            ..
        } = self.settings;
        let projected = [
            self.q_proj.forward(rows(x.clone())),
            self.k_proj.forward(x.clone()),
            self.v_proj.forward(x.clone()),
        ];
        let [q, k, v] = match &self.joint_adapter {
            Some(adapter) => adapter.add(x, projected, rows),
            None => projected,
        };
        let [queries, _] = q.dims();
        let mut q = q.reshape([queries, heads, head_width]);
        let mut k = k.reshape([n, kv_heads, head_width]);
        let mut v = v.reshape([n, kv_heads, head_width]);
        if let (Some(q_norm), Some(k_norm)) = (&self.q_norm, &self.k_norm) {
            q = q_norm.forward(q);
            k = k_norm.forward(k);
        }
        let of_queries = match narrowed {
            Some(narrowed) => &narrowed.rotation,
            None => &pass.rotation,
        };
        (q, k) = (turned(q, of_queries), turned(k, &pass.rotation));
        if let Some((cache, place)) = &mut pass.cache {
            (k, v) = cache.write(index, k, v, place);
        }
        let Layer { window, scale } = self.layer;
        let settings = preflab_kernels::AttentionSettings {
            scale,
            causal: true,
            window,
            cap,
        };
        let segments = match narrowed {
            Some(narrowed) => &narrowed.segments,
            None => pass.segments,
        };
        let y = attention(q, k, v, segments, &settings);
        self.o_proj
            .forward(y.reshape([queries, heads * head_width]))
    }
}

fn turned(x: Tensor<3>, rotation: &Option<Rotation>) -> Tensor<3> {
    let Some(Rotation { cosine, sine }) = rotation else {
        return x;
    };
    let dtype = x.dtype();
    cast(rotary(full(x), cosine.clone(), sine.clone()), dtype)
}
