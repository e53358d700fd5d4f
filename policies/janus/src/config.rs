//! The architecture, as the original's `config.json` says it.

use std::path::Path;

use counterpoint::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::original;

/// Architecture of a Janus: transformers' `config.json`, whose other keys are ignored. Defaults: Janus-Pro-1B.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JanusConfig {
    /// The decoder.
    pub text_config: TextConfig,
    /// The tower that images are read through, and its aligner.
    pub vision_config: VisionConfig,
    /// The tokenizer that images are written with, its aligner and head.
    pub vq_config: VqConfig,
    /// The token that stands for one embedding of an image that is read.
    pub image_token_id: u32,
}

/// The Llama decoder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TextConfig {
    /// Token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the gated feed-forward block.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads of queries.
    pub num_attention_heads: usize,
    /// Heads of keys and values, of which each serves as many heads of queries. Default: as many as those.
    pub num_key_value_heads: Option<usize>,
    /// Width of a head. Default: the hidden size divided by the heads.
    pub head_dim: Option<usize>,
    /// The token that fills sequences up, whose embedding is not trained (torch's `padding_idx`).
    pub pad_token_id: Option<u32>,
    /// Positions that the model was made for.
    pub max_position_embeddings: usize,
    /// Added to the mean square of the norms.
    pub rms_norm_eps: f64,
    /// Base of the rotation's frequencies, in older files.
    pub rope_theta: f64,
    /// The rotation, in newer files.
    pub rope_parameters: Option<RopeConfig>,
}

/// The rotation of queries and keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RopeConfig {
    /// Base of its frequencies.
    pub rope_theta: f64,
    /// `default`; no other is supported.
    #[serde(default = "default_rope")]
    pub rope_type: String,
}

fn default_rope() -> String {
    "default".to_owned()
}

/// The SigLIP tower.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VisionConfig {
    /// Width.
    pub hidden_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Heads.
    pub num_attention_heads: usize,
    /// Width of the feed-forward block, as a multiple of the width.
    pub mlp_ratio: f64,
    /// Pixels of an image's side.
    pub image_size: usize,
    /// Pixels of a patch's side.
    pub patch_size: usize,
    /// Added to the variance of the norms.
    pub layer_norm_eps: f64,
    /// Linear layers of the aligner.
    pub depth: usize,
    /// Width that the aligner ends with, that of the decoder.
    pub projection_dim: usize,
    /// Whether projections of attention have biases.
    pub attention_bias: bool,
}

/// The VQ tokenizer, LlamaGen's VQ-16.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VqConfig {
    /// Numbers of a code's vector.
    pub embed_dim: usize,
    /// Codes.
    pub num_embeddings: usize,
    /// Channels between encoder or decoder and quantisation.
    pub latent_channels: usize,
    /// Channels of an image.
    pub in_channels: usize,
    /// Channels of an image that is decoded.
    pub out_channels: usize,
    /// Channels of the widest level, divided by its multiplier.
    pub base_channels: usize,
    /// Multiple of the channels, level by level from the largest image on.
    pub channel_multiplier: Vec<usize>,
    /// Blocks of a level.
    pub num_res_blocks: usize,
    /// Codes along an image's side.
    pub num_patches: usize,
    /// Linear layers of the aligner.
    pub num_hidden_layers: usize,
    /// Width that the aligner ends with, that of the decoder.
    pub projection_dim: usize,
    /// Width of the head's input, that of the decoder.
    pub image_token_embed_dim: usize,
}

impl Default for TextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 102_400,
            hidden_size: 2048,
            intermediate_size: 5632,
            num_hidden_layers: 24,
            num_attention_heads: 16,
            num_key_value_heads: None,
            head_dim: None,
            pad_token_id: None,
            max_position_embeddings: 16_384,
            rms_norm_eps: 1e-6,
            rope_theta: 10_000.0,
            rope_parameters: None,
        }
    }
}

impl Default for VisionConfig {
    fn default() -> Self {
        Self {
            hidden_size: 1024,
            num_hidden_layers: 24,
            num_attention_heads: 16,
            mlp_ratio: 4.0,
            image_size: 384,
            patch_size: 16,
            layer_norm_eps: 1e-6,
            depth: 2,
            projection_dim: 2048,
            attention_bias: true,
        }
    }
}

