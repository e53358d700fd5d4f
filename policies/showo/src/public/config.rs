//! `config.json` of the published checkpoints, and that of the language model beside it.

use std::path::{Path, PathBuf};

use counterpoint::{Error, Result};
use serde_json::{Map, Value, json};

use crate::config::{Activation, MagvitConfig, PhiConfig, ShowoConfig, SpecialTokens};

/// `_class_name` of Show-o's config files.
const CLASS: &str = "Showo";
/// What the originals build their decoder from.
const LLM: &str = "microsoft/phi-1_5";

impl PhiConfig {
    /// Phi-1.5 as Show-o builds it: queries and keys are normalised.
    pub fn phi_1_5() -> Self {
        Self {
            hidden_size: 2048,
            intermediate_size: 8192,
            num_hidden_layers: 24,
            num_attention_heads: 32,
            partial_rotary_factor: 0.5,
            qk_layernorm: true,
            layer_norm_eps: 1e-5,
            rope_theta: 10_000.0,
            hidden_act: Activation::GeluNew,
            max_position_embeddings: 2048,
        }
    }
}

impl MagvitConfig {
    /// Show-o's MAGVIT-v2: 16 pixels per code and axis, 13 bits.
    pub fn published() -> Self {
        Self {
            ch: 128,
            ch_mult: vec![1, 2, 2, 4, 4],
            num_res_blocks: vec![4, 3, 4, 3, 4],
            decoder_ch_mult: Some(vec![1, 1, 2, 2, 4]),
            decoder_num_res_blocks: Some(vec![4, 4, 3, 4, 3]),
            z_channels: 13,
            group_norm_groups: 32,
            group_norm_eps: 1e-6,
        }
    }
}

impl ShowoConfig {
    /// Show-o over Phi-1.5 as published: 256 image tokens for 256 x 256 pixels, 1024 for 512 x 512.
    ///
    /// Guidance and number of steps are those of the original's README for text-to-image generation.
    pub fn published(num_vq_tokens: usize, w_clip_vit: bool) -> Self {
        let mut config = Self {
            phi: PhiConfig::phi_1_5(),
            llm_vocab_size: 50_295,
            num_new_special_tokens: 10,
            num_concept_tokens: 0,
            concepts: Vec::new(),
            text_vocab_size: 0,
            codebook_size: 8192,
            vocab_size: 0,
            mask_token_id: 0,
            image_token_offset: 0,
            num_vq_tokens,
            max_seq_length: 128,
            special_token_ids: SpecialTokens::after(50_295),
            bos_id: 50_256,
            eos_id: 50_256,
            guidance_scale: 5.0,
            timesteps: 50,
            question_template: "USER: \n{question} ASSISTANT:".to_owned(),
            w_clip_vit,
            clip_width: 1024,
            magvitv2: MagvitConfig::published(),
        };
        config.resize(0);
        config
    }

    /// As [`load`](Self::load), with the config of the language model at `llm` where it is given.
    pub(crate) fn load_with(path: &Path, llm: Option<&Path>) -> Result<Self> {
        let mut file = read(path)?;
        if file.get("_class_name").and_then(Value::as_str) == Some(CLASS) {
            let beside = match llm {
                Some(llm) => Some(llm.to_owned()),
                None => llm_config(path, &file),
            };
            file = completed(file, beside.as_deref()).map_err(|e| e.at(path.display()))?;
        }
        let config: Self = serde_json::from_value(Value::Object(file))
            .map_err(|e| Error::config("not a Show-o config").at(path.display()).with_source(e))?;
        config.validate().map_err(|e| e.at(path.display()))?;
        Ok(config)
    }

    /// Writes `config.json` with the keys that the PyTorch original reads, and ours beside them.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when the file cannot be written.
    pub(crate) fn save_published(&self, path: &Path, more: Map<String, Value>) -> Result<()> {
        let unwritable = |e| Error::config("cannot write the config as JSON").with_source(e);
        let Value::Object(mut file) = serde_json::to_value(self).map_err(unwritable)? else {
            return Err(Error::config("cannot write the config as JSON: expected an object"));
        };
        file.extend([
            ("_class_name".to_owned(), json!(CLASS)),
            ("_diffusers_version".to_owned(), json!("0.30.1")),
            ("llm_model_path".to_owned(), json!(LLM)),
            ("load_from_showo".to_owned(), json!(true)),
        ]);
        file.extend(more);
        let text = serde_json::to_string_pretty(&Value::Object(file)).map_err(unwritable)?;
        std::fs::write(path, text + "\n").map_err(|e| Error::io("cannot write", path, e))
    }
}

impl SpecialTokens {
    /// The ids of Show-o's special tokens when they follow a tokenizer of `llm_vocab_size` tokens, in their order.
    pub fn after(llm_vocab_size: u32) -> Self {
        let id = |i| llm_vocab_size + i;
        Self {
            pad: id(0),
            soi: id(1),
            eoi: id(2),
            sov: id(3),
            eov: id(4),
            t2i: id(5),
            mmu: id(6),
            t2v: id(7),
            v2v: id(8),
            lvg: id(9),
        }
    }
}

