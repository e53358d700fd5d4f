//! What of a policy is trained: `[policy] trainable = ...`.

use burn::module::{Module, ParamGroup};
use burn::tensor::Device;
use counterpoint::{Error, Result};
use counterpoint_policy_common::lora::{LoraConfig, Targets};
use counterpoint_policy_common::training::on_device;
use serde::{Deserialize, Serialize};

use crate::Janus;

/// The decoder's projections, which can have an adapter, by their names in the original.
pub const TARGETS: Targets = Targets {
    within: "language_model.",
    peft: "model.language_model.",
    names: &["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
};

/// What is trained as the decoder.
const DECODER: &str = r"^(language_model|lm_head)\.";

/// Which parameters of a [`Janus`] are trained. All others are frozen: no gradient, no optimizer state, no weight decay, not in
/// checkpoints, and shared with the reference.
///
/// In a config: `"all"` (the default), `"decoder"` or
/// `{ lora = { rank = 16, alpha = 32.0, dropout = 0.0, targets = ["q_proj", "v_proj"] } }`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Trainable {
    /// Every parameter.
    #[default]
    All,
    /// The language model: embeddings, layers, norm and head of text. What reads images and what embeds and scores codes is frozen,
    /// as in CoRL's public code.
    Decoder,
    /// Low-rank adapters beside the projections of the decoder's layers.
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
        matches!(self, Self::Lora(_))
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
            Self::Decoder => "the language model".to_owned(),
            Self::Lora(lora) => lora.describe(&TARGETS),
        }
    }

    /// `base` on `device`, which has autodiff, none of it trained.
    pub(crate) fn frozen(base: &Janus, device: &Device) -> Janus {
        on_device(base.clone().no_grad(), device)
    }

    /// `base`, a model without adapters and autodiff, as a module in which just this is trained, on `device`, which has autodiff.
    /// What is frozen shares its tensors with `base`.
    pub(crate) fn attach(&self, base: &Janus, device: &Device) -> Result<Janus> {
        match self {
            Self::All => Ok(on_device(base.clone().set_require_grad(true), device)),
            Self::Decoder => {
                let decoder = ParamGroup::from_regex(DECODER).map_err(|e| {
                    Error::contract("the pattern of trained names is none").with_source(format!("{e:?}"))
                })?;
                Ok(Self::frozen(base, device).set_require_grad_group(decoder, true))
            }
            Self::Lora(lora) => {
                lora.validate(&TARGETS)?;
                lora.attach(Self::frozen(base, device), &TARGETS, |path, shape| Ok(lora.fresh(path, shape)))
            }
        }
    }
}
