//! Rewards that no longer tell the candidates of a group apart.

use super::streaks::{STEPS, Streaks};
use crate::metrics::{GROUP_STD, Metrics};

/// A spread within groups below this teaches nothing: advantages are differences within a group.
const SMALL: f64 = 1e-3;

/// Counts, for each reward, the steps in a row in which its spread within groups was small.
#[derive(Debug, Default)]
pub(super) struct Spreads(Streaks);

impl Spreads {
    /// Sees the metrics of a step, and warns of each reward once. A step in which a reward has no spread (no group with two of its
    /// values) does not count.
    pub(super) fn see(&mut self, metrics: &Metrics) {
        let spread = |name| str::strip_suffix(str::strip_prefix(name, "rewards/")?, GROUP_STD)?.strip_suffix('/');
        for (reward, std) in metrics.iter().filter_map(|(name, std)| Some((spread(name)?, std))) {
            if self.0.completes(reward, std < SMALL) {
                tracing::warn!(
                    "reward `{reward}`: its values in a group were the same to within {SMALL} for {STEPS} steps in a row \
                     (rewards/{reward}/{GROUP_STD}): it tells the candidates of a group apart no more, so nothing is learned from \
                     it; look at what it is given and at its settings in rewards.{reward} (for TIER `normalise`)"
                );
            }
        }
    }
}
