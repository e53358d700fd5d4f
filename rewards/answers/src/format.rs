//! The form of an answer.

use counterpoint::registry::{RewardEntry, settings};
use counterpoint::{Judges, Result, Reward, Sample, Score, inventory};
use serde::{Deserialize, Serialize};

use crate::tags::Tagged;

/// Settings of [`Format`].
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FormatConfig {
    /// Whether each tag that is there once earns an eighth instead, up to 0.5. Default: false.
    #[serde(default)]
    pub tags: bool,
}

inventory::submit! {
    RewardEntry::new("format", |table, _| Ok(Box::new(Format(settings::<FormatConfig>("format", table)?))))
}

/// 1 for an answer that is `<think>..</think><answer>..</answer>` and nothing else, else 0 (CoRL's format reward).
#[derive(Debug, Clone, Copy, Default)]
pub struct Format(pub FormatConfig);

impl Format {
    /// The score of one answer.
    pub fn of(&self, response: &str) -> f64 {
        let tagged = Tagged::of(response);
        match self.0.tags {
            true => tagged.once as f64 / 8.0,
            false => f64::from(u8::from(tagged.whole)),
        }
    }
}

impl Reward for Format {
    fn name(&self) -> &str {
        "format"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        Ok(samples.iter().map(|sample| Score::Value(self.of(&sample.response))).collect())
    }

    fn judges(&self) -> Judges {
        Judges::Understanding
    }
}
