//! Steps that are skipped leave no graph behind. A program of its own: it watches the memory of its process.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

mod common;

use burn::tensor::{Device, Tensor};
use common::{Faults, ToyPolicy, changed, config, parts, trainer};
use counterpoint::config::TrainerConfig;
use counterpoint::{Learner, LogProbs, Parameters, Policy, Replay, Result};

/// Floats that the graph of every chunk holds: 4 MiB.
const HELD: usize = 1 << 20;

/// Scores that are not finite, over a large graph.
struct Heavy(ToyPolicy);

impl Policy for Heavy {
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        let mut scores = self.0.log_probs(chunk, parameters)?;
        if parameters == Parameters::Current {
            let [rows, columns] = scores.log_probs.dims();
            let first = scores.log_probs.clone().narrow(0, 0, 1).narrow(1, 0, 1);
            let wide = (first.expand([1, HELD]) + Tensor::ones([1, HELD], &scores.log_probs.device())).exp();
            let zero = (wide.sum() * 0.0).reshape([1, 1]).expand([rows, columns]);
            scores.log_probs = scores.log_probs + zero;
        }
        Ok(scores)
    }

    fn training_log_probs(&self, chunk: &[Replay<'_>], _: counterpoint::Stream) -> Result<LogProbs> {
        let mut scores = self.log_probs(chunk, Parameters::Current)?;
        scores.log_probs = scores.log_probs * f32::NAN;
        Ok(scores)
    }

    fn learner(&mut self) -> &mut dyn Learner {
        self.0.learner()
    }

    fn wrapped(&self) -> Option<&dyn Policy> {
        Some(&self.0)
    }

    fn device(&self) -> Option<Device> {
        None
    }
}

/// Resident pages of 4 KiB, as MiB.
fn resident() -> u64 {
    let pages: u64 = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    pages / 256
}

#[test]
fn a_run_of_skipped_steps_takes_no_more_memory_than_one() {
    let settings = TrainerConfig { max_non_finite: usize::MAX, chunk: 1000.into(), ..config(1000) };
    let policy = Heavy(ToyPolicy::new(Faults::default()));
    let mut trainer = trainer(changed(parts(), |p| p.policy = Box::new(policy)), settings);
    let step = |trainer: &mut counterpoint::Trainer| assert!(!trainer.step().unwrap().updated);
    (0..10).for_each(|_| step(&mut trainer));
    let before = resident();
    (0..60).for_each(|_| step(&mut trainer));
    let grown = resident().saturating_sub(before);
    // Kept graphs would be 4 MiB or more a step.
    assert!(grown < 40, "{grown} MiB in 60 steps");
}
