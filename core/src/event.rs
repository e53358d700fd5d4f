//! What a run tells those who watch it, and how they stop it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::metrics::Metrics;
use crate::{Error, ErrorKind, Judged, Result, Rollout, Scored, Task};

/// Sees every event of what is under way; an error ends that, and is its result.
pub type Watch<'a> = &'a mut dyn FnMut(&Event<'_>) -> Result<()>;

/// Watches nothing.
///
/// # Errors
/// None.
pub fn unwatched(_: &Event<'_>) -> Result<()> {
    Ok(())
}

/// Something that happened, borrowed for the time of the call.
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
    /// A reward failed on samples of a group; they are dropped.
    ScoresFailed {
        /// The task.
        task: &'a Task,
        /// Name of the reward.
        reward: &'a str,
        /// On how many samples.
        failed: usize,
        /// What it said of the first of them.
        reason: &'a str,
    },
    /// A group was left out: too few candidates with a reward, or the filter dropped it until the attempts were used up.
    GroupDropped {
        /// The task.
        task: &'a Task,
        /// Why.
        reason: &'a str,
    },
    /// A device that rollouts were drawn on is lost: it draws no more in this run, and what was under way is drawn again elsewhere.
    DeviceLost {
        /// The task.
        task: &'a Task,
        /// Its name.
        device: &'a str,
        /// Candidates that are drawn again.
        candidates: usize,
        /// What it said.
        reason: &'a str,
    },
    /// Some chunks of an update were replayed.
    Replayed {
        /// Which update of this batch, from 0.
        round: usize,
        /// Chunks that are done.
        done: usize,
        /// Chunks in all.
        total: usize,
    },
    /// A step was skipped because of non-finite numbers.
    StepSkipped {
        /// The step.
        step: u64,
        /// What was not finite, and where.
        reason: &'a str,
    },
    /// The run's evaluator judged the policy between steps ([`Trainer::with_evaluator`](crate::Trainer::with_evaluator)).
    Evaluated {
        /// Steps completed.
        step: u64,
        /// Every sample, task by task.
        samples: &'a [Judged],
    },
    /// A step is done and its metrics are written.
    Step(&'a StepReport),
    /// A checkpoint was written.
    Checkpoint {
        /// Steps completed.
        step: u64,
        /// Its folder.
        path: &'a Path,
    },
}

/// An event of a rollout without its task, to be told now or later.
pub(crate) enum Notice {
    Drafted { attempt: usize, drafted: usize, admitted: usize },
    Exhausted { attempts: usize, filled: usize },
    DeviceLost { device: String, candidates: usize, reason: String },
    Group { rollouts: Vec<Rollout>, scores: Vec<Scored>, kept: Vec<usize> },
    ScoresFailed { reward: String, failed: usize, reason: String },
    Dropped { reason: String },
}

impl Notice {
    pub(crate) fn event<'a>(&'a self, task: &'a Task) -> Event<'a> {
        match self {
            &Self::Drafted { attempt, drafted, admitted } => Event::Drafted { task, attempt, drafted, admitted },
            &Self::Exhausted { attempts, filled } => Event::AttemptsExhausted { task, attempts, filled },
            Self::DeviceLost { device, candidates, reason } => {
                Event::DeviceLost { task, device, candidates: *candidates, reason }
            }
            Self::Group { rollouts, scores, kept } => Event::Group { task, rollouts, scores, kept },
            Self::ScoresFailed { reward, failed, reason } => {
                Event::ScoresFailed { task, reward, failed: *failed, reason }
            }
            Self::Dropped { reason } => Event::GroupDropped { task, reason },
        }
    }
}

/// An event of a rollout that nobody was told yet.
pub(crate) struct Told {
    task: Task,
    notice: Notice,
}

impl Told {
    /// What is kept of an event of a rollout; none for others.
    pub(crate) fn of(event: &Event<'_>) -> Option<Self> {
        let (task, notice) = match *event {
            Event::Drafted { task, attempt, drafted, admitted } => {
                (task, Notice::Drafted { attempt, drafted, admitted })
            }
            Event::AttemptsExhausted { task, attempts, filled } => (task, Notice::Exhausted { attempts, filled }),
            Event::DeviceLost { task, device, candidates, reason } => {
                (task, Notice::DeviceLost { device: device.to_owned(), candidates, reason: reason.to_owned() })
            }
            Event::Group { task, rollouts, scores, kept } => {
                (task, Notice::Group { rollouts: rollouts.to_vec(), scores: scores.to_vec(), kept: kept.to_vec() })
            }
            Event::ScoresFailed { task, reward, failed, reason } => {
                (task, Notice::ScoresFailed { reward: reward.to_owned(), failed, reason: reason.to_owned() })
            }
            Event::GroupDropped { task, reason } => (task, Notice::Dropped { reason: reason.to_owned() }),
            _ => return None,
        };
        Some(Self { task: task.clone(), notice })
    }

    pub(crate) fn event(&self) -> Event<'_> {
        self.notice.event(&self.task)
    }
}

/// What one step did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StepReport {
    /// The step that was done, from 0.
    pub step: u64,
    /// Its metrics.
    pub metrics: Metrics,
    /// Whether the parameters were updated.
    pub updated: bool,
}

impl StepReport {
    /// What `step` did.
    pub fn new(step: u64, metrics: Metrics, updated: bool) -> Self {
        Self { step, metrics, updated }
    }
}

/// Asks a run to stop: on the next step boundary by [`set`](StopToken::set), or in the middle of a step by
/// [`cancel`](StopToken::cancel). Clones share one flag; setting it is safe from any thread and from a signal handler.
#[derive(Debug, Clone, Default)]
pub struct StopToken(Arc<AtomicU8>);

const STOP: u8 = 1;
const CANCEL: u8 = 2;

impl StopToken {
    /// A token that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks for the stop once the step under way is done.
    pub fn set(&self) {
        self.0.fetch_max(STOP, Ordering::SeqCst);
    }

    /// Asks for the stop as soon as possible: between waves of drafts, tasks and chunks. The step under way is given up and
    /// leaves no trace.
    pub fn cancel(&self) {
        self.0.fetch_max(CANCEL, Ordering::SeqCst);
    }

    /// Whether a stop was asked for, of either kind.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= STOP
    }

    /// An error when the step under way is to be given up: what a [`Watch`] returns to end it.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`].
    pub fn check(&self) -> Result<()> {
        match self.0.load(Ordering::SeqCst) >= CANCEL {
            true => Err(Error::new(ErrorKind::Cancelled, "the step was given up because a stop was asked for")),
            false => Ok(()),
        }
    }
}
