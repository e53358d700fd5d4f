//! Learning rate: linear warm-up, then a cosine to zero.

use burn::lr_scheduler::LrSchedulerConfig;
use burn::lr_scheduler::cosine::CosineAnnealingLrSchedulerConfig;
use burn::lr_scheduler::linear::LinearLrSchedulerConfig;
use burn::lr_scheduler::sequential::SequentialLrSchedulerConfig;

use crate::config::TrainerConfig;
use crate::{Error, Result};

/// The learning rate of every step of a run, computed once with burn's schedulers: a resumed run looks its step up.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    rates: Vec<f64>,
}

impl Schedule {
    pub(super) fn new(config: &TrainerConfig) -> Result<Self> {
        let steps = config.steps as usize;
        let warmup = (config.warmup_steps as usize).min(steps);
        let peak = config.learning_rate;
        if peak == 0.0 {
            return Ok(Self { rates: vec![0.0; steps] });
        }
        let cosine = LrSchedulerConfig::Cosine(CosineAnnealingLrSchedulerConfig::new(peak, (steps - warmup).max(1)));
        let scheduler = if warmup == 0 {
            SequentialLrSchedulerConfig::new(vec![cosine], vec![])
        } else {
            // Step i of the warm-up runs at peak * (i + 1) / (warmup + 1): never at zero, and at the peak when it ends.
            let first = peak / (warmup + 1) as f64;
            let linear = LrSchedulerConfig::Linear(LinearLrSchedulerConfig::new(first, peak, warmup));
            SequentialLrSchedulerConfig::new(vec![linear, cosine], vec![warmup])
        };
        let mut scheduler = scheduler
            .init()
            .map_err(|e| Error::config(format!("trainer.learning_rate or trainer.warmup_steps: {e}")))?;
        Ok(Self { rates: (0..steps).map(|_| scheduler.step().base()).collect() })
    }

    /// The rate of `step`, from 0; steps beyond the end have the last one.
    pub(super) fn rate(&self, step: u64) -> f64 {
        self.rates.get(step as usize).or(self.rates.last()).copied().unwrap_or(0.0)
    }
}
