//! What of a policy is trained: `[policy] trainable = ...`.

use burn::module::{Module, ParamGroup};
use burn::tensor::Device;
use counterpoint::Result;
use counterpoint_policy_common::lora::{LoraConfig, Targets};
use counterpoint_policy_common::training::on_device;
use serde::{Deserialize, Serialize};

use crate::{Showo, ShowoConfig};

/// The projections that can have an adapter, by their names in the original.
pub const TARGETS: Targets =
    Targets { within: "showo.", peft: "", names: &["q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"] };

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
    /// Layers and final norm; embeddings, output head and projector are frozen.
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
            Self::Lora(lora) => lora.validate(&TARGETS).map_err(|e| e.at("lora")),
            _ => Ok(()),
        }
    }

    /// Whether the whole model stays as it is, and what is trained lies beside it.
    pub(crate) fn keeps_base(&self) -> bool {
        matches!(self, Self::ConceptTokens | Self::Lora(_))
    }

    /// Dropout of the adapters, 0 without any.
    pub(crate) fn dropout(&self) -> f64 {
        match self {
            Self::Lora(lora) => lora.dropout,
            _ => 0.0,
        }
    }

    /// What is trained, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::All => "all parameters".to_owned(),
            Self::Decoder => "the decoder without embeddings and head".to_owned(),
            Self::ConceptTokens => "concept tokens".to_owned(),
            Self::Lora(lora) => lora.describe(&TARGETS),
        }
    }

    /// `base` on `device`, which has autodiff, none of it trained.
    pub(crate) fn frozen(base: &Showo, device: &Device) -> Showo {
        on_device(base.clone().no_grad(), device)
    }

    /// `base`, a model without adapters and autodiff, as a module in which just this is trained, on `device`, which
    /// has autodiff. What is frozen shares its tensors with `base`.
    pub(crate) fn attach(&self, config: &ShowoConfig, base: &Showo, device: &Device) -> Result<Showo> {
        let frozen = || Self::frozen(base, device);
        match self {
            Self::All => Ok(on_device(base.clone().set_require_grad(true), device)),
            Self::Decoder => {
                let outside = ParamGroup::from_paths(
                    [
                        "showo.model.embed_tokens.weight",
                        "showo.lm_head.weight",
                        "showo.lm_head.bias",
                        "mm_projector.0.weight",
                        "mm_projector.0.bias",
                        "mm_projector.2.weight",
                        "mm_projector.2.bias",
                    ]
                    .map(str::to_owned)
                    .to_vec(),
                );
                Ok(frozen().set_require_grad_group(ParamGroup::all().exclude(outside), true))
            }
            Self::ConceptTokens => frozen().with_concept_rows(config),
            Self::Lora(lora) => {
                lora.validate(&TARGETS)?;
                lora.attach(frozen(), &TARGETS, |path, shape| Ok(lora.fresh(path, shape)))
            }
        }
    }
}