/// A published file with every key of ours: what it does not say follows from what it says, or is as published.
fn completed(file: Map<String, Value>, llm: Option<&Path>) -> Result<Map<String, Value>> {
    let size = |key: &str, default: usize| match file.get(key) {
        None => Ok(default),
        Some(value) => value
            .as_u64()
            .map(|n| n as usize)
            .ok_or_else(|| Error::config(format!("{key}: expected a whole number of at least 0, got {value}"))),
    };
    let mut config = ShowoConfig::published(size("num_vq_tokens", 256)?, false);
    config.llm_vocab_size = size("llm_vocab_size", config.llm_vocab_size)?;
    config.num_new_special_tokens = size("num_new_special_tokens", config.num_new_special_tokens)?;
    config.codebook_size = size("codebook_size", config.codebook_size)?;
    config.special_token_ids = SpecialTokens::after(config.llm_vocab_size as u32);
    config.resize(size("num_concept_tokens", 0)?);
    if let Some(llm) = llm {
        config.phi = phi_config(llm)?;
    }
    let Value::Object(mut all) =
        serde_json::to_value(&config).map_err(|e| Error::config("cannot complete the config").with_source(e))?
    else {
        return Err(Error::config("expected an object"));
    };
    all.extend(file);
    Ok(all)
}

/// The config of the language model that the checkpoint's config names, where it lies beside it.
fn llm_config(path: &Path, file: &Map<String, Value>) -> Option<PathBuf> {
    let name = file.get("llm_model_path").and_then(Value::as_str).unwrap_or(LLM);
    let folder = path.parent()?;
    let last = Path::new(name).file_name()?;
    [folder.join(name), folder.join(last)].into_iter().map(|f| f.join("config.json")).find(|f| f.is_file())
}

/// Reads the decoder's numbers from the `config.json` of a Phi model.
fn phi_config(path: &Path) -> Result<PhiConfig> {
    let file = read(path)?;
    parse_phi(&file).map_err(|e| e.at(path.display()))
}

fn parse_phi(file: &Map<String, Value>) -> Result<PhiConfig> {
    let published = PhiConfig::phi_1_5();
    if let Some(kind) = file.get("model_type").filter(|kind| !["phi", "phi-msft"].iter().any(|k| kind == k)) {
        return Err(Error::config(format!("model_type: expected \"phi\", got {kind}")));
    }
    // Newer files keep the rotary numbers in an object of their own.
    let rope = file.get("rope_parameters").and_then(Value::as_object);
    let value =
        |key: &str| file.get(key).or_else(|| rope.and_then(|rope| rope.get(key))).filter(|value| !value.is_null());
    let size = |key: &str, default: usize| match value(key) {
        None => Ok(default),
        Some(v) => v
            .as_u64()
            .map(|n| n as usize)
            .ok_or_else(|| Error::config(format!("{key}: expected a whole number of at least 0, got {v}"))),
    };
    let number = |key: &str, default: f64| match value(key) {
        None => Ok(default),
        Some(v) => v.as_f64().ok_or_else(|| Error::config(format!("{key}: expected a number, got {v}"))),
    };
    let heads = size("num_attention_heads", published.num_attention_heads)?;
    let key_heads = size("num_key_value_heads", heads)?;
    if key_heads != heads {
        return Err(Error::config(format!(
            "num_key_value_heads: expected {heads}, as many as queries, got {key_heads}"
        )));
    }
    if let Some(scaling) = value("rope_scaling").or_else(|| value("rope_type").filter(|kind| *kind != "default")) {
        return Err(Error::config(format!("rope_scaling: expected none, got {scaling}")));
    }
    let hidden_act = match value("hidden_act") {
        None => published.hidden_act,
        Some(act) => serde_json::from_value(act.clone())
            .map_err(|e| Error::config(format!("hidden_act: expected gelu_new or gelu, got {act}")).with_source(e))?,
    };
    Ok(PhiConfig {
        hidden_size: size("hidden_size", published.hidden_size)?,
        intermediate_size: size("intermediate_size", published.intermediate_size)?,
        num_hidden_layers: size("num_hidden_layers", published.num_hidden_layers)?,
        num_attention_heads: heads,
        partial_rotary_factor: number("partial_rotary_factor", published.partial_rotary_factor)?,
        qk_layernorm: true, // Show-o sets it, whatever the file says
        layer_norm_eps: number("layer_norm_eps", published.layer_norm_eps)?,
        rope_theta: number("rope_theta", published.rope_theta)?,
        hidden_act,
        max_position_embeddings: size("max_position_embeddings", published.max_position_embeddings)?,
    })
}

pub(super) fn read(path: &Path) -> Result<Map<String, Value>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e))?;
    serde_json::from_str(&text).map_err(|e| Error::config("expected a JSON object").at(path.display()).with_source(e))
}
