//! Show-o by name: policy `showo` and sampler `showo`.

use std::path::PathBuf;

use counterpoint::registry::{BuildContext, PolicyEntry, SamplerEntry, settings};
use counterpoint::{Policy, Result, Sampler, inventory};
use counterpoint_samplers::UnifiedConfig;
use serde::Deserialize;

use crate::ShowoPolicy;

/// `[policy] kind = "showo"`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Folder of `config.json`, `tokenizer.json`, `model.safetensors` and `magvitv2.safetensors`.
    model: PathBuf,
}

fn policy(table: &toml::Table, context: &BuildContext) -> Result<Box<dyn Policy>> {
    let settings: Settings = settings("policy", table)?;
    Ok(Box::new(ShowoPolicy::load(&context.resolve(&settings.model), &context.device)?))
}

fn sampler(table: &toml::Table, _context: &BuildContext) -> Result<Box<dyn Sampler>> {
    Ok(Box::new(settings::<UnifiedConfig>("sampler", table)?.init::<ShowoPolicy>()?))
}

inventory::submit! { PolicyEntry { name: "showo", build: policy } }
inventory::submit! { SamplerEntry { name: "showo", build: sampler } }
