//! The Llama decoder. Field names are the original's tensor names.

use std::sync::Arc;

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Initializer, Linear, LinearConfig, RmsNorm, RmsNormConfig};
use burn::tensor::{DType, Device, Tensor};
use counterpoint_kernels::{KeyValues, Mask, Rotation, Seen, rms_norm, silu_gate};
use counterpoint_policy_common::cache::Grown;
use counterpoint_policy_common::lora::project;
use counterpoint_policy_common::tape::{self, Layer as _, Tape};

use crate::{Janus, TextConfig};

/// Standard deviation of fresh weights.
const INIT_STD: f64 = 0.02;

/// Embeddings, layers and the norm after them.
#[derive(Module, Debug)]
pub(crate) struct Llama {
    pub(crate) embed_tokens: Embedding,
    pub(crate) layers: Vec<Layer>,
    norm: RmsNorm,
}

/// One layer.
#[derive(Module, Debug)]
pub(crate) struct Layer {
    self_attn: Attention,
    mlp: Mlp,
    input_layernorm: RmsNorm,
    post_attention_layernorm: RmsNorm,
}

#[derive(Module, Debug)]
struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    o_proj: Linear,
    heads: usize,
    key_heads: usize,
    head_width: usize,
}

/// SwiGLU.
#[derive(Module, Debug)]
struct Mlp {
    gate_proj: Linear,
    up_proj: Linear,
    down_proj: Linear,
}

impl Llama {
    pub(crate) fn init(config: &TextConfig, device: &Device) -> Self {
        Self {
            embed_tokens: EmbeddingConfig::new(config.vocab_size, config.hidden_size)
                .with_initializer(Initializer::Normal { mean: 0.0, std: INIT_STD })
                .init(device),
            layers: (0..config.num_hidden_layers).map(|_| Layer::init(config, device)).collect(),
            norm: norm(config, device),
        }
    }

    /// States after the last norm; the keys and values of `past` and of what is new go into `seen`, where they are asked for.
    ///
    /// # Shapes
    /// `x` `[B, L, H]`, `mask` of L queries and P + L keys, `past` of P keys per layer, or none.
    pub(crate) fn forward(
        &self,
        mut x: Tensor<3>,
        rotation: Rotation,
        mask: Mask,
        past: &[Grown],
        mut seen: Option<&mut Vec<Grown>>,
        tape: &Tape<Janus, Layer>,
    ) -> Tensor<3> {
        let (rotation, mask) = (Arc::new(rotation), Arc::new(mask));
        for (i, layer) in self.layers.iter().enumerate() {
            let past = past.get(i).map(Grown::all);
            let (next, pair) = tape.forward(layer, x, &rotation, &mask, past.as_ref(), seen.is_some());
            x = next;
            if let (Some(seen), Some(pair)) = (seen.as_deref_mut(), pair) {
                seen.push(Grown::new(pair));
            }
        }
        normed(&self.norm, x)
    }

    /// The same without gradients, of tokens that follow others, whose keys and values grow in place.
    pub(crate) fn extend(&self, mut x: Tensor<3>, rotation: &Rotation, mask: &Mask, past: &mut [Grown]) -> Tensor<3> {
        for (layer, seen) in self.layers.iter().zip(past) {
            x = layer.forward(x, rotation, mask, |new| seen.extend(new)).0;
        }
        normed(&self.norm, x)
    }
}

impl Layer {
    fn init(config: &TextConfig, device: &Device) -> Self {
        let (width, inner, head) = (config.hidden_size, config.intermediate_size, config.head_width());
        let (heads, key_heads) = (config.num_attention_heads, config.key_heads());
        Self {
            self_attn: Attention {
                q_proj: linear(width, heads * head, device),
                k_proj: linear(width, key_heads * head, device),
                v_proj: linear(width, key_heads * head, device),
                o_proj: linear(heads * head, width, device),
                heads,
                key_heads,
                head_width: head,
            },
            mlp: Mlp {
                gate_proj: linear(width, inner, device),
                up_proj: linear(width, inner, device),
                down_proj: linear(inner, width, device),
            },
            input_layernorm: norm(config, device),
            post_attention_layernorm: norm(config, device),
        }
    }
}

impl tape::Layer for Layer {
    fn forward(
        &self,
        x: Tensor<3>,
        rotation: &Rotation,
        mask: &Mask,
        join: impl FnOnce(KeyValues) -> Seen,
    ) -> (Tensor<3>, Seen) {
        let (attended, seen) = self.self_attn.forward(normed(&self.input_layernorm, x.clone()), rotation, mask, join);
        let x = x + attended;
        let y = self.mlp.forward(normed(&self.post_attention_layernorm, x.clone()));
        (x + y, seen)
    }
}

impl Attention {
    fn forward(
        &self,
        x: Tensor<3>,
        rotation: &Rotation,
        mask: &Mask,
        join: impl FnOnce(KeyValues) -> Seen,
    ) -> (Tensor<3>, Seen) {
        let [batch, length, _] = x.dims();
        let (heads, width) = (self.heads, self.head_width);
        let split = |linear: &Linear, heads| project(linear, x.clone()).reshape([batch, length, heads, width]);
        let query = rotation.apply(split(&self.q_proj, heads)).swap_dims(1, 2);
        let key = rotation.apply(split(&self.k_proj, self.key_heads)).swap_dims(1, 2);
        let value = split(&self.v_proj, self.key_heads).swap_dims(1, 2);
        let seen = join((key, value));
        let mixed = mask.attend(query, seen.clone().map(|x| self.for_all_heads(x)));
        (project(&self.o_proj, mixed.swap_dims(1, 2).reshape([batch, length, heads * width])), seen)
    }

    /// Each head of keys or values for every head of queries that it serves.
    fn for_all_heads(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, heads, length, width] = x.dims();
        match self.heads / heads {
            1 => x,
            times => x
                .reshape([batch, heads, 1, length, width])
                .expand([batch, heads, times, length, width])
                .reshape([batch, heads * times, length, width]),
        }
    }
}

impl Mlp {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        project(&self.down_proj, silu_gate(project(&self.gate_proj, x.clone()), project(&self.up_proj, x)))
    }
}

/// `norm` on `x`, computed in f32.
fn normed(norm: &RmsNorm, x: Tensor<3>) -> Tensor<3> {
    let dtype = x.dtype();
    rms_norm(norm, x.cast(DType::F32)).cast(dtype)
}

fn linear(from: usize, to: usize, device: &Device) -> Linear {
    let initializer = Initializer::Normal { mean: 0.0, std: INIT_STD };
    LinearConfig::new(from, to).with_bias(false).with_initializer(initializer).init(device)
}

fn norm(config: &TextConfig, device: &Device) -> RmsNorm {
    RmsNormConfig::new(config.hidden_size).with_epsilon(config.rms_norm_eps).init(device)
}
