//! A step is done or leaves no trace: in weights, optimizer, filter, ledger and what rewards remember.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::{Arc, Mutex};

use common::{Fault, Faults, ToyPolicy, changed, config, parts, stateful, taste, trainer, weights};
use counterpoint::config::TrainerConfig;
use counterpoint::metrics::Metrics;
use counterpoint::trainer::{Outcome, Progress};
use counterpoint::{
    Error, ErrorKind, Event, Group, Result, Reward, RewardEnsemble, Sample, Score, StopToken, Trainer, serde_json,
    unwatched,
};

/// A run with a filter, three updates for each batch and a reward that counts its calls; its policy can be made to fail.
fn run() -> (Trainer, Faults) {
    let faults = Faults::default();
    let (parts, config) = stateful();
    let parts = changed(parts, |p| {
        p.policy = Box::new(ToyPolicy::new(faults.clone()));
        p.rewards = RewardEnsemble::single(Counted(0));
        p.surrogate = Some("taste".into());
    });
    (trainer(parts, TrainerConfig { updates_per_batch: 3, steps: 1000, ..config }), faults)
}

/// The taste, a little better with every call.
struct Counted(u64);

impl Reward for Counted {
    fn name(&self) -> &str {
        "taste"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        self.0 += 1;
        Ok(samples.iter().map(|s| Score::Value(taste(s) + 1e-3 * self.0 as f64)).collect())
    }

    fn preview(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        Ok(samples.iter().map(|s| Score::Value(taste(s))).collect())
    }

    fn state(&self) -> serde_json::Value {
        self.0.into()
    }

    fn restore(&mut self, state: &serde_json::Value) -> Result<()> {
        self.0 = state.as_u64().ok_or_else(|| Error::checkpoint("expected a number"))?;
        Ok(())
    }
}

/// Switches `fault` on when the first update of a batch is done.
fn fail_later(trainer: &mut Trainer, faults: &Faults, fault: Fault) {
    let faults = faults.clone();
    trainer.on_event(move |event| {
        if matches!(event, Event::Replayed { round: 0, done, total } if done == total) {
            *faults.lock().unwrap() = Some(fault);
        }
    });
}

type Seen = (Metrics, Vec<u32>, Progress, serde_json::Value);

fn step(trainer: &mut Trainer) -> Seen {
    let metrics = trainer.step().unwrap().metrics.without_timings();
    (metrics, weights(trainer), *trainer.progress(), trainer.rollouts().filter().state())
}

#[test]
fn a_failure_in_a_later_update_of_a_batch_takes_the_earlier_ones_back() {
    let expected = {
        let (mut trainer, _) = run();
        [step(&mut trainer), step(&mut trainer)]
    };
    let (mut trainer, faults) = run();
    let before = (weights(&mut trainer), *trainer.progress(), trainer.rollouts().filter().state());
    fail_later(&mut trainer, &faults, Fault::Narrow);
    for _ in 0..2 {
        let error = trainer.step().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Contract);
        *faults.lock().unwrap() = None;
        let mut progress = *trainer.progress();
        progress.gated = false;
        assert_eq!((weights(&mut trainer), progress, trainer.rollouts().filter().state()), before);
    }
    // Tried again by a run that has seen it fail twice: optimizer and rewards remember nothing of it either.
    let (mut again, _) = run();
    let folder = tempfile::tempdir().unwrap();
    trainer = trainer.with_folder(folder.path());
    trainer.save().unwrap();
    again.resume(&folder.path().join("checkpoints/step-000000")).unwrap();
    assert_eq!([step(&mut again), step(&mut again)], expected);
}

#[test]
fn a_number_that_is_not_finite_in_a_later_update_skips_the_whole_step() {
    for fault in [Fault::NanScore, Fault::NanGradient] {
        let (mut trainer, faults) = run();
        let before = (weights(&mut trainer), trainer.rollouts().filter().state());
        fail_later(&mut trainer, &faults, fault);
        let report = trainer.step().unwrap();
        assert_eq!((report.updated, report.metrics.get("skipped")), (false, Some(1.0)));
        assert_eq!(report.metrics.notes().len(), 1, "and says why");
        assert_eq!((weights(&mut trainer), trainer.rollouts().filter().state()), before, "{fault:?}");
        assert_eq!(trainer.progress().ledger, Progress::default().ledger);
    }
}

