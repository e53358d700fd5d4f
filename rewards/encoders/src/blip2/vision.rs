//! Sizes of the image tower: a ViT with one projection for query, key and value.

use burn::tensor::Device;
use counterpoint::Result;
use serde::{Deserialize, Serialize};

use crate::files::{activation, check_sizes};
use crate::transformer::{BlockConfig, FeedForward};
use crate::vit::{Resizing, Vit, VitConfig};

/// Names of the tower `vision_model` in the files of BLIP-2 and BLIP, and ours.
pub(crate) const VISION: &[(&str, &str)] = &[
    (r"^vision_model\.embeddings\.class_embedding$", "vision_model.embeddings.class_token"),
    (r"^vision_model\.embeddings\.patch_embedding\.", "vision_model.embeddings.patches."),
    (r"^vision_model\.embeddings\.position_embedding$", "vision_model.embeddings.positions"),
    (r"^vision_model\.encoder\.layers\.", "vision_model.layers."),
    (r"\.self_attn\.qkv\.", ".attention.projections.qkv."),
    (r"\.self_attn\.projection\.", ".attention.output."),
    (r"^(vision_model\..*)\.layer_norm([12])\.", "$1.norm$2."),
    (r"^vision_model\.post_layernorm\.", "vision_model.norm."),
];

/// And back.
pub(crate) const VISION_SAVED: &[(&str, &str)] = &[
    (r"^vision_model\.embeddings\.class_token$", "vision_model.embeddings.class_embedding"),
    (r"^vision_model\.embeddings\.patches\.", "vision_model.embeddings.patch_embedding."),
    (r"^vision_model\.embeddings\.positions$", "vision_model.embeddings.position_embedding"),
    (r"^vision_model\.layers\.", "vision_model.encoder.layers."),
    (r"^(vision_model\..*)\.attention\.projections\.qkv\.", "$1.self_attn.qkv."),
    (r"^(vision_model\..*)\.attention\.output\.", "$1.self_attn.projection."),
    (r"^(vision_model\..*)\.norm([12])\.", "$1.layer_norm$2."),
    (r"^vision_model\.norm\.", "vision_model.post_layernorm."),
];

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
    /// Activation: `"gelu"` or `"quick_gelu"`.
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
    pub(crate) fn init(&self, who: &str, device: &Device) -> Result<Vit> {
        let activation = activation(who, &self.hidden_act)?;
        check_sizes(
            who,
            self.hidden_size,
            self.num_attention_heads,
            &[
                ("intermediate_size", self.intermediate_size),
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
                fused: true,
                qkv_bias: self.qkv_bias,
                layer_scale: None,
            },
            layers: self.num_hidden_layers,
            image_size: self.image_size,
            patch_size: self.patch_size,
            channels: 3,
            patch_bias: true,
            pre_norm: false,
            registers: 0,
            resizing: Resizing::None,
        };
        Ok(config.init(device))
    }
}
