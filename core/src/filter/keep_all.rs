//! Every draft is finished, every candidate is learned from.

use serde::Deserialize;

use super::{GroupFilter, GroupOutcome};
use crate::inventory;
use crate::registry::{self, FilterEntry};

/// Finishes every draft and learns from every candidate: plain GRPO. Registered as `keep_all`; it has no settings.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeepAll;

impl GroupFilter for KeepAll {
    fn admit(&mut self, scores: &[f64]) -> Vec<bool> {
        vec![true; scores.len()]
    }

    fn adapt(&mut self, _group: &GroupOutcome) {}
}

/// The settings of a filter that has none: any key is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoSettings {}

inventory::submit! {
    FilterEntry {
        name: "keep_all",
        build: |table, _| {
            let NoSettings {} = registry::settings("filter", table)?;
            Ok(Box::new(KeepAll))
        },
    }
}
