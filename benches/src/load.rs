//! A policy from the files that [`random_weights`](crate::random_weights) writes.

use std::path::Path;

use burn::tensor::Device;
use counterpoint::Result;
use counterpoint_showo::{MagvitV2, Precision, Showo, ShowoConfig, ShowoPolicy};

/// The policy in `folder`: `config.json`, `model.safetensors` and, for the frozen reference, `reference.safetensors` where
/// there is one. The image tokenizer is that of `magvitv2.safetensors`, or has fresh weights.
///
/// # Errors
/// [`Config`](counterpoint::ErrorKind::Config) or [`Weights`](counterpoint::ErrorKind::Weights) naming what does not fit.
pub fn policy(folder: &Path, precision: Precision, device: &Device) -> Result<ShowoPolicy> {
    let config = ShowoConfig::load(&folder.join("config.json"))?;
    let model = Showo::load(&config, &folder.join("model.safetensors"), device)?;
    let file = folder.join("reference.safetensors");
    let reference = if file.exists() { Some(Showo::load_in(&config, &file, device, precision)?) } else { None };
    let file = folder.join("magvitv2.safetensors");
    let image = match file.exists() {
        true => MagvitV2::load(&config.magvitv2, &file, device)?,
        false => config.magvitv2.init(device),
    };
    let mut policy = ShowoPolicy::new(config, model, None, image, device)?.with_precision(precision)?;
    if let Some(reference) = reference {
        policy.set_reference(reference);
    }
    Ok(policy)
}
