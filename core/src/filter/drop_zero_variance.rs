//! Groups that teach nothing are drawn again.

use super::{GroupFilter, GroupOutcome};

/// Drops a group whose rewards are all equal (DAPO's dynamic sampling): its advantages are all zero, so it would only
/// dilute the gradient. The group is drawn again while attempts are left. Registered as `drop_zero_variance`; it has no
/// settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct DropZeroVariance;

impl GroupFilter for DropZeroVariance {
    fn admit(&mut self, scores: &[f64]) -> Vec<bool> {
        vec![true; scores.len()]
    }

    fn adapt(&mut self, _group: &GroupOutcome) {}

    fn select(&self, rewards: &[f64], _group_size: usize) -> Vec<usize> {
        if rewards.windows(2).all(|pair| pair[0] == pair[1]) { Vec::new() } else { (0..rewards.len()).collect() }
    }
}
