//! The first release of Janus-Pro (`deepseek-ai/Janus-Pro-1B`): its `config.json`, and its tensor names as those of this module.

use std::collections::BTreeMap;
use std::path::Path;

use counterpoint::{Error, Result};
use counterpoint_weights::WeightFiles;
use serde::Deserialize;
use serde_json::Value;

use crate::text::{IMAGE, PAD};
use crate::{JanusConfig, TextConfig, VisionConfig, VqConfig};

/// The only tower of the release.
const TOWER: &str = "siglip_large_patch16_384";

/// Whether the files have the first release's names.
pub(crate) fn is_original(files: &WeightFiles) -> bool {
    files.tensors().iter().any(|tensor| tensor.name == "gen_embed.weight")
}

/// The model's names.
pub(crate) const MODEL: [(&str, &str); 20] = [
    (r"^language_model\.model\.", "language_model."),
    (r"^language_model\.lm_head\.", "lm_head."),
    (r"^vision_model\.vision_tower\.blocks\.(\d+)\.attn\.", "vision_model.encoder.layers.$1.self_attn."),
    (r"^vision_model\.vision_tower\.blocks\.", "vision_model.encoder.layers."),
    (r"^vision_model\.vision_tower\.pos_embed$", "vision_model.embeddings.position_embedding"),
    (r"^vision_model\.vision_tower\.patch_embed\.proj\.", "vision_model.embeddings.patch_embedding."),
    (r"^vision_model\.vision_tower\.norm\.", "vision_model.post_layernorm."),
    (r"^(vision_model\..*\.self_attn)\.proj\.", "$1.projection_layer."),
    (r"^(vision_model\..*)\.norm1\.", "$1.layer_norm1."),
    (r"^(vision_model\..*)\.norm2\.", "$1.layer_norm2."),
    (r"^gen_aligner\.", "generation_aligner."),
    (r"^((?:generation_)?aligner)\.layers\.0\.", "$1.fc1."),
    // Between two linear layers is an activation.
    (r"^((?:generation_)?aligner)\.layers\.2\.", "$1.hidden_layers.0."),
    (r"^((?:generation_)?aligner)\.layers\.4\.", "$1.hidden_layers.1."),
    (r"^((?:generation_)?aligner)\.layers\.6\.", "$1.hidden_layers.2."),
    (r"^((?:generation_)?aligner)\.layers\.8\.", "$1.hidden_layers.3."),
    (r"^gen_head\.output_mlp_projector\.", "generation_head.proj_out."),
    (r"^gen_head\.", "generation_head."),
    (r"^gen_embed\.", "generation_embeddings."),
    (r"^vision_model\.vision_tower\.attn_pool\.", "unused.attn_pool."),
];
/// Queries, keys and values of the tower, which are one tensor there.
pub(crate) const FUSED: [(&str, &[&str]); 1] =
    [(".self_attn.qkv.", &[".self_attn.q_proj.", ".self_attn.k_proj.", ".self_attn.v_proj."])];
/// What is none of the model's.
pub(crate) const NOT_MODEL: [&str; 2] = ["gen_vision_model.", "unused."];

/// The image tokenizer's names.
pub(crate) const TOKENIZER: [(&str, &str); 7] = [
    (r"^gen_vision_model\.", ""),
    (r"^decoder\.conv_blocks\.", "decoder.up."),
    (r"^encoder\.conv_blocks\.", "encoder.down."),
    (r"\.res\.", ".block."),
    (r"\.mid\.0\.", ".mid.block_1."),
    (r"\.mid\.1\.", ".mid.attn_1."),
    (r"\.mid\.2\.", ".mid.block_2."),
];
/// What is none of the image tokenizer's.
pub(crate) const NOT_TOKENIZER: [&str; 7] = [
    "language_model.",
    "vision_model.",
    "aligner.",
    "gen_aligner.",
    "gen_head.",
    "gen_embed.",
    "quantize.codebook_used",
];

/// The release's `config.json`, as far as it says sizes.
#[derive(Debug, Deserialize)]
struct Original {
    language_config: Language,
    vision_config: Section<Tower>,
    aligner_config: Section<Depth>,
    gen_vision_config: Section<Codes>,
    gen_aligner_config: Section<Depth>,
    gen_head_config: Section<Head>,
}

