//! From the hidden states of a text's tokens to one vector.

use std::path::Path;

use burn::tensor::{Bool, Tensor};
use counterpoint::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::files;
use crate::ops::l2_normalise;

/// Where sentence-transformers keeps it.
const FILE: &str = "1_Pooling/config.json";

/// How the tokens of a text become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over real tokens.
    #[default]
    Mean,
    /// The first token.
    Cls,
}

/// What the file says; it has keys for other ways too.
#[derive(Deserialize)]
struct Modes {
    #[serde(default)]
    pooling_mode_cls_token: bool,
    #[serde(default)]
    pooling_mode_mean_tokens: bool,
}

impl Pooling {
    /// What `dir/1_Pooling/config.json` of sentence-transformers says; the mean where there is no such file.
    ///
    /// # Errors
    /// When the file cannot be read, or asks for anything but one of the two.
    pub fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        match files::read_json::<Modes>(&path)? {
            Modes { pooling_mode_cls_token: true, pooling_mode_mean_tokens: false } => Ok(Self::Cls),
            Modes { pooling_mode_cls_token: false, pooling_mode_mean_tokens: true } => Ok(Self::Mean),
            _ => Err(Error::config(format!(
                "{}: expected either pooling_mode_mean_tokens or pooling_mode_cls_token to be true; no other pooling is \
                 supported",
                path.display()
            ))),
        }
    }

    /// One vector per text, of length 1.
    ///
    /// # Shapes
    /// - hidden: `[b, l, h]`, keep: `[b, l]`, true at real tokens
    /// - result: `[b, h]`
    pub fn pool(self, hidden: Tensor<3>, keep: &Tensor<2, Bool>) -> Tensor<2> {
        match self {
            Self::Mean => {
                let weight = keep.clone().float();
                let count = weight.clone().sum_dim(1).clamp_min(1.0);
                let sum: Tensor<2> = (hidden * weight.unsqueeze_dim::<3>(2)).sum_dim(1).squeeze_dim(1);
                l2_normalise(sum / count)
            }
            Self::Cls => l2_normalise(hidden.narrow(1, 0, 1).squeeze_dim(1)),
        }
    }
}
