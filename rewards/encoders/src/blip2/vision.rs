//! The image tower: a pre-norm ViT with fused query, key and value projections.

use burn::module::{Module, Param};
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::gelu;
use burn::tensor::{Device, Tensor};
use counterpoint::Result;
use serde::{Deserialize, Serialize};

use crate::files::{check_gelu, check_sizes};
use crate::ops::{attend, embed_patches};

/// Architecture of BLIP-2's image tower.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VisionConfig {
    /// Width.
    pub hidden_size: usize,
    /// Width of the feed-forward blocks.
    pub intermediate_size: usize,
    /// Depth.
    pub num_hidden_layers: usize,
    /// Heads of each attention; divides the width.
    pub num_attention_heads: usize,
    /// Side of the image in pixels.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Activation; `"gelu"` is supported.
    pub hidden_act: String,
    /// Epsilon of the norms.
    pub layer_norm_eps: f64,
    /// Whether the fused projection has a bias.
    pub qkv_bias: bool,
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 1408,
            intermediate_size: 6144,
            num_hidden_layers: 39,
            num_attention_heads: 16,
            image_size: 224,
            patch_size: 14,
            hidden_act: "gelu".into(),
            layer_norm_eps: 1e-6,
            qkv_bias: true,
        }
    }
}

impl VisionConfig {
    pub(super) fn init(&self, device: &Device) -> Result<VisionModel> {
        check_gelu("blip2 vision", &self.hidden_act)?;
        check_sizes(
            "blip2 vision",
            self.hidden_size,
            self.num_attention_heads,
            &[
                ("intermediate_size", self.intermediate_size),
                ("patch_size", self.patch_size),
                ("image_size / patch_size", self.image_size.checked_div(self.patch_size).unwrap_or(0)),
            ],
        )?;
        let (h, p) = (self.hidden_size, self.patch_size);
        let positions = (self.image_size / p).pow(2) + 1;
        let normal = Initializer::Normal { mean: 0.0, std: 0.02 };
        let norm = || LayerNormConfig::new(h).with_epsilon(self.layer_norm_eps).init(device);
        let layer = |_| Layer {
            self_attn: SelfAttention {
                qkv: LinearConfig::new(h, 3 * h).with_bias(self.qkv_bias).init(device),
                projection: LinearConfig::new(h, h).init(device),
                heads: self.num_attention_heads,
            },
            layer_norm1: norm(),
            mlp: Mlp {
                fc1: LinearConfig::new(h, self.intermediate_size).init(device),
                fc2: LinearConfig::new(self.intermediate_size, h).init(device),
            },
            layer_norm2: norm(),
        };
        Ok(VisionModel {
            embeddings: Embeddings {
                class_embedding: normal.init([1, 1, h], device),
                patch_embedding: Conv2dConfig::new([3, h], [p, p]).with_stride([p, p]).init(device),
                position_embedding: normal.init([1, positions, h], device),
            },
            encoder: Layers { layers: (0..self.num_hidden_layers).map(layer).collect() },
            post_layernorm: norm(),
        })
    }
}

#[derive(Module, Debug)]
pub(super) struct VisionModel {
    embeddings: Embeddings,
    encoder: Layers,
    post_layernorm: LayerNorm,
}

#[derive(Module, Debug)]
struct Embeddings {
    class_embedding: Param<Tensor<3>>,
    patch_embedding: Conv2d,
    position_embedding: Param<Tensor<3>>,
}

#[derive(Module, Debug)]
struct Layers {
    layers: Vec<Layer>,
}

#[derive(Module, Debug)]
struct Layer {
    self_attn: SelfAttention,
    layer_norm1: LayerNorm,
    mlp: Mlp,
    layer_norm2: LayerNorm,
}

#[derive(Module, Debug)]
struct SelfAttention {
    qkv: Linear,
    projection: Linear,
    heads: usize,
}

#[derive(Module, Debug)]
struct Mlp {
    fc1: Linear,
    fc2: Linear,
}

impl VisionModel {
    /// # Shapes
    /// - pixels: `[b, 3, s, s]`, result: `[b, 1 + patches, hidden]`
    pub(super) fn forward(&self, pixels: Tensor<4>) -> Tensor<3> {
        let patches = embed_patches(&self.embeddings.patch_embedding, pixels);
        let [batch, _, h] = patches.dims();
        let class = self.embeddings.class_embedding.val().expand([batch, 1, h]);
        let mut x = Tensor::cat(vec![class, patches], 1) + self.embeddings.position_embedding.val();
        for layer in &self.encoder.layers {
            x = x.clone() + layer.self_attn.forward(layer.layer_norm1.forward(x));
            let widened = gelu(layer.mlp.fc1.forward(layer.layer_norm2.forward(x.clone())));
            x = x + layer.mlp.fc2.forward(widened);
        }
        self.post_layernorm.forward(x)
    }
}

impl SelfAttention {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, length, h] = x.dims();
        let qkv = self.qkv.forward(x);
        let part = |i: usize| qkv.clone().slice([0..batch, 0..length, i * h..(i + 1) * h]);
        self.projection.forward(attend(part(0), part(1), part(2), self.heads, None))
    }
}
