//! What a run tells those who watch it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::metrics::Metrics;
use crate::{Rollout, Scored, Task};

/// Something that happened, borrowed from the trainer for the time of the call.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A wave of drafts was drawn and filtered.
    Drafted {
        /// The task.
        task: &'a Task,
        /// Which attempt this was, from 1.
        attempt: usize,
        /// Drafts of this wave.
        drafted: usize,
        /// Of which admitted.
        admitted: usize,
    },
    /// The attempts were used up; the group was filled with the best drafts seen.
    AttemptsExhausted {
        /// The task.
        task: &'a Task,
        /// Attempts made.
        attempts: usize,
        /// Drafts taken although the filter had refused them.
        filled: usize,
    },
    /// A group was finished and scored.
    Group {
        /// The task.
        task: &'a Task,
        /// Its finished candidates.
        rollouts: &'a [Rollout],
        /// Their scores, in the same order.
        scores: &'a [Scored],
        /// Which of them are learned from.
        kept: &'a [usize],
    },
    /// A group was left out: too few candidates with a reward, or the filter dropped it until the attempts were used up.
    GroupDropped {
        /// The task.
        task: &'a Task,
        /// Why.
        reason: &'a str,
    },
    /// A step was skipped because of non-finite numbers.
    StepSkipped {
        /// The step.
        step: u64,
        /// What was not finite, and where.
        reason: &'a str,
    },
    /// A step is done.
    Step(&'a StepReport),
    /// A checkpoint was written.
    Checkpoint {
        /// Steps completed.
        step: u64,
        /// Its folder.
        path: &'a Path,
    },
}

/// An event of a rollout, to be told now or later.
pub(super) enum Notice {
    Drafted { attempt: usize, drafted: usize, admitted: usize },
    Exhausted { attempts: usize, filled: usize },
}

impl Notice {
    pub(super) fn event<'a>(&self, task: &'a Task) -> Event<'a> {
        match *self {
            Self::Drafted { attempt, drafted, admitted } => Event::Drafted { task, attempt, drafted, admitted },
            Self::Exhausted { attempts, filled } => Event::AttemptsExhausted { task, attempts, filled },
        }
    }
}

/// What one step did.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// The step that was done, from 0.
    pub step: u64,
    /// Its metrics.
    pub metrics: Metrics,
    /// Whether the parameters were updated.
    pub updated: bool,
}

/// Asks a run to stop on the next step boundary. Clones share one flag; setting it is safe from any thread and from a
/// signal handler.
#[derive(Debug, Clone, Default)]
pub struct StopToken(Arc<AtomicBool>);

impl StopToken {
    /// A token that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for the stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether a stop was asked for.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}
