//! The policy from the files that both halves read.

use burn::tensor::Device;
use counterpoint::{Error, Result};
use counterpoint_showo::{Showo, ShowoConfig, ShowoPolicy};

use crate::Common;

/// The policy, its reference and the device. The image tokenizer has fresh weights: it is not part of what is measured.
pub fn load(common: &Common) -> Result<ShowoPolicy> {
    let device = device(&common.device)?;
    let config = ShowoConfig::load(&common.folder.join("config.json"))?;
    let decoder = |file: &str| Showo::load(&config, &common.folder.join(file), &device);
    let (model, reference) = (decoder("model.safetensors")?, decoder("reference.safetensors")?);
    let image = config.magvitv2.init(&device);
    let mut policy = ShowoPolicy::new(config, model, None, image, &device)?;
    policy.set_reference(reference);
    Ok(policy)
}

fn device(name: &str) -> Result<Device> {
    match name.split_once(':').unwrap_or((name, "0")) {
        ("flex", "0") => Ok(Device::flex()),
        #[cfg(feature = "cuda")]
        ("cuda", index) => match index.parse::<usize>() {
            Ok(index) => Ok(Device::cuda(index)),
            Err(_) => Err(Error::config(format!("--device: expected a number after `cuda:`, got `{index}`"))),
        },
        #[cfg(not(feature = "cuda"))]
        ("cuda", _) => Err(Error::config("--device: this build has no CUDA; build it with `--features cuda`")),
        _ => Err(Error::config(format!("--device: expected `flex` or `cuda:N`, got `{name}`"))),
    }
}
