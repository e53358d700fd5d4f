//! One vector per sentence.

use std::path::Path;

use burn::tensor::{Bool, FloatDType, Tensor};
use counterpoint::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::ops::l2_normalise;

/// Where sentence-transformers writes the pooling of a model.
const FILE: &str = "1_Pooling/config.json";

/// How the hidden states of a sentence become one vector, of length 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over real tokens, special tokens included.
    #[default]
    Mean,
    /// The first token's, which is `[CLS]`.
    Cls,
}

/// Both forms of the file: a name, or a switch for each mode.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Config {
    pooling_mode: Option<Modes>,
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
    pooling_mode_lasttoken: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Modes {
    One(String),
    Several(Vec<String>),
}

impl Pooling {
    /// The pooling that `dir/1_Pooling/config.json` names, the mean when there is no such file.
    ///
    /// # Errors
    /// When the file cannot be read, or names no mode, several, or one that is neither the mean nor the first token.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        if !path.is_file() {
            return Ok(Self::Mean);
        }
        let config: Config = files::read_json(&path)?;
        let modes = match config.pooling_mode {
            Some(Modes::One(mode)) => vec![mode],
            Some(Modes::Several(modes)) => modes,
            None => [
                ("cls", config.pooling_mode_cls_token),
                ("mean", config.pooling_mode_mean_tokens),
                ("max", config.pooling_mode_max_tokens),
                ("mean_sqrt_len_tokens", config.pooling_mode_mean_sqrt_len_tokens),
                ("weightedmean", config.pooling_mode_weightedmean_tokens),
                ("lasttoken", config.pooling_mode_lasttoken),
            ]
            .into_iter()
            .filter(|(_, on)| *on)
            .map(|(name, _)| name.to_owned())
            .collect(),
        };
        match modes.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["mean"] => Ok(Self::Mean),
            ["cls"] => Ok(Self::Cls),
            _ => Err(Error::config(format!(
                "{}: expected the pooling mode mean or cls, got {modes:?}; no other is supported",
                path.display()
            ))),
        }
    }

    /// One vector of length 1 per sentence.
    ///
    /// # Shapes
    /// - hidden: `[b, l, h]`, keep: `[b, l]`, result: `[b, h]`
    pub fn pool(self, hidden: Tensor<3>, keep: &Tensor<2, Bool>) -> Tensor<2> {
        match self {
            Self::Mean => mean_pooled(hidden, keep),
            Self::Cls => cls_pooled(hidden),
        }
    }
}

/// Mean of the hidden states at real tokens, scaled to length 1.
///
/// # Shapes
/// - hidden: `[b, l, h]`, keep: `[b, l]`, result: `[b, h]`
fn mean_pooled(hidden: Tensor<3>, keep: &Tensor<2, Bool>) -> Tensor<2> {
    let weight = keep.clone().cast(FloatDType::F32);
    let count = weight.clone().sum_dim(1).clamp_min(1.0);
    let sum: Tensor<2> = (hidden * weight.unsqueeze_dim::<3>(2)).sum_dim(1).squeeze_dim(1);
    l2_normalise(sum / count)
}

/// The hidden state of the first token, scaled to length 1. The texts are padded at the end, if at all.
///
/// # Shapes
/// - hidden: `[b, l, h]`, result: `[b, h]`
fn cls_pooled(hidden: Tensor<3>) -> Tensor<2> {
    l2_normalise(hidden.narrow(1, 0, 1).squeeze_dim(1))
}
