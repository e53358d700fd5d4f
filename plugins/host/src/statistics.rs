//! What an expert has done so far.

use std::fmt;
use std::time::Duration;

use crate::{ErrorKind, Result, Scores, State};

/// Counts of one expert's calls and items, and its time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Calls, those that failed included.
    pub calls: u64,
    /// Items of those calls.
    pub items: u64,
    /// Items with a value.
    pub values: u64,
    /// Items abstained from.
    pub abstained: u64,
    /// Items that failed one by one.
    pub failed: u64,
    /// Calls that failed as a whole.
    pub failed_calls: u64,
    /// Of those: panics.
    pub panics: u64,
    /// Of those: calls that took longer than they may.
    pub deadlines: u64,
    /// Of those: breaches of the contract.
    pub breaches: u64,
    /// Of those: ends of a child process.
    pub deaths: u64,
    /// Instances or processes that were put in the place of broken ones.
    pub replaced: u64,
    /// Time spent in calls.
    pub time: Duration,
    /// Time of the longest call.
    pub longest: Duration,
}

impl Statistics {
    /// Counts one call of `items` items that took `time`.
    pub fn count(&mut self, items: usize, time: Duration, result: &Result<Scores>) {
        self.calls += 1;
        self.items += items as u64;
        self.time += time;
        self.longest = self.longest.max(time);
        match result {
            Ok(scores) => {
                for state in &scores.states {
                    match state {
                        State::Value => self.values += 1,
                        State::Abstain(_) => self.abstained += 1,
                        State::Fail(_) => self.failed += 1,
                    }
                }
            }
            Err(error) => {
                self.failed_calls += 1;
                match error.kind() {
                    ErrorKind::Panic => self.panics += 1,
                    ErrorKind::Deadline => self.deadlines += 1,
                    ErrorKind::Contract => self.breaches += 1,
                    ErrorKind::Died => self.deaths += 1,
                    _ => {}
                }
            }
        }
    }
}

/// In words, on one line.
impl fmt::Display for Statistics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { calls, items, values, abstained, failed, time, longest, .. } = self;
        write!(f, "{calls} calls in {time:.1?} (longest {longest:.1?}), {items} items: {values} values, ")?;
        write!(f, "{abstained} abstentions, {failed} failures")?;
        if self.failed_calls > 0 {
            let Self { failed_calls, panics, deadlines, breaches, deaths, replaced, .. } = self;
            write!(
                f,
                "; {failed_calls} calls failed ({panics} panics, {deadlines} past their deadline, {breaches} breaches "
            )?;
            write!(f, "of the contract, {deaths} deaths), {replaced} times replaced")?;
        }
        Ok(())
    }
}
