//! Sizes of the tower, and the tower made from them.

use std::path::Path;

use burn::nn::conv::Conv2dConfig;
use burn::nn::{Initializer, LayerNormConfig, LinearConfig};
use burn::tensor::Device;
use counterpoint::Result;
use serde::{Deserialize, Serialize};

use super::{Dinov2, Embeddings, Gelu, Layer, LayerScale, Layers, Mlp, NAMES, PatchEmbeddings, SelfAttention, SwiGlu};
use crate::files::{self, check_gelu, check_sizes};

/// Architecture of a [`Dinov2`]: the original's `config.json`, whose other keys are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dinov2Config {
    /// Width.
    pub hidden_size: usize,
    /// Depth.
    pub num_hidden_layers: usize,
    /// Heads of each attention; divides the width.
    pub num_attention_heads: usize,
    /// Width of the feed-forward blocks over the tower's width.
    pub mlp_ratio: usize,
    /// Activation; `"gelu"` is supported.
    pub hidden_act: String,
    /// Epsilon of the norms.
    pub layer_norm_eps: f64,
    /// Side in pixels of the image that the position embedding was learned on.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Channels of the image.
    pub num_channels: usize,
    /// Whether the query, key and value projections have a bias.
    pub qkv_bias: bool,
    /// Value the layer scales start from.
    pub layerscale_value: f64,
    /// SwiGLU instead of GELU feed-forward blocks.
    pub use_swiglu_ffn: bool,
    /// Number of register tokens.
    pub num_register_tokens: usize,
}

impl Default for Dinov2Config {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            mlp_ratio: 4,
            hidden_act: "gelu".into(),
            layer_norm_eps: 1e-6,
            image_size: 224,
            patch_size: 16,
            num_channels: 3,
            qkv_bias: true,
            layerscale_value: 1.0,
            use_swiglu_ffn: false,
            num_register_tokens: 0,
        }
    }
}

impl Dinov2Config {
    /// Reads `dir/config.json`.
    ///
    /// # Errors
    /// When the file cannot be read or is not such a config.
    pub fn read(dir: &Path) -> Result<Self> {
        files::read_json(&dir.join(files::CONFIG))
    }

    /// A tower with random weights.
    ///
    /// # Errors
    /// When a size is zero, the heads do not divide the width, or the activation is not supported.
    pub fn init(&self, device: &Device) -> Result<Dinov2> {
        check_gelu("dinov2", &self.hidden_act)?;
        check_sizes(
            "dinov2",
            self.hidden_size,
            self.num_attention_heads,
            &[
                ("mlp_ratio", self.mlp_ratio),
                ("num_channels", self.num_channels),
                ("patch_size", self.patch_size),
                ("image_size / patch_size", self.image_size.checked_div(self.patch_size).unwrap_or(0)),
            ],
        )?;
        let (h, p) = (self.hidden_size, self.patch_size);
        let side = self.image_size / p;
        let normal = Initializer::Normal { mean: 0.0, std: 0.02 };
        let norm = || LayerNormConfig::new(h).with_epsilon(self.layer_norm_eps).init(device);
        Ok(Dinov2 {
            embeddings: Embeddings {
                cls_token: normal.init([1, 1, h], device),
                register_tokens: (self.num_register_tokens > 0)
                    .then(|| normal.init([1, self.num_register_tokens, h], device)),
                patch_embeddings: PatchEmbeddings {
                    projection: Conv2dConfig::new([self.num_channels, h], [p, p]).with_stride([p, p]).init(device),
                },
                position_embeddings: normal.init([1, side * side + 1, h], device),
            },
            encoder: Layers { layer: (0..self.num_hidden_layers).map(|_| self.layer(device)).collect() },
            layernorm: norm(),
        })
    }

    fn layer(&self, device: &Device) -> Layer {
        let h = self.hidden_size;
        let norm = || LayerNormConfig::new(h).with_epsilon(self.layer_norm_eps).init(device);
        let scale = || LayerScale { lambda1: Initializer::Constant { value: self.layerscale_value }.init([h], device) };
        let projection = || LinearConfig::new(h, h).with_bias(self.qkv_bias).init(device);
        let wide = h * self.mlp_ratio;
        let mlp = if self.use_swiglu_ffn {
            let wide = (wide * 2 / 3).div_ceil(8) * 8;
            Mlp::SwiGlu(SwiGlu {
                gate_proj: LinearConfig::new(h, wide).init(device),
                up_proj: LinearConfig::new(h, wide).init(device),
                down_proj: LinearConfig::new(wide, h).init(device),
            })
        } else {
            Mlp::Gelu(Gelu {
                fc1: LinearConfig::new(h, wide).init(device),
                fc2: LinearConfig::new(wide, h).init(device),
            })
        };
        Layer {
            norm1: norm(),
            attention: SelfAttention {
                q_proj: projection(),
                k_proj: projection(),
                v_proj: projection(),
                o_proj: LinearConfig::new(h, h).init(device),
                heads: self.num_attention_heads,
            },
            layer_scale1: scale(),
            norm2: norm(),
            mlp,
            layer_scale2: scale(),
        }
    }

    /// The tower in `dir`: `config.json` and `model.safetensors`.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the weights do not fit the config.
    pub fn load(dir: &Path, device: &Device) -> Result<Dinov2> {
        let mut tower = Self::read(dir)?.init(device)?;
        files::load(&mut tower, dir, &NAMES)?;
        Ok(tower)
    }
}