impl Default for VqConfig {
    fn default() -> Self {
        Self {
            embed_dim: 8,
            num_embeddings: 16_384,
            latent_channels: 256,
            in_channels: 3,
            out_channels: 3,
            base_channels: 128,
            channel_multiplier: vec![1, 1, 2, 2, 4],
            num_res_blocks: 2,
            num_patches: 24,
            num_hidden_layers: 2,
            projection_dim: 2048,
            image_token_embed_dim: 2048,
        }
    }
}

impl JanusConfig {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when it cannot be read, [`Config`](counterpoint::ErrorKind::Config) when it is no such
    /// config or its numbers do not agree with each other.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e))?;
        let no_config = |e| Error::config(format!("{} is no config of a Janus", path.display())).with_source(e);
        let value: serde_json::Value = serde_json::from_str(&text).map_err(no_config)?;
        let config: Self = match original::is_config(&value) {
            true => original::config(value, path)?,
            false => serde_json::from_value(value).map_err(no_config)?,
        };
        config.validate().map_err(|e| e.at(path.display()))?;
        Ok(config)
    }

    /// Checks that the numbers agree with each other.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) naming the key, what is expected and what came.
    pub fn validate(&self) -> Result<()> {
        let Self { text_config: text, vision_config: vision, vq_config: vq, image_token_id } = self;
        let whole = |key: &str, value: usize, of: &str, parts: usize| {
            let expected = format!("expected {key} to be a multiple of {of}, 1 or more of it");
            match parts > 0 && value > 0 && value.is_multiple_of(parts) {
                true => Ok(()),
                false => Err(Error::config(format!("{expected}, got {value} and {parts}"))),
            }
        };
        whole("text_config.num_attention_heads", text.num_attention_heads, "num_key_value_heads", text.key_heads())?;
        if text.head_dim.is_none() {
            whole("text_config.hidden_size", text.hidden_size, "num_attention_heads", text.num_attention_heads)?;
        }
        whole("text_config's head_dim", text.head_width(), "2", 2)?;
        whole("vision_config.hidden_size", vision.hidden_size, "num_attention_heads", vision.num_attention_heads)?;
        whole("vision_config.image_size", vision.image_size, "patch_size", vision.patch_size)?;
        let same = |key: &str, value: usize, other: &str, expected: usize| match value == expected {
            true => Ok(()),
            false => Err(Error::config(format!("{key}: expected {expected}, {other}, got {value}"))),
        };
        let width = text.hidden_size;
        same("vision_config.projection_dim", vision.projection_dim, "text_config.hidden_size", width)?;
        same("vq_config.projection_dim", vq.projection_dim, "text_config.hidden_size", width)?;
        same("vq_config.image_token_embed_dim", vq.image_token_embed_dim, "text_config.hidden_size", width)?;
        for (key, value) in [
            ("vision_config.depth", vision.depth),
            ("vq_config.num_hidden_layers", vq.num_hidden_layers),
            ("vq_config.num_patches", vq.num_patches),
            ("vq_config.num_embeddings", vq.num_embeddings),
            ("vq_config.channel_multiplier", vq.channel_multiplier.len()),
        ] {
            if value == 0 {
                return Err(Error::config(format!("{key}: expected 1 or more, got 0")));
            }
        }
        for multiplier in &vq.channel_multiplier {
            whole("vq_config.base_channels * channel_multiplier", vq.base_channels * multiplier, "32 groups", 32)?;
        }
        if *image_token_id as usize >= text.vocab_size {
            return Err(Error::config(format!(
                "image_token_id: expected an id below text_config.vocab_size {}, got {image_token_id}",
                text.vocab_size
            )));
        }
        match &text.rope_parameters {
            Some(rope) if rope.rope_type != "default" => Err(Error::config(format!(
                "text_config.rope_parameters.rope_type: expected \"default\", got {:?}; no other is supported",
                rope.rope_type
            ))),
            _ => Ok(()),
        }
    }

    /// Codes of an image, N.
    pub fn image_tokens(&self) -> usize {
        self.vq_config.num_patches * self.vq_config.num_patches
    }

    /// Embeddings of an image that is read.
    pub fn image_embeddings(&self) -> usize {
        let side = self.vision_config.image_size / self.vision_config.patch_size;
        side * side
    }
}

impl TextConfig {
    /// Heads of keys and values.
    pub fn key_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of a head.
    pub fn head_width(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// Base of the rotation's frequencies.
    pub fn rope_base(&self) -> f64 {
        self.rope_parameters.as_ref().map_or(self.rope_theta, |rope| rope.rope_theta)
    }
}

impl VqConfig {
    /// Pixels along a code's side.
    pub fn downsampling(&self) -> usize {
        1 << (self.channel_multiplier.len() - 1)
    }
}
