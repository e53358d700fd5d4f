//! A policy from the files that [`random_weights`](crate::random_weights) writes.

use std::path::Path;

use burn::tensor::{Device, FloatDType};
use counterpoint::Result;
use counterpoint::weights::{LoadOptions, WeightFiles, load};
use counterpoint_showo::{MagvitV2, Showo, ShowoConfig, ShowoPolicy};

/// The decoder in `path`, cast to `dtype` tensor by tensor as it is read.
///
/// # Errors
/// [`Weights`](counterpoint::ErrorKind::Weights) when the file is not such a decoder.
pub fn decoder(config: &ShowoConfig, path: &Path, dtype: FloatDType, device: &Device) -> Result<Showo> {
    let mut decoder = config.init(device)?;
    let how = LoadOptions { dtype: Some(dtype), ..LoadOptions::default() };
    load(&mut decoder, &WeightFiles::open(path)?, &how)?;
    Ok(decoder)
}

/// The policy in `folder`: `config.json`, `model.safetensors` and, for the frozen reference, `reference.safetensors` where
/// there is one. The image tokenizer is that of `magvitv2.safetensors`, or has fresh weights.
///
/// # Errors
/// [`Config`](counterpoint::ErrorKind::Config) or [`Weights`](counterpoint::ErrorKind::Weights) naming what does not fit.
pub fn policy(folder: &Path, dtype: FloatDType, device: &Device) -> Result<ShowoPolicy> {
    let config = ShowoConfig::load(&folder.join("config.json"))?;
    let model = decoder(&config, &folder.join("model.safetensors"), dtype, device)?;
    let file = folder.join("reference.safetensors");
    let reference = if file.exists() { Some(decoder(&config, &file, dtype, device)?) } else { None };
    let file = folder.join("magvitv2.safetensors");
    let image = match file.exists() {
        true => MagvitV2::load(&config.magvitv2, &file, device)?,
        false => config.magvitv2.init(device),
    };
    let mut policy = ShowoPolicy::new(config, model, None, image, device)?;
    if let Some(reference) = reference {
        policy.set_reference(reference);
    }
    Ok(policy)
}
