//! Every draft is finished, every candidate is learned from.

use super::{GroupFilter, GroupOutcome};

/// Finishes every draft and learns from every candidate: plain GRPO. Registered as `keep_all`; it has no settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeepAll;

impl GroupFilter for KeepAll {
    fn admit(&mut self, scores: &[f64]) -> Vec<bool> {
        vec![true; scores.len()]
    }

    fn adapt(&mut self, _group: &GroupOutcome) {}
}
