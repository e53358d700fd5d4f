//! CLIP: a vision and a text transformer that embed into one space.

use std::path::Path;

use burn::module::{Module, Param};
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::{Device, Int, Tensor};
use counterpoint::{Error, Result};
use counterpoint_weights::Precision;
use serde::{Deserialize, Serialize};

use crate::files::{self, Names};
use crate::ops::{l2_normalise, project};
use crate::vit::Vit;

mod text;
mod vision;

pub use text::ClipTextConfig;
pub use vision::ClipVisionConfig;

use text::TextModel;

const NAMES: Names = Names {
    load: &[&[
        (r"^vision_model\.embeddings\.class_embedding$", "vision_model.embeddings.class_token"),
        (r"^vision_model\.embeddings\.patch_embedding\.", "vision_model.embeddings.patches."),
        (r"^vision_model\.embeddings\.position_embedding\.weight$", "vision_model.embeddings.positions"),
        (r"^vision_model\.pre_layrnorm\.", "vision_model.pre_norm."),
        (r"^vision_model\.post_layernorm\.", "vision_model.norm."),
        (r"^text_model\.embeddings\.(token|position)_embedding\.", "text_model.${1}s."),
        (r"^text_model\.final_layer_norm\.", "text_model.norm."),
        (r"^(vision|text)_model\.encoder\.layers\.", "${1}_model.layers."),
        (r"\.self_attn\.q_proj\.", ".attention.projections.query."),
        (r"\.self_attn\.k_proj\.", ".attention.projections.key."),
        (r"\.self_attn\.v_proj\.", ".attention.projections.value."),
        (r"\.self_attn\.out_proj\.", ".attention.output."),
        (r"\.layer_norm([12])\.", ".norm$1."),
    ]],
    save: &[],
    ignored: &["vision_model.embeddings.position_ids", "text_model.embeddings.position_ids"],
};

/// Architecture of a [`Clip`]: the original's `config.json`, whose other keys are ignored. Defaults: ViT-B/32.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClipConfig {
    /// The text tower.
    pub text_config: ClipTextConfig,
    /// The image tower.
    pub vision_config: ClipVisionConfig,
    /// Width of the shared space.
    pub projection_dim: usize,
}

impl Default for ClipConfig {
    fn default() -> Self {
        Self { text_config: ClipTextConfig::default(), vision_config: ClipVisionConfig::default(), projection_dim: 512 }
    }
}

impl ClipConfig {
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
    /// When a size is zero, heads do not divide a width, or an activation is not supported.
    pub fn init(&self, device: &Device) -> Result<Clip> {
        if self.projection_dim == 0 {
            return Err(Error::config("clip: expected projection_dim above 0, got 0; check config.json"));
        }
        let projection = |from| LinearConfig::new(from, self.projection_dim).with_bias(false).init(device);
        Ok(Clip {
            vision_model: self.vision_config.init(device)?,
            text_model: self.text_config.init(device)?,
            visual_projection: projection(self.vision_config.hidden_size),
            text_projection: projection(self.text_config.hidden_size),
            logit_scale: Initializer::Constant { value: (1.0_f64 / 0.07).ln() }.init([1], device),
            end: self.text_config.eos_token_id,
        })
    }

    /// The towers in `dir`: `config.json` and their weights (safetensors or `pytorch_model.bin`, sharded or not), the matrices
    /// in `precision`.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the weights do not fit the config.
    pub fn load(dir: &Path, precision: Precision, device: &Device) -> Result<Clip> {
        let mut towers = Self::read(dir)?.init(device)?;
        files::load(&mut towers, &files::open(dir)?, &NAMES, precision)?;
        Ok(towers)
    }
}

/// CLIP's two towers.
#[derive(Module, Debug)]
pub struct Clip {
    vision_model: Vit,
    text_model: TextModel,
    visual_projection: Linear,
    text_projection: Linear,
    logit_scale: Param<Tensor<1>>,
    /// The token that ends a text.
    end: usize,
}

impl Clip {
    /// One unit vector per image.
    ///
    /// # Shapes
    /// - pixels: `[b, 3, image_size, image_size]`, normalised
    /// - result: `[b, projection_dim]`
    ///
    /// # Errors
    /// When the image is not of the config's size.
    pub fn embed_images(&self, pixels: Tensor<4>) -> Result<Tensor<2>> {
        let tokens = self.vision_model.forward(pixels)?;
        let class = self.vision_model.norm(tokens.narrow(1, 0, 1));
        Ok(l2_normalise(project(&self.visual_projection, class)).squeeze_dim(1))
    }

    /// One unit vector per text, that of its first end token.
    ///
    /// # Shapes
    /// - ids: `[m, l]`, each with an end token; what comes after it does not matter
    /// - result: `[m, projection_dim]`
    ///
    /// # Panics
    /// When an id or the length is out of the config's range: [`TextTokenizer`](crate::TextTokenizer) truncates.
    pub fn embed_texts(&self, ids: Tensor<2, Int>) -> Tensor<2> {
        let ends = text::ends(&ids, self.end);
        let hidden = self.text_model.forward(ids);
        let last = (hidden * ends.unsqueeze_dim::<3>(2)).sum_dim(1);
        l2_normalise(project(&self.text_projection, last)).squeeze_dim(1)
    }

    /// Cosine of every image with every text times the learned scale: the logits of CLIP's classification.
    ///
    /// # Shapes
    /// - images: `[b, p]`, texts: `[m, p]`, as embedded by these towers
    /// - result: `[b, m]`
    pub fn logits(&self, images: Tensor<2>, texts: Tensor<2>) -> Tensor<2> {
        images.matmul(texts.transpose()) * self.logit_scale.val().exp().unsqueeze::<2>()
    }
}