#[test]
fn the_third_strike_leaves_no_trace_but_its_count() {
    let (mut trainer, faults) = run();
    step(&mut trainer);
    let before = (weights(&mut trainer), trainer.rollouts().filter().state(), trainer.progress().ledger);
    *faults.lock().unwrap() = Some(Fault::NanScore);
    trainer.step().unwrap();
    trainer.step().unwrap();
    assert_eq!(trainer.step().unwrap_err().kind(), ErrorKind::NonFinite);
    assert_eq!((weights(&mut trainer), trainer.rollouts().filter().state(), trainer.progress().ledger), before);
    assert_eq!((trainer.progress().step, trainer.progress().skipped), (3, 3));
}

#[test]
fn five_hundred_steps_of_which_every_third_is_not_finite_end_where_the_others_alone_do() {
    let steps = 500;
    let is_bad = |step: u64| step % 3 == 2;
    let settings = || TrainerConfig { updates_per_batch: 2, tasks_per_step: 1, ..config(steps) };
    let faults = Faults::default();
    let mut trainer = trainer(changed(parts(), |p| p.policy = Box::new(ToyPolicy::new(faults.clone()))), settings());
    for step in 0..steps {
        *faults.lock().unwrap() = is_bad(step).then_some(Fault::NanScore);
        assert_eq!(trainer.step().unwrap().updated, !is_bad(step));
    }
    assert_eq!(trainer.progress().skipped, 166);

    let (mut rollouts, mut updater) = parts().split(&settings(), 7).unwrap();
    for step in (0..steps).filter(|&step| !is_bad(step)) {
        let drawn = rollouts.draw(updater.policy(), step, step..step + 1, &mut unwatched).unwrap();
        let groups: Vec<Group> = drawn.into_iter().filter_map(|d| updater.group(d).unwrap()).collect();
        updater.update(step, &groups, &mut unwatched).unwrap();
    }
    let policy: &dyn std::any::Any = updater.policy();
    let alone: Vec<u32> =
        policy.downcast_ref::<ToyPolicy>().unwrap().parameters().into_iter().map(f32::to_bits).collect();
    assert_eq!(weights(&mut trainer), alone);
}

#[test]
fn a_step_that_is_cancelled_between_waves_tasks_or_chunks_leaves_no_trace() {
    let expected = {
        let (mut trainer, _) = run();
        [step(&mut trainer), step(&mut trainer)]
    };
    let moments: [fn(&Event<'_>) -> bool; 3] = [
        |event| matches!(event, Event::Drafted { attempt: 1, .. }),
        |event| matches!(event, Event::Group { .. }),
        |event| matches!(event, Event::Replayed { round: 1, done: 1, .. }),
    ];
    for moment in moments {
        let folder = tempfile::tempdir().unwrap();
        let (trainer, _) = run();
        let mut trainer = trainer.with_folder(folder.path());
        let stop = StopToken::new();
        let (button, seen) = (stop.clone(), Arc::new(Mutex::new(false)));
        let noted = seen.clone();
        trainer.on_event(move |event| {
            if moment(event) {
                *noted.lock().unwrap() = true;
                button.cancel();
            }
        });
        assert_eq!(trainer.run(&stop).unwrap(), Outcome::Cancelled);
        assert!(*seen.lock().unwrap());
        assert_eq!(trainer.progress().step, 0);
        drop(trainer);
        let (mut again, _) = run();
        again.resume(&folder.path().join("checkpoints/step-000000")).unwrap();
        assert_eq!([step(&mut again), step(&mut again)], expected);
    }
}

#[test]
fn what_rewards_remember_is_kept_in_checkpoints() {
    let (mut whole, _) = run();
    let expected = [step(&mut whole), step(&mut whole), step(&mut whole)];
    let folder = tempfile::tempdir().unwrap();
    let (first, _) = run();
    let mut first = first.with_folder(folder.path());
    step(&mut first);
    first.save().unwrap();
    drop(first);
    let (mut second, _) = run();
    second.resume(&folder.path().join("checkpoints/step-000001")).unwrap();
    assert_eq!([step(&mut second), step(&mut second)], expected[1..]);
}

#[test]
fn a_reward_that_asks_for_the_end_loses_no_step() {
    let folder = tempfile::tempdir().unwrap();
    let mut calls = 0;
    let reward = common::Batchwise("taste", move |samples: &[Sample]| {
        calls += 1;
        match calls {
            1..=4 => Ok(samples.iter().map(|s| Score::Value(taste(s))).collect()),
            _ => Err(Error::new(ErrorKind::Stopped, "the budget is spent")),
        }
    });
    let mut trainer =
        trainer(changed(parts(), |p| p.rewards = RewardEnsemble::single(reward)), config(9)).with_folder(folder.path());
    let error = trainer.run(&StopToken::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Stopped);
    assert!(error.to_string().contains("taste"), "{error}");
    assert!(folder.path().join("checkpoints/step-000004/manifest.json").is_file());
}
