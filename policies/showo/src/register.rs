//! Show-o by name: policy `showo` and sampler `showo`.

use std::path::PathBuf;

use counterpoint::registry::{BuildContext, PolicyEntry, SamplerEntry, settings};
use counterpoint::{Policy, Result, Sampler, inventory};
use counterpoint_samplers::UnifiedConfig;
use serde::Deserialize;

use crate::{MagvitV2, Showo, ShowoConfig, ShowoPolicy, TextTokenizer, Trainable};

/// `[policy] kind = "showo"`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Folder of `config.json`, `tokenizer.json`, `model.safetensors` and `magvitv2.safetensors`.
    model: PathBuf,
    /// What is trained.
    #[serde(default)]
    trainable: Trainable,
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
    Ok(Box::new(policy.with_trainable(&settings.trainable).map_err(|e| e.at("policy.trainable"))?))
}

fn sampler(table: &toml::Table, _context: &BuildContext) -> Result<Box<dyn Sampler>> {
    Ok(Box::new(settings::<UnifiedConfig>("sampler", table)?.init::<ShowoPolicy>()?))
}

inventory::submit! { PolicyEntry { name: "showo", build: policy } }
inventory::submit! { SamplerEntry { name: "showo", build: sampler } }
