//! What a model computes in.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{DType, FloatDType};
use counterpoint::Error;
use serde::{Deserialize, Serialize};

/// Type of a model's matrices and of their products. Norms, attention scores (unless they are fused), logits and
/// log-probabilities are f32 in any case, and so are parameters under training, their gradients and optimizer state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Precision {
    /// Single precision.
    #[default]
    F32,
    /// 8 bits of exponent, 7 of mantissa.
    Bf16,
    /// 5 bits of exponent, 10 of mantissa.
    F16,
}

impl Precision {
    /// Burn's name of it.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }
}

impl From<Precision> for FloatDType {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::BF16,
            Precision::F16 => Self::F16,
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.dtype().name())
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let known = [Self::F32, Self::Bf16, Self::F16];
        known
            .into_iter()
            .find(|precision| precision.to_string() == name)
            .ok_or_else(|| Error::config(format!("expected f32, bf16 or f16, got `{name}`")))
    }
}
