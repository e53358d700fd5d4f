//! Which candidates of a group are worth finishing and worth learning from.

mod dgs;
mod drop_zero_variance;
mod keep_all;
mod top_k;

pub use dgs::{Damping, DynamicGroupScaling, DynamicGroupScalingConfig, ThresholdControl};
pub use drop_zero_variance::DropZeroVariance;
pub use keep_all::KeepAll;
pub use top_k::{TopK, TopKConfig};

use crate::Result;

/// A **group filter** decides which drafts are finished and which finished candidates are learned from, and adapts.
///
/// *Contract*: decisions depend on scores and on the filter's own state, not on the order of candidates beyond breaking
/// ties by candidate number. [`state`](GroupFilter::state) and [`restore`](GroupFilter::restore) round-trip exactly.
/// *Call order*, for a group: [`admit`](GroupFilter::admit) for each wave of drafts until the group is full or the attempts
/// are used up; [`select`](GroupFilter::select) on the rewards of the finished candidates; [`adapt`](GroupFilter::adapt).
/// A group that is drawn again goes through all three once more. Where rewards are computed beside the next rollout, `adapt`
/// is called first and the filter is restored before `select`, so that each call finds the state that it would find in this
/// order. A step that fails restores the filter too.
/// *Threading*: `Send`, one thread at a time.
///
/// ```
/// use counterpoint::{Error, GroupFilter, GroupOutcome, Result, serde_json};
///
/// /// Finishes the drafts whose preview is better than the mean of all previews seen so far.
/// #[derive(Default)]
/// struct AboveMean {
///     seen: u64,
///     sum: f64,
/// }
///
/// impl GroupFilter for AboveMean {
///     fn admit(&mut self, scores: &[f64]) -> Vec<bool> {
///         let mean = if self.seen == 0 { f64::NEG_INFINITY } else { self.sum / self.seen as f64 };
///         scores.iter().map(|&score| score > mean).collect()
///     }
///
///     fn adapt(&mut self, group: &GroupOutcome) {
///         // A preview that could not be scored counts as minus infinity.
///         for score in group.scores.iter().filter(|score| score.is_finite()) {
///             self.seen += 1;
///             self.sum += score;
///         }
///     }
///
///     fn needs_preview(&self) -> bool {
///         true
///     }
///
///     fn state(&self) -> serde_json::Value {
///         serde_json::json!([self.seen, self.sum])
///     }
///
///     fn restore(&mut self, state: &serde_json::Value) -> Result<()> {
///         let read = (state[0].as_u64(), state[1].as_f64());
///         let (Some(seen), Some(sum)) = read else {
///             return Err(Error::checkpoint(format!("above_mean: expected [seen, sum], got {state}")));
///         };
///         *self = Self { seen, sum };
///         Ok(())
///     }
/// }
///
/// # fn main() -> Result<()> {
/// let mut filter = AboveMean::default();
/// let scores = vec![0.2, 0.4, 0.6, 0.8];
/// assert_eq!(filter.admit(&scores), [true; 4]);
/// filter.adapt(&GroupOutcome::new(scores.clone(), 4, 4));
/// assert_eq!(filter.admit(&scores), [false, false, true, true]);
///
/// // A resumed run goes on where this one is.
/// let mut resumed = AboveMean::default();
/// resumed.restore(&filter.state())?;
/// assert_eq!(resumed.admit(&scores), filter.admit(&scores));
/// assert!(resumed.restore(&serde_json::json!("foreign")).is_err());
/// # Ok(())
/// # }
/// ```
pub trait GroupFilter: Send {
    /// Whether each draft of a wave, or each answer where several images are painted for one, is to be finished, by the surrogate score of its preview (higher is better; all
    /// zero when [`needs_preview`](GroupFilter::needs_preview) is false).
    fn admit(&mut self, scores: &[f64]) -> Vec<bool>;

    /// Learns from what became of the drafts of a finished group.
    fn adapt(&mut self, group: &GroupOutcome);

    /// Whether previews must be decoded and scored. `false` saves both.
    fn needs_preview(&self) -> bool {
        false
    }

    /// How many candidates to finish for a group from which `group_size` are learned.
    fn finish_count(&self, group_size: usize) -> usize {
        group_size
    }

    /// Which of the finished candidates that have a reward are learned from: increasing indices into `rewards`. Fewer than
    /// two drop the group, which is then drawn again while attempts are left.
    fn select(&self, rewards: &[f64], group_size: usize) -> Vec<usize> {
        let _ = group_size;
        (0..rewards.len()).collect()
    }

    /// Named numbers for the metrics, such as `dgs/threshold`.
    fn gauges(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// The adaptive state, for checkpoints.
    fn state(&self) -> serde_json::Value {
        serde_json::Value::Null
    }

    /// Restores what [`state`](GroupFilter::state) returned.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`](crate::ErrorKind::Checkpoint) when the value is not such a state.
    fn restore(&mut self, state: &serde_json::Value) -> Result<()> {
        let _ = state;
        Ok(())
    }
}

/// What became of the drafts of one group, or of one of its draws where it is drawn again.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct GroupOutcome {
    /// Surrogate scores of all drafts, in candidate order; empty when no previews were scored.
    pub scores: Vec<f64>,
    /// How many drafts were admitted by [`GroupFilter::admit`].
    pub admitted: usize,
    /// How many drafts were drawn.
    pub drafted: usize,
}

impl GroupOutcome {
    /// Of `drafted` drafts with these surrogate scores (none where no previews were scored) `admitted` were admitted.
    pub fn new(scores: Vec<f64>, admitted: usize, drafted: usize) -> Self {
        Self { scores, admitted, drafted }
    }

    /// Pass rate PR in [0, 1]; 0 when nothing was drafted.
    pub fn pass_rate(&self) -> f64 {
        if self.drafted == 0 { 0.0 } else { self.admitted as f64 / self.drafted as f64 }
    }
}
