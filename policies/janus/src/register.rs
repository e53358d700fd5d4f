//! Janus by name: policy `janus` and sampler `janus`.

use std::path::PathBuf;

use counterpoint::registry::{BuildContext, PolicyEntry, SamplerEntry, settings};
use counterpoint::{Policy, Result, Sampler, TypedSampler, inventory};
use counterpoint_samplers::{RasterConfig, Unified};
use counterpoint_weights::Precision;
use counterpoint_weights::hub::{Files, Locate as _, Need, Reference};
use serde::Deserialize;

use crate::text::{Chat, TextTokenizer};
use crate::{JanusConfig, JanusPolicy, Trainable};

/// What is needed of a model's folder or repository.
pub const FILES: Files = Files::new(&[Need::CONFIG, Need::WEIGHTS, Need::file(&[&["tokenizer.json"]])]);

/// `[policy] kind = "janus"`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Folder with `config.json`, weights and `tokenizer.json` as transformers or the first release has them, or `hf:OWNER/NAME`, such as
    /// `hf:deepseek-community/Janus-Pro-1B`.
    weights: PathBuf,
    /// How questions and prompts are put.
    #[serde(default)]
    chat: Chat,
    /// What is trained.
    #[serde(default)]
    trainable: Trainable,
    /// What it computes in: `f32`, `bf16` or `f16`.
    #[serde(default)]
    dtype: Precision,
    /// Whether updates save memory by computing every layer of the decoder twice.
    #[serde(default)]
    gradient_checkpointing: bool,
}

impl JanusPolicy {
    /// The settings of the table `[policy]` of a config, without its `kind`, that name files, and which they need.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) naming the key.
    pub fn references(table: &toml::Table) -> Result<Vec<Reference>> {
        let Settings { weights, .. } = settings("policy", table)?;
        Ok(vec![Reference::new("policy.weights", &weights, FILES)?])
    }

    /// The policy that the table `[policy]` of a config describes, without its `kind`.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) naming the key, [`Weights`](counterpoint::ErrorKind::Weights) when a file is
    /// missing or does not fit.
    pub fn from_settings(table: &toml::Table, context: &BuildContext) -> Result<Self> {
        let Settings { weights, chat, trainable, dtype, gradient_checkpointing } = settings("policy", table)?;
        trainable.validate().map_err(|e| e.at("policy.trainable"))?;
        let folder = context.locate(&weights, &FILES)?;
        let config = JanusConfig::read(&folder.join("config.json"))?;
        let text = TextTokenizer::load(&folder, &config, chat)?;
        // What is trained keeps all its bits; beside adapters nothing is.
        let stored = if trainable.keeps_base() { dtype } else { Precision::F32 };
        let (model, tokenizer) = config.load(&folder, stored, &context.device)?;
        let policy = Self::assemble(config, text.ids(), model, tokenizer, &context.device, dtype, &trainable)?;
        let policy = policy.with_text(text);
        if gradient_checkpointing { policy.with_gradient_checkpointing(true) } else { Ok(policy) }
    }
}

fn policy(table: &toml::Table, context: &BuildContext) -> Result<Box<dyn Policy>> {
    Ok(Box::new(JanusPolicy::from_settings(table, context)?))
}

fn sampler(table: &toml::Table, _context: &BuildContext) -> Result<Box<dyn Sampler>> {
    Ok(settings::<Unified<RasterConfig>>("sampler", table)?.init::<JanusPolicy>()?.boxed())
}

inventory::submit! { PolicyEntry::new("janus", policy) }
inventory::submit! { SamplerEntry::new("janus", sampler) }
