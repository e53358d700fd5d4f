//! What a model computes in.

use std::fmt;
use std::str::FromStr;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Tensor};
use counterpoint::Error;
use serde::{Deserialize, Serialize};

use crate::Showo;

/// Type of activations and of weights in computation. Norms, attention scores (unless they are fused), logits and
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

impl Showo {
    /// The same model with its matrices stored in `precision`, in which it computes. Vectors (biases, norms) stay what they
    /// are, and so does what is trained beside the weights.
    pub(crate) fn stored_in(self, precision: Precision) -> Self {
        self.map(&mut Store { dtype: precision.dtype(), path: Vec::new() }).computing_in(precision)
    }
}

struct Store {
    dtype: DType,
    path: Vec<String>,
}

impl ModuleMapper for Store {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let beside = self.path.iter().any(|name| name == "concept_tokens" || name == "lora");
        if D == 2 && !beside { param.map(|tensor| tensor.cast(self.dtype)) } else { param }
    }
}
