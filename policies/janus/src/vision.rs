//! The SigLIP tower: an image as states that an aligner makes embeddings of.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, Tensor};
use counterpoint::{Error, Result};
use counterpoint_kernels::gelu;
use counterpoint_policy_common::lora::project;
use counterpoint_weights::Precision;

use crate::VisionConfig;

/// The tower. Field names are the original's tensor names.
#[derive(Module, Debug)]
pub(crate) struct VisionModel {
    image_size: usize,
    embeddings: Embeddings,
    encoder: Encoder,
    post_layernorm: LayerNorm,
}

#[derive(Module, Debug)]
struct Embeddings {
    patch_embedding: Conv2d,
    /// `[patches, width]`.
    position_embedding: Param<Tensor<2>>,
}

#[derive(Module, Debug)]
struct Encoder {
    layers: Vec<Layer>,
}

#[derive(Module, Debug)]
struct Layer {
    layer_norm1: LayerNorm,
    self_attn: Attention,
    layer_norm2: LayerNorm,
    mlp: Mlp,
}

#[derive(Module, Debug)]
struct Attention {
    q_proj: Linear,
    k_proj: Linear,
    v_proj: Linear,
    projection_layer: Linear,
    heads: usize,
}

#[derive(Module, Debug)]
struct Mlp {
    fc1: Linear,
    fc2: Linear,
}

impl VisionModel {
    /// A tower with fresh weights. The config is a validated one.
    pub(crate) fn init(config: &VisionConfig, device: &Device) -> Self {
        let side = config.image_size / config.patch_size;
        let patches = [config.patch_size; 2];
        Self {
            image_size: config.image_size,
            embeddings: Embeddings {
                patch_embedding: Conv2dConfig::new([3, config.hidden_size], patches).with_stride(patches).init(device),
                position_embedding: Initializer::Normal { mean: 0.0, std: 0.02 }
                    .init([side * side, config.hidden_size], device),
            },
            encoder: Encoder { layers: (0..config.num_hidden_layers).map(|_| Layer::init(config, device)).collect() },
            post_layernorm: norm(config, device),
        }
    }

    /// States after the last norm.
    ///
    /// # Shapes
    /// `pixels` `[B, 3, S, S]` in [-1, 1] to `[B, N, Hv]`.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when images are of another size than the config's.
    pub(crate) fn forward(&self, pixels: Tensor<4>, precision: Precision) -> Result<Tensor<3>> {
        let [_, channels, height, width] = pixels.dims();
        let side = self.image_size;
        if (channels, height, width) != (3, side, side) {
            return Err(Error::data(format!(
                "expected images of 3 channels and {side} x {side} pixels, got {channels} channels and {height} x {width}; \
                 resize the image first"
            )));
        }
        let Embeddings { patch_embedding, position_embedding } = &self.embeddings;
        let dtype = precision.dtype();
        let patches = patch_embedding.forward(pixels.cast(patch_embedding.weight.val().dtype())).flatten::<3>(2, 3);
        let x = patches.swap_dims(1, 2).cast(dtype) + position_embedding.val().unsqueeze::<3>().cast(dtype);
        Ok(normed(&self.post_layernorm, self.encoder.layers.iter().fold(x, |x, layer| layer.forward(x))))
    }
}

impl Layer {
    fn init(config: &VisionConfig, device: &Device) -> Self {
        let width = config.hidden_size;
        let inner = (width as f64 * config.mlp_ratio) as usize;
        let projection = || LinearConfig::new(width, width).with_bias(config.attention_bias).init(device);
        Self {
            layer_norm1: norm(config, device),
            self_attn: Attention {
                q_proj: projection(),
                k_proj: projection(),
                v_proj: projection(),
                projection_layer: LinearConfig::new(width, width).init(device),
                heads: config.num_attention_heads,
            },
            layer_norm2: norm(config, device),
            mlp: Mlp {
                fc1: LinearConfig::new(width, inner).init(device),
                fc2: LinearConfig::new(inner, width).init(device),
            },
        }
    }

    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let x = x.clone() + self.self_attn.forward(normed(&self.layer_norm1, x));
        x.clone() + self.mlp.forward(normed(&self.layer_norm2, x))
    }
}

impl Attention {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, length, width] = x.dims();
        let head = width / self.heads;
        let split =
            |linear: &Linear| project(linear, x.clone()).reshape([batch, length, self.heads, head]).swap_dims(1, 2);
        let scale = (head as f64).powf(-0.5);
        let scores = (split(&self.q_proj) * scale).matmul(split(&self.k_proj).swap_dims(2, 3)).cast(DType::F32);
        let mixed = softmax(scores, 3).cast(x.dtype()).matmul(split(&self.v_proj));
        project(&self.projection_layer, mixed.swap_dims(1, 2).reshape([batch, length, width]))
    }
}

impl Mlp {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        project(&self.fc2, gelu(project(&self.fc1, x)))
    }
}

/// `norm` on `x`, computed in f32.
fn normed(norm: &LayerNorm, x: Tensor<3>) -> Tensor<3> {
    let dtype = x.dtype();
    norm.forward(x.cast(DType::F32)).cast(dtype)
}

fn norm(config: &VisionConfig, device: &Device) -> LayerNorm {
    LayerNormConfig::new(config.hidden_size).with_epsilon(config.layer_norm_eps).init(device)
}
