//! Where importance weights between sampler and trainer are cut off.

use serde::{Deserialize, Serialize};

/// Truncated importance weights (TIS) between the distribution that was sampled from and the one that is trained, which differ
/// where rollouts run by other kernels or in half precision: every decision's part of the surrogate is multiplied by
/// `min(exp(old - sampled), C)`, a constant for the gradient, with `old` its log-probability before the first update from
/// the batch, as updates compute it, and `sampled` the recorded one. The KL term is not weighted.
///
/// "Your efficient RL framework secretly brings you off-policy RL training" (Yao et al., 2025); TRL calls it
/// `vllm_importance_sampling_correction`, with C = 2 by default.
///
/// In a config, `importance_cap = "none"` or `importance_cap = 2.0`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub enum ImportanceCap {
    /// No weights.
    #[default]
    None,
    /// Weights of at most this, a finite number above 0.
    At(f64),
}

impl ImportanceCap {
    /// The largest weight, where there are weights.
    pub fn limit(self) -> Option<f64> {
        match self {
            Self::None => None,
            Self::At(cap) => Some(cap),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"none\" or a number")]
enum Written {
    Cap(f64),
    Word(Word),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    None,
}

impl From<Written> for ImportanceCap {
    fn from(written: Written) -> Self {
        match written {
            Written::Cap(cap) => Self::At(cap),
            Written::Word(Word::None) => Self::None,
        }
    }
}

impl From<ImportanceCap> for Written {
    fn from(cap: ImportanceCap) -> Self {
        match cap {
            ImportanceCap::None => Self::Word(Word::None),
            ImportanceCap::At(cap) => Self::Cap(cap),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::TrainerConfig;

    #[test]
    fn it_is_none_or_a_number() {
        let read = |text: &str| toml::from_str::<TrainerConfig>(text).map(|c| c.importance_cap);
        assert_eq!(read("").unwrap(), ImportanceCap::None);
        let cases = [("\"none\"", ImportanceCap::None), ("2.0", ImportanceCap::At(2.0)), ("3", ImportanceCap::At(3.0))];
        for (text, expected) in cases {
            let config: TrainerConfig = toml::from_str(&format!("importance_cap = {text}")).unwrap();
            assert_eq!(config.importance_cap, expected);
            assert_eq!(toml::from_str::<TrainerConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
        }
        let refused = read("importance_cap = \"some\"").unwrap_err().to_string();
        assert!(refused.contains("expected \"none\" or a number"), "{refused}");
    }
}
