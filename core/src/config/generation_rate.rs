//! Whether images have an optimizer of their own.

use serde::{Deserialize, Serialize};

/// How images are learned from beside text. The gradients of both halves differ in size and in noise, and in one Adam the moments
/// of the louder half decide how far both are moved. With a rate of its own each half has its own moments, and its gradient is
/// scaled down to `max_grad_norm` by itself (AdaTask, arXiv 2211.15055); the objective's weights `a_und` and `a_gen` then no longer
/// say how much a half moves, which its rate does.
///
/// In a config, `generation_learning_rate = "shared"` or `generation_learning_rate = 1e-6`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub enum GenerationRate {
    /// One optimizer and one rate for both halves.
    #[default]
    Shared,
    /// An optimizer for each half; that of images at this peak rate, a finite number above 0, with the same warm-up and decay.
    Own(f64),
}

impl GenerationRate {
    /// The peak rate of images, where they have their own.
    pub fn own(self) -> Option<f64> {
        match self {
            Self::Shared => None,
            Self::Own(rate) => Some(rate),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"shared\" or a number")]
enum Written {
    Rate(f64),
    Word(Word),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Shared,
}

impl From<Written> for GenerationRate {
    fn from(written: Written) -> Self {
        match written {
            Written::Rate(rate) => Self::Own(rate),
            Written::Word(Word::Shared) => Self::Shared,
        }
    }
}

impl From<GenerationRate> for Written {
    fn from(rate: GenerationRate) -> Self {
        match rate {
            GenerationRate::Shared => Self::Word(Word::Shared),
            GenerationRate::Own(rate) => Self::Rate(rate),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::TrainerConfig;

    #[test]
    fn it_is_shared_or_a_number() {
        let read = |text: &str| toml::from_str::<TrainerConfig>(text).map(|c| c.generation_learning_rate);
        assert_eq!(read("").unwrap(), GenerationRate::Shared);
        for (text, expected) in [("\"shared\"", GenerationRate::Shared), ("2e-3", GenerationRate::Own(2e-3))] {
            let config: TrainerConfig = toml::from_str(&format!("generation_learning_rate = {text}")).unwrap();
            assert_eq!(config.generation_learning_rate, expected);
            assert_eq!(toml::from_str::<TrainerConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
        }
        let refused = read("generation_learning_rate = \"own\"").unwrap_err().to_string();
        assert!(refused.contains("expected \"shared\" or a number"), "{refused}");
    }
}
