//! Groups that are drawn while the step before them updates: of which parameters, at what time, and what is kept of them.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{
    Batchwise, Fault, Faults, ToyPolicy, ToySampler, alone, changed, config, listen, parts, resumes_bit_for_bit,
    stateful, steps, taste, trainer, weights,
};
use counterpoint::config::{ImportanceCap, TrainerConfig};
use counterpoint::trainer::Outcome;
use counterpoint::{
    Candidate, Draft, Error, ErrorKind, Event, Parts, Policy, Result, Rollout, Sample, Sampler, Score, StopToken, Task,
    TypedSampler,
};

fn stale(config: TrainerConfig) -> TrainerConfig {
    TrainerConfig { staleness: 1, importance_cap: ImportanceCap::At(2.0), ..config }
}

/// A sampler that says when it is asked, and by which policy.
struct Says<F> {
    inner: Box<dyn Sampler>,
    say: F,
}

impl<F: FnMut(u64, &dyn Policy) + Send> Sampler for Says<F> {
    fn draft(
        &mut self,
        policy: &dyn Policy,
        task: &Task,
        candidates: &[Candidate],
        previews: bool,
    ) -> Result<Vec<Draft>> {
        (self.say)(candidates[0].key.step, policy);
        self.inner.draft(policy, task, candidates, previews)
    }

    fn finish(&mut self, policy: &dyn Policy, task: &Task, drafts: Vec<Draft>) -> Result<Vec<Rollout>> {
        self.inner.finish(policy, task, drafts)
    }
}

fn saying(parts: Parts, say: impl FnMut(u64, &dyn Policy) + Send + 'static) -> Parts {
    changed(parts, |p| p.sampler = Box::new(Says { inner: ToySampler::default().boxed(), say }))
}

#[test]
fn groups_are_of_the_parameters_before_the_last_update() {
    let drawn = Arc::new(Mutex::new(Vec::new()));
    let seen = drawn.clone();
    let parts = saying(parts(), move |step, policy| {
        let policy: &dyn std::any::Any = policy;
        let bits = policy.downcast_ref::<ToyPolicy>().unwrap().parameters().into_iter().map(f32::to_bits).collect();
        seen.lock().unwrap().push((step, bits));
    });
    let mut run = trainer(parts, stale(config(4)));
    let mut after = vec![weights(&mut run)];
    for _ in 0..4 {
        let report = run.step().unwrap();
        let weight = report.metrics.get("importance_mean").unwrap();
        // The first step is the only one that is drawn with the parameters that it updates.
        assert_eq!((weight - 1.0).abs() < 1e-6, report.step == 0, "step {}: {weight}", report.step);
        after.push(weights(&mut run));
    }
    let expected = [0, 0, 1, 2].into_iter().zip(0..).map(|(version, step)| (step, after[version].clone()));
    assert_eq!(*drawn.lock().unwrap(), expected.collect::<Vec<(u64, Vec<u32>)>>());
}

#[test]
fn the_next_rollout_and_the_update_go_on_side_by_side() {
    // The update of step 0 is not done before the rollout of step 1 has begun, which is not done before the update has.
    let ((begun, draws), (updates, updated)) = (channel(), channel());
    let parts = saying(parts(), move |step, _| {
        if step == 1 {
            begun.send(()).unwrap();
            updated.recv_timeout(Duration::from_secs(60)).expect("no update went on beside the rollout");
        }
    });
    let mut run = trainer(parts, stale(config(2)));
    let mut met = false;
    run.on_event(move |event| {
        if matches!(event, Event::Replayed { .. }) && !std::mem::replace(&mut met, true) {
            draws.recv_timeout(Duration::from_secs(60)).expect("no rollout went on beside the update");
            updates.send(()).unwrap();
        }
    });
    assert_eq!(run.run(&StopToken::new()).unwrap(), Outcome::Completed);
}

#[test]
fn events_come_with_their_own_step() {
    let log = |config| {
        let mut run = trainer(parts(), config);
        let log = listen(&mut run);
        steps(&mut run, 3);
        log.lock().unwrap().clone()
    };
    assert_eq!(log(stale(config(3))), log(config(3)));
}

