//! A Janus as files that transformers reads.

use std::collections::HashMap;
use std::path::Path;

use burn::module::Module;
use burn::nn::{Embedding, Linear};
use burn::tensor::FloatDType;
use counterpoint::file::replace;
use counterpoint::{Error, Result};
use counterpoint_weights::save_renamed;
use serde_json::{Value, json};

use crate::aligner::{Aligner, CodeHead};
use crate::config::RopeConfig;
use crate::llama::Llama;
use crate::vision::VisionModel;
use crate::{Janus, JanusConfig, JanusPolicy, VqTokenizer};

/// Model and image tokenizer as transformers nests them. Field names are the original's tensor names.
#[derive(Module, Debug)]
struct Published {
    model: Inner,
    lm_head: Linear,
}

#[derive(Module, Debug)]
struct Inner {
    vision_model: VisionModel,
    aligner: Aligner,
    vqmodel: VqTokenizer,
    generation_embeddings: Embedding,
    generation_aligner: Aligner,
    generation_head: CodeHead,
    language_model: Llama,
}

impl Janus {
    /// Writes this model, adapters merged, and `tokenizer` to a safetensors file with the tensor names of transformers. Floats are cast to
    /// `dtype`, or stay what they are.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when the file cannot be written.
    pub fn save(&self, tokenizer: &VqTokenizer, path: &Path, dtype: Option<FloatDType>) -> Result<()> {
        let model = self.merged();
        let inner = Inner {
            vision_model: model.vision_model,
            aligner: model.aligner,
            vqmodel: tokenizer.clone(),
            generation_embeddings: model.generation_embeddings,
            generation_aligner: model.generation_aligner,
            generation_head: model.generation_head,
            language_model: model.language_model,
        };
        let published = Published { model: inner, lm_head: model.lm_head };
        let name = |name: &str| match name.ends_with(".position_embedding") {
            true => format!("{name}.weight"),
            false => name.to_owned(),
        };
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        save_renamed(&published, path, &metadata, dtype, name)
    }
}

impl JanusConfig {
    /// Writes it as transformers' `config.json`.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let mut config = self.clone();
        let text = &mut config.text_config;
        text.rope_parameters = Some(RopeConfig { rope_theta: text.rope_base(), rope_type: "default".to_owned() });
        text.num_key_value_heads = Some(text.key_heads());
        text.head_dim = Some(text.head_width());
        let failed = |e| Error::contract("a config cannot be written as JSON").with_source(e);
        let mut value = serde_json::to_value(&config).map_err(failed)?;
        value["model_type"] = "janus".into();
        value["architectures"] = json!(["JanusForConditionalGeneration"]);
        // Newer versions tie the head to the embeddings unless they are told.
        value["tie_word_embeddings"] = false.into();
        value["text_config"]["tie_word_embeddings"] = false.into();
        for (part, kind) in
            [("text_config", "llama"), ("vision_config", "janus_vision_model"), ("vq_config", "janus_vqgan")]
        {
            value[part]["model_type"] = kind.into();
        }
        if value["text_config"]["pad_token_id"].is_null()
            && let Some(text) = value["text_config"].as_object_mut()
        {
            text.remove("pad_token_id");
        }
        replace(path, pretty(&value).map_err(failed)?.as_bytes())
    }
}

fn pretty(value: &Value) -> serde_json::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(value)?))
}

impl JanusPolicy {
    /// Writes `config.json`, `model.safetensors` (adapters merged) and, where there is one, `tokenizer.json` into `folder`: what
    /// transformers' `JanusForConditionalGeneration.from_pretrained` and `[policy] weights` read.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when the folder or a file cannot be written.
    pub fn export(&self, folder: &Path, dtype: Option<FloatDType>) -> Result<()> {
        std::fs::create_dir_all(folder).map_err(|e| Error::io("cannot create", folder, e))?;
        self.merged().save(self.image_tokenizer(), &folder.join("model.safetensors"), dtype)?;
        if let Ok(text) = self.text_tokenizer() {
            text.save(&folder.join("tokenizer.json"))?;
        }
        self.config().save(&folder.join("config.json"))
    }
}
