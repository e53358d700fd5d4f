//! Adapters in the layout of the `peft` package: `adapter_config.json` and `adapter_model.safetensors`.

use std::path::Path;

use burn::module::Module;
use counterpoint::{Error, Result};
use counterpoint_policy_common::peft;

use crate::trainable::TARGETS;
use crate::{LoraConfig, ShowoPolicy, Trainable};

impl ShowoPolicy {
    /// Writes the adapters alone into the folder `dir`, as `peft` reads them.
    ///
    /// # Errors
    /// [`Contract`](counterpoint::ErrorKind::Contract) when no adapters are trained, [`Io`](counterpoint::ErrorKind::Io)
    /// when a file cannot be written.
    pub fn save_adapter(&self, dir: &Path) -> Result<()> {
        let Trainable::Lora(lora) = self.trainable() else {
            return Err(Error::contract(
                "expected a policy that trains LoRA adapters, got one without; save its weights",
            ));
        };
        peft::save(&self.decoder().valid(), lora, &TARGETS, dir)
    }

    /// The same policy with the adapters in `dir`, which `peft` or [`save_adapter`](Self::save_adapter) wrote, beside its
    /// decoder and under training.
    ///
    /// # Errors
    /// As [`LoraConfig::load_peft`]; [`Weights`](counterpoint::ErrorKind::Weights), naming the tensor, when one is
    /// missing, unexpected or of another shape or type.
    pub fn with_adapter(self, dir: &Path) -> Result<Self> {
        let lora = LoraConfig::load_peft(dir, &TARGETS)?;
        let trainable = Trainable::Lora(lora.clone());
        let frozen = Trainable::frozen(&self.base(&trainable), self.training_device());
        let decoder = peft::load(frozen, &lora, &TARGETS, dir)?;
        Ok(self.training(decoder, trainable).changed())
    }
}
