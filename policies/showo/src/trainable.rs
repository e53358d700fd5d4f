//! What of a policy is trained: `[policy] trainable = ...`.

use burn::module::{Module, ParamGroup};
use burn::tensor::Device;
use counterpoint::{Error, Result, config};
use serde::{Deserialize, Serialize};

use crate::lora::LoraConfig;
use crate::{Showo, ShowoConfig};

/// Which parameters of a [`Showo`] are trained. All others are frozen: no gradient, no optimizer state, no weight decay,
/// not in checkpoints, and shared with the reference.
///
/// In a config: `"all"` (the default), `"decoder"`, `"concept_tokens"` or
/// `{ lora = { rank = 16, alpha = 32.0, dropout = 0.0, targets = ["q_proj", "v_proj"] } }`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Trainable {
    /// Every parameter.
    #[default]
    All,
    /// Layers and final norm; embeddings and output head are frozen.
    Decoder,
    /// The concept tokens' rows of the embedding and of the output head, and nothing else.
    ConceptTokens,
    /// Low-rank adapters beside the layers' projections.
    Lora(LoraConfig),
}

impl Trainable {
    /// Checks the numbers and names.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config), naming the first key that is out of range.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Lora(lora) => lora.validate().map_err(|e| e.at("lora")),
            _ => Ok(()),
        }
    }

    /// What is trained, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::All => "all parameters".to_owned(),
            Self::Decoder => "the decoder without embeddings and head".to_owned(),
            Self::ConceptTokens => "concept tokens".to_owned(),
            Self::Lora(lora) => {
                format!("LoRA of rank {}, alpha {}, beside {}", lora.rank, lora.alpha, lora.targets.join(", "))
            }
        }
    }

    /// `base` on `device` with autodiff, none of it trained.
    pub(crate) fn frozen(base: &Showo, device: &Device) -> Showo {
        base.clone().no_grad().to_device(&device.clone().autodiff()).train()
    }

    /// `base`, a model without adapters and autodiff, as a module in which just this is trained, on `device` with
    /// autodiff. What is frozen shares its tensors with `base`.
    pub(crate) fn attach(&self, config: &ShowoConfig, base: &Showo, device: &Device) -> Result<Showo> {
        let frozen = || Self::frozen(base, device);
        match self {
            Self::All => Ok(base.clone().set_require_grad(true).to_device(&device.clone().autodiff()).train()),
            Self::Decoder => {
                let outside = ParamGroup::from_paths(
                    ["model.embed_tokens.weight", "lm_head.weight", "lm_head.bias"]
                        .map(|p| format!("showo.{p}"))
                        .to_vec(),
                );
                Ok(frozen().set_require_grad_group(ParamGroup::all().exclude(outside), true))
            }
            Self::ConceptTokens => frozen().with_concept_rows(config),
            Self::Lora(lora) => {
                lora.validate()?;
                lora.attach(frozen(), |path, shape| Ok(lora.fresh(path, shape)))
            }
        }
    }
}

/// That `name` is none of `known`, with the nearest of them.
pub(crate) fn unknown(what: &str, name: &str, known: &[&str]) -> Error {
    let hint =
        config::nearest(name, known.iter().copied()).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
    Error::config(format!("unknown {what} `{name}`{hint} (known: {})", known.join(", ")))
}
