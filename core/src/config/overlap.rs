//! Whether rewards are computed while the next rollout goes on.

use serde::{Deserialize, Serialize};

/// When the rewards of a task are computed beside the rollout of the step's next one. The run is the same bit for bit
/// either way.
///
/// In a config, `overlap_rewards = "auto"`, `true` or `false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub enum Overlap {
    /// When the policy's device is known and some reward computes on another
    /// ([`Policy::device`](crate::Policy::device), [`Reward::device`](crate::Reward::device)).
    #[default]
    Auto,
    /// Always: for rewards in another process, or where a device has room for both.
    Always,
    /// Never.
    Never,
}

impl Overlap {
    /// Whether rewards that compute on `rewards`, as far as that is known, overlap with the rollouts of a policy on `policy`.
    pub(crate) fn decide<D: PartialEq>(self, policy: Option<D>, mut rewards: impl Iterator<Item = D>) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => policy.is_some_and(|own| rewards.any(|device| device != own)),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"auto\", true or false")]
enum Written {
    Fixed(bool),
    Word(Word),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Word {
    Auto,
}

impl From<Written> for Overlap {
    fn from(written: Written) -> Self {
        match written {
            Written::Fixed(true) => Self::Always,
            Written::Fixed(false) => Self::Never,
            Written::Word(Word::Auto) => Self::Auto,
        }
    }
}

impl From<Overlap> for Written {
    fn from(overlap: Overlap) -> Self {
        match overlap {
            Overlap::Auto => Self::Word(Word::Auto),
            Overlap::Always => Self::Fixed(true),
            Overlap::Never => Self::Fixed(false),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::config::TrainerConfig;

    #[test]
    fn by_itself_it_takes_two_devices_that_are_known() {
        let decide = |policy: Option<u8>, rewards: &[u8]| Overlap::Auto.decide(policy, rewards.iter().copied());
        assert!(decide(Some(0), &[0, 1]));
        assert!(!decide(Some(0), &[0, 0]));
        assert!(!decide(Some(0), &[]) && !decide(None, &[0, 1]));
        assert!(Overlap::Always.decide(None::<u8>, [].into_iter()));
        assert!(!Overlap::Never.decide(Some(0), [1].into_iter()));
    }

    #[test]
    fn it_is_a_word_or_a_truth_value() {
        let read = |text: &str| toml::from_str::<TrainerConfig>(text).map(|c| c.overlap_rewards);
        assert_eq!(read("").unwrap(), Overlap::Auto);
        for (text, expected) in [("\"auto\"", Overlap::Auto), ("true", Overlap::Always), ("false", Overlap::Never)] {
            let config: TrainerConfig = toml::from_str(&format!("overlap_rewards = {text}")).unwrap();
            assert_eq!(config.overlap_rewards, expected);
            assert_eq!(toml::from_str::<TrainerConfig>(&toml::to_string(&config).unwrap()).unwrap(), config);
        }
        let refused = read("overlap_rewards = \"sometimes\"").unwrap_err().to_string();
        assert!(refused.contains("expected \"auto\", true or false"), "{refused}");
    }
}
