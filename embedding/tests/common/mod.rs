//! What the tests share.
#![allow(dead_code, clippy::unwrap_used)]

use std::any::Any;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use counterpoint::burn::tensor::Device;
use counterpoint::{Event, Trainer};
use counterpoint_embedding::{Composer, run};

/// A run on the CPU.
pub fn trainer(steps: u64, seed: u64) -> Trainer {
    run(&Device::flex(), steps, seed).unwrap()
}

/// An empty folder of this test's own.
pub fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("embedding-{name}"));
    if path.exists() {
        std::fs::remove_dir_all(&path).unwrap();
    }
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// One step: every metric but the timings, bit for bit.
pub fn step(trainer: &mut Trainer) -> Vec<(String, u64)> {
    let metrics = trainer.step().unwrap().metrics.without_timings();
    metrics.iter().map(|(name, value)| (name.to_owned(), value.to_bits())).collect()
}

/// Every parameter, bit for bit.
pub fn weights(trainer: &mut Trainer) -> Vec<u32> {
    let policy: &dyn Any = trainer.policy();
    policy.downcast_ref::<Composer>().unwrap().bits().unwrap()
}

/// Notes what `trainer` tells, a line per event.
pub fn listen(trainer: &mut Trainer) -> Arc<Mutex<Vec<String>>> {
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = log.clone();
    trainer.on_event(move |event| {
        let line = match event {
            Event::Drafted { task, attempt, drafted, admitted, .. } => {
                format!("task {}: attempt {attempt}, {admitted} of {drafted} admitted", task.id)
            }
            Event::Group { task, rollouts, scores, kept, .. } => {
                assert_eq!(rollouts.len(), scores.len());
                format!("task {}: {} of {} learned from", task.id, kept.len(), rollouts.len())
            }
            Event::Step(report) => format!("step {}", report.step),
            Event::StepSkipped { step, .. } => format!("step {step} skipped"),
            Event::Checkpoint { step, path, .. } => {
                assert!(path.is_dir());
                format!("checkpoint {step}")
            }
            Event::Replayed { .. } => return,
            other => format!("{other:?}"),
        };
        lines.lock().unwrap().push(line);
    });
    log
}
