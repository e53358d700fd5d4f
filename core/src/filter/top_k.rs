//! Sample more, learn from the best.

use serde::{Deserialize, Serialize};

use super::{GroupFilter, GroupOutcome};
use crate::{Error, Result};

/// Settings of [`TopK`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TopKConfig {
    /// Candidates finished per candidate of the group, at least 1. Default 2.
    pub oversample: usize,
    /// How many are learned from, at least 2. Default: the group size.
    pub k: Option<usize>,
}

impl Default for TopKConfig {
    fn default() -> Self {
        Self { oversample: 2, k: None }
    }
}

impl TopKConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) naming the key, the range and what came.
    pub fn validate(&self) -> Result<()> {
        if self.oversample < 1 {
            return Err(Error::config("filter.oversample: expected an integer of at least 1, got 0"));
        }
        match self.k {
            Some(k) if k < 2 => Err(Error::config(format!(
                "filter.k: expected an integer of at least 2 (a group of one has no advantage), got {k}"
            ))),
            _ => Ok(()),
        }
    }

    /// The filter with these settings.
    ///
    /// # Errors
    /// As [`validate`](TopKConfig::validate).
    pub fn init(self) -> Result<TopK> {
        self.validate()?;
        Ok(TopK { config: self })
    }
}

/// Finishes `oversample * G` candidates and learns from the `k` with the highest rewards (GFPO). Of equal rewards the
/// lower candidate number wins. Registered as `top_k`.
#[derive(Debug, Clone)]
pub struct TopK {
    config: TopKConfig,
}

impl GroupFilter for TopK {
    fn admit(&mut self, scores: &[f64]) -> Vec<bool> {
        vec![true; scores.len()]
    }

    fn adapt(&mut self, _group: &GroupOutcome) {}

    fn finish_count(&self, group_size: usize) -> usize {
        group_size.saturating_mul(self.config.oversample)
    }

    fn select(&self, rewards: &[f64], group_size: usize) -> Vec<usize> {
        let mut best: Vec<usize> = (0..rewards.len()).collect();
        best.sort_by(|&a, &b| rewards[b].total_cmp(&rewards[a])); // stable: ties stay in candidate order
        best.truncate(self.config.k.unwrap_or(group_size));
        best.sort_unstable();
        best
    }
}
