//! What is seen in many steps in a row.

use std::collections::BTreeMap;

/// Steps in a row after which it is told.
pub(super) const STEPS: u32 = 10;

/// Counts, by name, the steps in a row in which something was seen. A resumed run counts anew.
#[derive(Debug, Default)]
pub(super) struct Streaks(BTreeMap<String, u32>);

impl Streaks {
    /// Whether `name` is seen for the [`STEPS`]th time in a row; true once.
    pub(super) fn completes(&mut self, name: &str, seen: bool) -> bool {
        let steps = self.0.entry(name.to_owned()).or_default();
        if *steps < STEPS {
            *steps = if seen { *steps + 1 } else { 0 };
            return *steps == STEPS;
        }
        false
    }
}
