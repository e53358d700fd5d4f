//! What every expert is to the checks of behaviour, in this process or bridged.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use counterpoint_abi::{
    CPT_CANCELLED, CPT_CAP_BATCH_INVARIANT, CPT_CAP_CONCURRENT, CPT_CAP_DETERMINISTIC, CPT_ERROR, CPT_PANIC, CPT_VALUE,
};
use counterpoint_host::ExpertManifest;

use crate::samples::{Kit, Sample};

/// An expert under test.
pub trait Subject {
    /// What the plugin says of it.
    fn manifest(&self) -> &ExpertManifest;
    /// `CPT_CAP_*`.
    fn capabilities(&self) -> u64;
    /// Items for it.
    fn kit(&self) -> &Kit;
    /// A new instance or process.
    ///
    /// # Errors
    /// Why there is none.
    fn start(&self) -> Result<Box<dyn Scorer + '_>, Failure>;
}

/// What a plugin with these `CPT_CAP_*` bits promises, in words.
pub fn promises(capabilities: u64) -> String {
    let names = [
        (CPT_CAP_CONCURRENT, "concurrent"),
        (CPT_CAP_DETERMINISTIC, "deterministic"),
        (CPT_CAP_BATCH_INVARIANT, "batch-invariant"),
    ];
    let promised: Vec<_> = names.iter().filter(|(bit, _)| capabilities & bit != 0).map(|(_, name)| *name).collect();
    format!("promises: {}", if promised.is_empty() { "nothing".into() } else { promised.join(", ") })
}

/// A running instance.
pub trait Scorer {
    /// Scores `samples`.
    ///
    /// # Errors
    /// Why the call as a whole failed.
    fn score(&mut self, samples: &[Sample], call: &Call) -> Result<Answers, Failure>;
}

/// What belongs to a call besides its items.
#[derive(Debug, Clone, Copy, Default)]
pub struct Call {
    /// Of everything random.
    pub seed: u64,
    /// The call is asked to stop from the begin.
    pub cancelled: bool,
    /// Time that the call may take.
    pub deadline: Option<Duration>,
}

/// What a call answered.
#[derive(Debug, Clone, PartialEq)]
pub struct Answers {
    /// Outputs of an item.
    pub outputs: usize,
    /// `items * outputs`.
    pub values: Vec<f64>,
    /// One for each item: `CPT_VALUE` and so on.
    pub status: Vec<i32>,
    /// What was said of items.
    pub reasons: BTreeMap<u64, String>,
}

impl Answers {
    /// The values of item `i`.
    pub fn values(&self, i: usize) -> &[f64] {
        &self.values[i * self.outputs..(i + 1) * self.outputs]
    }

    /// Items with a value.
    pub fn scored(&self) -> usize {
        self.status.iter().filter(|s| **s == CPT_VALUE).count()
    }

    /// Whether item `i` here and item `j` there are the same to the last bit.
    ///
    /// # Errors
    /// What differs.
    pub fn same(&self, i: usize, there: &Self, j: usize) -> Result<(), String> {
        if self.status[i] != there.status[j] {
            return Err(format!("status {} and {}", status(self.status[i]), status(there.status[j])));
        }
        let differs = |(a, b): &(&f64, &f64)| a.to_bits() != b.to_bits();
        match self.values(i).iter().zip(there.values(j)).find(differs) {
            Some((a, b)) if self.status[i] == CPT_VALUE => Err(format!("{a:?} and {b:?}")),
            _ => Ok(()),
        }
    }

    /// Why no item has a value, if none has.
    pub fn why_none(&self) -> Option<String> {
        if self.scored() > 0 {
            return None;
        }
        let why = self.reasons.values().next().map_or(String::new(), |r| format!(" ({r})"));
        Some(format!("no item has a value{why}; try --params"))
    }

    /// How many items ended how.
    pub fn summary(&self) -> String {
        let count = |s: i32| self.status.iter().filter(|x| **x == s).count();
        let mut text = format!("{} items: {} scored", self.status.len(), count(CPT_VALUE));
        for (status, name) in [(1, "abstained"), (2, "failed")] {
            if count(status) > 0 {
                text += &format!(", {} {name}", count(status));
            }
        }
        match self.reasons.iter().next() {
            Some((item, reason)) => format!("{text} (item {item}: {reason})"),
            None => text,
        }
    }
}

/// A status by its name.
pub fn status(status: i32) -> String {
    match status {
        -1 => "CPT_UNWRITTEN".into(),
        0 => "CPT_VALUE".into(),
        1 => "CPT_ABSTAIN".into(),
        2 => "CPT_FAIL".into(),
        other => other.to_string(),
    }
}

/// In the place of a code: the process that should answer died, or did not keep to the protocol.
pub const BROKEN: i32 = i32::MIN;

/// A call that failed as a whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// `CPT_ERROR` and so on.
    pub code: i32,
    /// What was being done, and the reason that was given.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = match self.code {
            CPT_ERROR => "CPT_ERROR".into(),
            CPT_PANIC => "CPT_PANIC".into(),
            CPT_CANCELLED => "CPT_CANCELLED".into(),
            BROKEN => return f.write_str(&self.message),
            code => code.to_string(),
        };
        write!(f, "{code} {}", self.message)
    }
}

impl From<Failure> for String {
    fn from(failure: Failure) -> Self {
        failure.to_string()
    }
}