#[derive(Debug, Deserialize)]
struct Section<T> {
    params: T,
}

/// What differs from Llama's defaults.
#[derive(Debug, Deserialize)]
struct Language {
    vocab_size: usize,
    hidden_size: Option<usize>,
    intermediate_size: Option<usize>,
    num_hidden_layers: Option<usize>,
    num_attention_heads: Option<usize>,
    num_key_value_heads: Option<usize>,
    max_position_embeddings: Option<usize>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Tower {
    image_size: usize,
    model_name: String,
}

#[derive(Debug, Deserialize)]
struct Depth {
    depth: usize,
    n_embed: usize,
}

#[derive(Debug, Deserialize)]
struct Codes {
    image_token_size: usize,
    n_embed: usize,
}

#[derive(Debug, Deserialize)]
struct Head {
    image_token_embed: usize,
}

/// Whether `config` is the first release's.
pub(crate) fn is_config(config: &Value) -> bool {
    config.get("language_config").is_some()
}

/// The same sizes in transformers' words. Ids of special tokens are in the `tokenizer.json` beside `path`.
pub(crate) fn config(config: Value, path: &Path) -> Result<JanusConfig> {
    let original: Original = serde_json::from_value(config).map_err(|e| {
        Error::config(format!("{} is no config of the first release of Janus", path.display())).with_source(e)
    })?;
    let Original { language_config: language, vision_config, aligner_config, gen_vision_config, .. } = &original;
    let tower = &vision_config.params.model_name;
    if tower != TOWER {
        return Err(Error::config(format!("vision_config.params.model_name: expected {TOWER}, got {tower}")));
    }
    let tokens = special_tokens(&path.with_file_name("tokenizer.json"))?;
    let id = |name: &str| {
        let missing =
            || Error::config(format!("expected the token {name} in the tokenizer.json beside {}", path.display()));
        tokens.get(name).copied().ok_or_else(missing)
    };
    // Llama's, which the file leaves out.
    let text_config = TextConfig {
        vocab_size: language.vocab_size,
        hidden_size: language.hidden_size.unwrap_or(4096),
        intermediate_size: language.intermediate_size.unwrap_or(11_008),
        num_hidden_layers: language.num_hidden_layers.unwrap_or(32),
        num_attention_heads: language.num_attention_heads.unwrap_or(32),
        num_key_value_heads: language.num_key_value_heads,
        head_dim: None,
        pad_token_id: Some(id(PAD)?),
        max_position_embeddings: language.max_position_embeddings.unwrap_or(2048),
        rms_norm_eps: language.rms_norm_eps.unwrap_or(1e-6),
        rope_theta: language.rope_theta.unwrap_or(10_000.0),
        rope_parameters: None,
    };
    let defaults = VisionConfig::default();
    let image_size = vision_config.params.image_size;
    let vq = VqConfig::default();
    let codes_along = image_size / (1 << (vq.channel_multiplier.len() - 1));
    let config = JanusConfig {
        text_config,
        vision_config: VisionConfig {
            image_size,
            depth: aligner_config.params.depth,
            projection_dim: aligner_config.params.n_embed,
            ..defaults
        },
        vq_config: VqConfig {
            embed_dim: gen_vision_config.params.n_embed,
            num_embeddings: gen_vision_config.params.image_token_size,
            num_patches: codes_along,
            num_hidden_layers: original.gen_aligner_config.params.depth,
            projection_dim: original.gen_aligner_config.params.n_embed,
            image_token_embed_dim: original.gen_head_config.params.image_token_embed,
            ..vq
        },
        image_token_id: id(IMAGE)?,
    };
    Ok(config)
}

/// Ids of the added tokens of a `tokenizer.json`.
fn special_tokens(path: &Path) -> Result<BTreeMap<String, u32>> {
    #[derive(Deserialize)]
    struct Tokenizer {
        added_tokens: Vec<Added>,
    }
    #[derive(Deserialize)]
    struct Added {
        id: u32,
        content: String,
    }
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e))?;
    let tokenizer: Tokenizer = serde_json::from_str(&text)
        .map_err(|e| Error::config(format!("{} is no tokenizer with added tokens", path.display())).with_source(e))?;
    Ok(tokenizer.added_tokens.into_iter().map(|token| (token.content, token.id)).collect())
}
