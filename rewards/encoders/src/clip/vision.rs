//! Sizes of the image tower: a ViT with a norm before its first block.

use burn::tensor::Device;
use counterpoint::Result;
use serde::{Deserialize, Serialize};

use crate::files::{activation, check_sizes};
use crate::transformer::{BlockConfig, FeedForward};
use crate::vit::{Resizing, Vit, VitConfig};

/// Architecture of CLIP's image tower. Defaults: ViT-B/32.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClipVisionConfig {
    /// Width.
    pub hidden_size: usize,
    /// Width of the feed-forward blocks.
    pub intermediate_size: usize,
    /// Depth.
    pub num_hidden_layers: usize,
    /// Heads of each attention; divides the width.
    pub num_attention_heads: usize,
    /// Channels of the image.
    pub num_channels: usize,
    /// Side of the image in pixels.
    pub image_size: usize,
    /// Side of a patch in pixels.
    pub patch_size: usize,
    /// Activation: `"gelu"` or `"quick_gelu"`.
    pub hidden_act: String,
    /// Epsilon of the norms.
    pub layer_norm_eps: f64,
}

impl Default for ClipVisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            num_channels: 3,
            image_size: 224,
            patch_size: 32,
            hidden_act: "quick_gelu".into(),
            layer_norm_eps: 1e-5,
        }
    }
}

impl ClipVisionConfig {
    pub(super) fn init(&self, device: &Device) -> Result<Vit> {
        let activation = activation("clip vision", &self.hidden_act)?;
        check_sizes(
            "clip vision",
            self.hidden_size,
            self.num_attention_heads,
            &[
                ("intermediate_size", self.intermediate_size),
                ("num_channels", self.num_channels),
                ("patch_size", self.patch_size),
                ("image_size / patch_size", self.image_size.checked_div(self.patch_size).unwrap_or(0)),
            ],
        )?;
        let config = VitConfig {
            block: BlockConfig {
                hidden: self.hidden_size,
                heads: self.num_attention_heads,
                feed_forward: FeedForward::Plain { width: self.intermediate_size, activation },
                epsilon: self.layer_norm_eps,
                fused: false,
                qkv_bias: true,
                layer_scale: None,
            },
            layers: self.num_hidden_layers,
            image_size: self.image_size,
            patch_size: self.patch_size,
            channels: self.num_channels,
            patch_bias: false,
            pre_norm: true,
            registers: 0,
            resizing: Resizing::None,
        };
        Ok(config.init(device))
    }
}
