//! Sizes of the tower, and the tower made from them.

use std::path::Path;

use burn::tensor::Device;
use counterpoint::Result;
use counterpoint_weights::Precision;
use serde::{Deserialize, Serialize};

use super::{Dinov2, NAMES};
use crate::files::{self, activation, check_sizes};
use crate::transformer::{BlockConfig, FeedForward};
use crate::vit::{Resizing, VitConfig};

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
    /// Activation: `"gelu"` or `"quick_gelu"`.
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
        self.init_with(false, device)
    }

    /// `one_matrix` says whether gate and up of a SwiGLU are one matrix, as in published files.
    fn init_with(&self, one_matrix: bool, device: &Device) -> Result<Dinov2> {
        let activation = activation("dinov2", &self.hidden_act)?;
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
        let width = self.hidden_size * self.mlp_ratio;
        let feed_forward = match self.use_swiglu_ffn {
            true => FeedForward::SwiGlu { width: (width * 2 / 3).div_ceil(8) * 8, one_matrix },
            false => FeedForward::Plain { width, activation },
        };
        let vit = VitConfig {
            block: BlockConfig {
                hidden: self.hidden_size,
                heads: self.num_attention_heads,
                feed_forward,
                epsilon: self.layer_norm_eps,
                fused: false,
                qkv_bias: self.qkv_bias,
                layer_scale: Some(self.layerscale_value),
            },
            layers: self.num_hidden_layers,
            image_size: self.image_size,
            patch_size: self.patch_size,
            channels: self.num_channels,
            patch_bias: true,
            pre_norm: false,
            registers: self.num_register_tokens,
            resizing: if self.num_register_tokens > 0 { Resizing::AntiAliased } else { Resizing::Bicubic },
        };
        Ok(Dinov2 { vit: vit.init(device) })
    }

    /// The tower in `dir`: `config.json` and its weights (safetensors or `pytorch_model.bin`, sharded or not), the matrices
    /// in `precision`.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the weights do not fit the config.
    pub fn load(dir: &Path, precision: Precision, device: &Device) -> Result<Dinov2> {
        let config = Self::read(dir)?;
        let weights = files::open(dir)?;
        let one_matrix = weights.tensors().iter().any(|t| t.name.contains(".mlp.weights_in."));
        let mut tower = config.init_with(one_matrix, device)?;
        files::load(&mut tower, &weights, &NAMES, precision)?;
        Ok(tower)
    }
}
