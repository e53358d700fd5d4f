//! What every expert is to the program that uses it, wherever its code runs.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ExpertManifest, Item, Result, Statistics};

/// An **expert** of a plugin: scores a batch of items.
///
/// *Contract*: exactly one [`State`] for each item, in order; no score is invented, and each is finite and inside the range that
/// the manifest declares. After any error the expert may be called again: what broke was replaced.
/// *Threading*: `Send`, one thread at a time.
pub trait Expert: Send {
    /// What the plugin says of this expert.
    fn manifest(&self) -> &ExpertManifest;

    /// Scores `items`.
    ///
    /// # Errors
    /// When the call as a whole failed; [`ErrorKind`](crate::ErrorKind) says how.
    fn score(&mut self, items: &[Item<'_>], call: &Call<'_>) -> Result<Scores>;

    /// What happened so far.
    fn statistics(&self) -> Statistics;
}

/// What belongs to one call besides its items.
#[derive(Debug, Clone, Copy, Default)]
pub struct Call<'a> {
    /// Of everything random in the call.
    pub seed: u64,
    /// Time that the call may take. An expert in a child process is killed when it takes longer; one in this process is told.
    pub deadline: Option<Duration>,
    /// Asks for an early end when it becomes true.
    pub cancel: Option<&'a AtomicBool>,
}

/// What an expert says of the items of a call.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Outputs of each item, 1 or more.
    pub outputs: usize,
    /// `items * outputs` values, item by item; NaN for items without a value.
    pub values: Vec<f64>,
    /// One for each item.
    pub states: Vec<State>,
}

/// What became of an item; the bridge's protocol has it as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It has a value for every output.
    Value,
    /// The expert does not apply to it, for this reason.
    Abstain(String),
    /// It could not be scored, for this reason.
    Fail(String),
}

impl Scores {
    /// Output number `output` of item number `item`, when there is one.
    pub fn value(&self, item: usize, output: usize) -> Option<f64> {
        let has = output < self.outputs && self.states.get(item) == Some(&State::Value);
        if has { self.values.get(item * self.outputs + output).copied() } else { None }
    }

    /// Puts a failure in the place of every value that is not finite, or outside the range that the manifest declares for it.
    pub fn check(&mut self, manifest: &ExpertManifest) {
        for (i, state) in self.states.iter_mut().enumerate() {
            let values = &mut self.values[i * self.outputs..(i + 1) * self.outputs];
            if *state == State::Value {
                let bad = values.iter().zip(&manifest.outputs).find_map(|(value, output)| output.refuse(*value));
                let Some(reason) = bad else { continue };
                *state = State::Fail(reason);
            }
            values.fill(f64::NAN);
        }
    }
}
