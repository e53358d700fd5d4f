//! Those who watch a run, and may add to it.

use std::ops::ControlFlow;
use std::path::Path;

use crate::metrics::Metrics;
use crate::{Event, Result, StopToken};

/// An **observer** watches a run from the thread that steps the trainer, in the order of the tasks. It may add metrics, keep
/// files of its own in checkpoints, ask for the end of the run, and fail.
///
/// An error in the middle of a step ends that step, which leaves no trace; one after it is the step's result while the step
/// counts.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use counterpoint::metrics::Metrics;
/// use counterpoint::{Event, Observer, Result};
///
/// /// How long answers are, and the end of the run once they are long enough.
/// #[derive(Default)]
/// struct Lengths {
///     letters: usize,
///     answers: usize,
/// }
///
/// impl Observer for Lengths {
///     fn event(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>> {
///         if let Event::Group { rollouts, .. } = event {
///             self.answers += rollouts.len();
///             self.letters += rollouts.iter().map(|rollout| rollout.sample.response.len()).sum::<usize>();
///         }
///         let long = matches!(event, Event::Step(report) if report.metrics.get("length") > Some(100.0));
///         Ok(if long { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
///     }
///
///     fn metrics(&mut self, _step: u64, metrics: &mut Metrics) -> Result<()> {
///         metrics.insert("length", self.letters as f64 / self.answers.max(1) as f64);
///         *self = Self::default();
///         Ok(())
///     }
/// }
/// ```
pub trait Observer: Send {
    /// Sees an event. `Break` asks for the end of the run on the next step boundary.
    ///
    /// # Errors
    /// Its own.
    fn event(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>> {
        let _ = event;
        Ok(ControlFlow::Continue(()))
    }

    /// Adds to the metrics of `step`, which is done, before they are written.
    ///
    /// # Errors
    /// Its own.
    fn metrics(&mut self, step: u64, metrics: &mut Metrics) -> Result<()> {
        let _ = (step, metrics);
        Ok(())
    }

    /// Writes files of its own into a checkpoint.
    ///
    /// # Errors
    /// Its own; the checkpoint is not written then.
    fn save(&mut self, dir: &Path) -> Result<()> {
        let _ = dir;
        Ok(())
    }

    /// Reads what [`save`](Observer::save) wrote, when a run goes on from the checkpoint in `dir`.
    ///
    /// # Errors
    /// Its own; the run is not resumed then.
    fn load(&mut self, dir: &Path) -> Result<()> {
        let _ = dir;
        Ok(())
    }
}

/// A function that sees events.
pub(super) struct Sees<F>(pub(super) F);

impl<F: FnMut(&Event<'_>) + Send> Observer for Sees<F> {
    fn event(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>> {
        (self.0)(event);
        Ok(ControlFlow::Continue(()))
    }
}

/// All observers of a run, and what they and the events of a step came to.
#[derive(Default)]
pub(super) struct Audience {
    pub(super) observers: Vec<Box<dyn Observer>>,
    /// Asked before every event whether the step is to be given up.
    pub(super) stop: StopToken,
    /// Whether an observer asked for the end.
    pub(super) ended: bool,
    /// What is worth noting of the step under way.
    pub(super) notes: Vec<String>,
}

impl Audience {
    pub(super) fn tell(&mut self, event: &Event<'_>) -> Result<()> {
        self.stop.check()?;
        self.announce(event)
    }

    /// As [`tell`](Self::tell), of something that is done and cannot be given up.
    pub(super) fn announce(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::ScoresFailed { reward, reason, .. } => {
                self.notes.push(format!("reward `{reward}` failed: {reason}"))
            }
            Event::DeviceLost { device, reason, .. } => self.notes.push(format!("device {device} lost: {reason}")),
            Event::GroupDropped { reason, .. } => self.notes.push((*reason).to_owned()),
            _ => {}
        }
        for observer in &mut self.observers {
            self.ended |= observer.event(event)?.is_break();
        }
        Ok(())
    }
}
