//! Show-o by name: policy `showo` and sampler `showo`.

use std::path::PathBuf;

use counterpoint::registry::{BuildContext, PolicyEntry, SamplerEntry, settings};
use counterpoint::{Policy, Result, Sampler, inventory};
use counterpoint_samplers::UnifiedConfig;
use serde::Deserialize;

use crate::{FastPaths, MagvitV2, Precision, Showo, ShowoConfig, ShowoPolicy, TextTokenizer, Trainable};

/// `[policy] kind = "showo"`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Folder of `config.json`, `tokenizer.json`, `model.safetensors` and `magvitv2.safetensors`.
    model: PathBuf,
    /// What is trained.
    #[serde(default)]
    trainable: Trainable,
    /// What it computes in: `f32`, `bf16` or `f16`.
    #[serde(default)]
    dtype: Precision,
    /// Whether updates save memory by computing cheap operations twice.
    #[serde(default)]
    gradient_checkpointing: bool,
    /// Short cuts to leave out, all being taken by default.
    #[serde(default)]
    fast: FastPaths,
}

impl ShowoPolicy {
    /// The policy whose files are in `folder`: `config.json`, `tokenizer.json`, `model.safetensors` (decoder) and
    /// `magvitv2.safetensors` (image tokenizer). `device` is without autodiff.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) or [`Weights`](counterpoint::ErrorKind::Weights) naming the file and
    /// what in it is wrong; nothing is half loaded.
    pub fn load(folder: &std::path::Path, device: &burn::tensor::Device) -> Result<Self> {
        let config = ShowoConfig::load(&folder.join("config.json"))?;
        let text = TextTokenizer::load(&folder.join("tokenizer.json"), &config)?;
        let decoder = Showo::load(&config, &folder.join("model.safetensors"), device)?;
        let image = MagvitV2::load(&config.magvitv2, &folder.join("magvitv2.safetensors"), device)?;
        Self::new(config, decoder, Some(text), image, device)
    }
}

fn policy(table: &toml::Table, context: &BuildContext) -> Result<Box<dyn Policy>> {
    let settings: Settings = settings("policy", table)?;
    let policy = ShowoPolicy::load(&context.resolve(&settings.model), &context.device)?;
    let policy = policy
        .with_fast(settings.fast)
        .with_precision(settings.dtype)?
        .with_gradient_checkpointing(settings.gradient_checkpointing)?
        .with_trainable(&settings.trainable)
        .map_err(|e| e.at("policy.trainable"))?;
    Ok(Box::new(policy))
}

fn sampler(table: &toml::Table, _context: &BuildContext) -> Result<Box<dyn Sampler>> {
    Ok(Box::new(settings::<UnifiedConfig>("sampler", table)?.init::<ShowoPolicy>()?))
}

inventory::submit! { PolicyEntry { name: "showo", build: policy } }
inventory::submit! { SamplerEntry { name: "showo", build: sampler } }
