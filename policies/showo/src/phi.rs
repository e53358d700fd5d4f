//! The Phi decoder: attention and MLP in parallel on one layer norm. Field names are the original's tensor names.

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{DType, Device, Tensor};
use counterpoint_kernels::{KeyValues, Mask, Rotation, Seen, gelu, gelu_tanh, layer_norm};
use counterpoint_policy_common::lora::project;
use counterpoint_policy_common::tape::Layer;

use crate::config::{Activation, PhiConfig};

/// Standard deviation of fresh weights.
const INIT_STD: f64 = 0.02;

/// Decoder and output head.
#[derive(Module, Debug)]
pub(crate) struct PhiForCausalLm {
    pub(crate) model: PhiModel,
    pub(crate) lm_head: Linear,
}

/// The decoder.
#[derive(Module, Debug)]
pub(crate) struct PhiModel {
    pub(crate) embed_tokens: Embedding,
    pub(crate) layers: Vec<DecoderLayer>,
    pub(crate) final_layernorm: LayerNorm,
}

/// One layer.
#[derive(Module, Debug)]
pub(crate) struct DecoderLayer {
    self_attn: Attention,
    mlp: Mlp,
    input_layernorm: LayerNorm,
    epsilon: f64,
}

#[derive(Module, Debug)]
struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    dense: Linear,
    q_layernorm: Option<LayerNorm>,
    k_layernorm: Option<LayerNorm>,
    heads: usize,
    epsilon: f64,
}

#[derive(Module, Debug)]
struct Mlp {
    fc1: Linear,
    fc2: Linear,
    #[module(skip)]
    activation: Activation,
}

impl PhiForCausalLm {
    pub(crate) fn init(config: &PhiConfig, vocab_size: usize, device: &Device) -> Self {
        let model = PhiModel {
            embed_tokens: EmbeddingConfig::new(vocab_size, config.hidden_size)
                .with_initializer(Initializer::Normal { mean: 0.0, std: INIT_STD })
                .init(device),
            layers: (0..config.num_hidden_layers).map(|_| DecoderLayer::init(config, device)).collect(),
            final_layernorm: norm(config.hidden_size, config, device),
        };
        Self { model, lm_head: linear(config.hidden_size, vocab_size, device) }
    }
}

impl DecoderLayer {
    fn init(config: &PhiConfig, device: &Device) -> Self {
        let width = config.hidden_size;
        let head_norm = || config.qk_layernorm.then(|| norm(config.head_dim(), config, device));
        Self {
            self_attn: Attention {
                q_proj: linear(width, width, device),
                k_proj: linear(width, width, device),
                v_proj: linear(width, width, device),
                dense: linear(width, width, device),
                q_layernorm: head_norm(),
                k_layernorm: head_norm(),
                heads: config.num_attention_heads,
                epsilon: config.layer_norm_eps,
            },
            mlp: Mlp {
                fc1: linear(width, config.intermediate_size, device),
                fc2: linear(config.intermediate_size, width, device),
                activation: config.hidden_act,
            },
            input_layernorm: norm(width, config, device),
            epsilon: config.layer_norm_eps,
        }
    }
}

impl Layer for DecoderLayer {
    fn forward(
        &self,
        x: Tensor<3>,
        rotation: &Rotation,
        mask: &Mask,
        join: impl FnOnce(KeyValues) -> Seen,
    ) -> (Tensor<3>, Seen) {
        let y = normed(&self.input_layernorm, self.epsilon, x.clone());
        let (attended, seen) = self.self_attn.forward(y.clone(), rotation, mask, join);
        (attended + self.mlp.forward(y) + x, seen)
    }
}

impl Attention {
    fn forward(
        &self,
        x: Tensor<3>,
        rotary: &Rotation,
        mask: &Mask,
        join: impl FnOnce(KeyValues) -> Seen,
    ) -> (Tensor<3>, Seen) {
        let [batch, length, width] = x.dims();
        let split = |y: Tensor<3>| y.reshape([batch, length, self.heads, width / self.heads]);
        let rotated = |linear: &Linear, norm: &Option<LayerNorm>| {
            let y = split(project(linear, x.clone()));
            let y = match norm {
                Some(norm) => normed(norm, self.epsilon, y),
                None => y,
            };
            rotary.apply(y).swap_dims(1, 2)
        };
        let query = rotated(&self.q_proj, &self.q_layernorm);
        let key = rotated(&self.k_proj, &self.k_layernorm);
        let value = split(project(&self.v_proj, x.clone())).swap_dims(1, 2);
        let seen = join((key, value));
        let y = mask.attend(query, seen.clone());
        let y = project(&self.dense, y.swap_dims(1, 2).reshape([batch, length, width]));
        (y, seen)
    }
}

impl Mlp {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = project(&self.fc1, x);
        let x = match self.activation {
            Activation::GeluNew => gelu_tanh(x),
            Activation::Gelu => gelu(x),
        };
        project(&self.fc2, x)
    }
}

/// `norm`, whose epsilon this is, on `x`, computed in f32.
pub(crate) fn normed<const D: usize>(norm: &LayerNorm, epsilon: f64, x: Tensor<D>) -> Tensor<D> {
    let dtype = x.dtype();
    layer_norm(norm, epsilon, x.cast(DType::F32)).cast(dtype)
}

fn linear(from: usize, to: usize, device: &Device) -> Linear {
    let mut linear =
        LinearConfig::new(from, to).with_initializer(Initializer::Normal { mean: 0.0, std: INIT_STD }).init(device);
    linear.bias = linear.bias.map(|_| Initializer::Zeros.init([to], device));
    linear
}

fn norm(width: usize, config: &PhiConfig, device: &Device) -> LayerNorm {
    LayerNormConfig::new(width).with_epsilon(config.layer_norm_eps).init(device)
}
