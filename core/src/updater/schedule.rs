//! The learning rate of each step.

use std::f64::consts::PI;

use burn::lr_scheduler::module_lr_scheduler::ModuleLrScheduler;

/// A **schedule** gives the learning rate of a step.
///
/// *Contract*: it depends on the step alone, so that a resumed run looks its step up. A function of the step is one.
pub trait Schedule: Send {
    /// The rate of `step`, counted from 0.
    fn rate(&mut self, step: u64) -> f64;
}

impl<F: FnMut(u64) -> f64 + Send> Schedule for F {
    fn rate(&mut self, step: u64) -> f64 {
        self(step)
    }
}

/// Linear warm-up to `peak`, then a cosine to zero at the end of `steps`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WarmupCosine {
    peak: f64,
    warmup: u64,
    steps: u64,
}

impl WarmupCosine {
    /// Of `steps` steps the first `warmup` are for the warm-up, all of them when there are no more.
    pub fn new(peak: f64, warmup: u64, steps: u64) -> Self {
        Self { peak, warmup: warmup.min(steps), steps }
    }
}

impl Schedule for WarmupCosine {
    /// Steps beyond the end have the last one's rate.
    fn rate(&mut self, step: u64) -> f64 {
        let Self { peak, warmup, steps } = *self;
        let step = step.min(steps.saturating_sub(1));
        if step < warmup {
            // Never at zero, and at the peak when the cosine begins.
            let first = peak / (warmup + 1) as f64;
            return peak - (peak - first) / warmup as f64 * (warmup - step) as f64;
        }
        let done = (step - warmup) as f64 / (steps - warmup).max(1) as f64;
        0.5 * peak * (1.0 + (done * PI).cos())
    }
}

/// One of burn's schedulers, wound forward to the step that is asked for.
///
/// ```
/// use counterpoint::burn::lr_scheduler::exponential::ExponentialLrSchedulerConfig;
/// use counterpoint::{BurnSchedule, Schedule};
///
/// let mut halving = BurnSchedule::new(ExponentialLrSchedulerConfig::new(0.4, 0.5).init()?);
/// assert_eq!([0, 1, 2, 0].map(|step| halving.rate(step)), [0.4, 0.2, 0.1, 0.4]);
/// # Ok::<(), String>(())
/// ```
pub struct BurnSchedule {
    start: ModuleLrScheduler,
    scheduler: ModuleLrScheduler,
    /// Steps that the scheduler has done, and the rate of the last.
    done: u64,
    last: f64,
}

impl BurnSchedule {
    /// `start` from its beginning.
    pub fn new(start: ModuleLrScheduler) -> Self {
        Self { scheduler: start.clone(), start, done: 0, last: 0.0 }
    }
}

impl Schedule for BurnSchedule {
    fn rate(&mut self, step: u64) -> f64 {
        if step + 1 < self.done {
            (self.scheduler, self.done) = (self.start.clone(), 0);
        }
        while self.done <= step {
            self.last = self.scheduler.step().base();
            self.done += 1;
        }
        self.last
    }
}