#[test]
fn a_resumed_run_equals_the_uninterrupted_one() {
    resumes_bit_for_bit("plain", || (parts(), stale(config(9))));
    resumes_bit_for_bit("stateful", || {
        let (parts, config) = stateful();
        (parts, stale(config))
    });
}

#[test]
fn what_was_given_up_is_drawn_again_from_the_same_parameters() {
    let folder = tempfile::tempdir().unwrap();
    let stop = StopToken::new();
    let asked = stop.clone();
    let given_up = saying(parts(), move |step, _| {
        if step == 3 {
            asked.cancel();
        }
    });
    let mut run = trainer(given_up, stale(config(6))).with_folder(folder.path());
    assert_eq!(run.run(&stop).unwrap(), Outcome::Cancelled);
    let done = run.progress().step;
    assert!(done == 2 || done == 3, "the update beside it is given up as well, or was done: {done}");
    drop(run);

    let mut whole = trainer(parts(), stale(config(6)));
    steps(&mut whole, 6);
    let mut rest = trainer(parts(), stale(config(6))).with_folder(folder.path());
    rest.resume(&folder.path().join(format!("checkpoints/step-{done:06}"))).unwrap();
    assert_eq!(rest.run(&StopToken::new()).unwrap(), Outcome::Completed);
    assert_eq!(weights(&mut rest), weights(&mut whole));
}

#[test]
fn a_failure_is_that_of_its_own_step_and_leaves_no_trace() {
    let mut whole = trainer(parts(), stale(config(4)));
    let expected = steps(&mut whole, 4);

    // A reward that fails while the groups of step 2 are drawn, ahead and in their turn, and then no more.
    let broken = Arc::new(AtomicBool::new(false));
    let fails = broken.clone();
    let part = changed(parts(), |p| {
        p.rewards = alone(Box::new(Batchwise("taste", move |samples: &[Sample]| {
            if fails.load(Ordering::SeqCst) {
                return Err(Error::data("the judge is away"));
            }
            Ok(samples.iter().map(|sample| Score::Value(taste(sample))).collect())
        })));
    });
    let mut run = trainer(part, stale(config(4)));
    let mut got = steps(&mut run, 1);
    broken.store(true, Ordering::SeqCst);
    // Step 1 is drawn already; what is missing is step 2's.
    got.extend(steps(&mut run, 1));
    let error = run.step().unwrap_err();
    assert!(error.to_string().contains("`taste` failed 3 times in a row"), "{error}");
    assert_eq!(run.progress().step, 2);
    broken.store(false, Ordering::SeqCst);
    got.extend(steps(&mut run, 2));
    assert_eq!((got, weights(&mut run)), (expected, weights(&mut whole)));
}

#[test]
fn an_update_that_fails_is_tried_again_with_the_groups_that_were_drawn() {
    let mut whole = trainer(parts(), stale(config(4)));
    let expected = steps(&mut whole, 4);
    let faults = Faults::default();
    let part = changed(parts(), |p| p.policy = Box::new(ToyPolicy::new(faults.clone())));
    let mut run = trainer(part, stale(config(4)));
    let mut got = steps(&mut run, 2);
    *faults.lock().unwrap() = Some(Fault::Narrow);
    assert_eq!(run.step().unwrap_err().kind(), ErrorKind::Contract);
    *faults.lock().unwrap() = None;
    got.extend(steps(&mut run, 2));
    assert_eq!((got, weights(&mut run)), (expected, weights(&mut whole)));
}

#[test]
fn after_a_step_that_is_skipped_nothing_is_stale() {
    let faults = Faults::default();
    let part = changed(parts(), |p| p.policy = Box::new(ToyPolicy::new(faults.clone())));
    let mut run = trainer(part, stale(config(6)));
    steps(&mut run, 2);
    *faults.lock().unwrap() = Some(Fault::NanGradient);
    assert_eq!(run.step().unwrap().metrics.get("skipped"), Some(1.0));
    *faults.lock().unwrap() = None;
    let fresh = run.step().unwrap().metrics.get("importance_mean").unwrap();
    assert!((fresh - 1.0).abs() < 1e-6, "{fresh}");
}
