//! What goes wrong is refused, skipped or stopped, and named: replays that disagree, non-finite numbers, failing experts,
//! parts that break their contract.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::{
    Batchwise, Fault, Faults, POSITIONS, ToyPolicy, ToySampler, alone, changed, config, each, listen, parts, taste,
    tasteful, trainer, weights,
};
use counterpoint::checkpoint::latest;
use counterpoint::config::TrainerConfig;
use counterpoint::{
    Candidate, Draft, DynamicGroupScalingConfig, Error, ErrorKind, GroupFilter, GroupOutcome, GroupShape, Loss,
    Objective, Policy, Result, RewardEnsemble, Rollout, Sample, Sampler, Score, SegmentKind, StopToken, SyncGrpoConfig,
    Task, Terms, Trainer, Trajectory, TypedSampler,
};

/// A run of `parts()` whose policy can be made to fail.
fn faulty() -> (Trainer, Faults) {
    let faults = Faults::default();
    let parts = changed(parts(), |p| p.policy = Box::new(ToyPolicy::new(faults.clone())));
    (trainer(parts, config(20)), faults)
}

#[test]
fn a_replay_that_disagrees_with_the_sampling_is_refused_by_place() {
    for (kind, step, position) in [(SegmentKind::Generation, 2, 1), (SegmentKind::Understanding, 1, 0)] {
        let (mut trainer, faults) = faulty();
        *faults.lock().unwrap() = Some(Fault::Skew { kind, step, position });
        let before = weights(&mut trainer);
        let error = trainer.step().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Contract);
        let place = format!("{kind:?} segment, step {step}, position {position}");
        assert!(error.to_string().contains(&place), "{error}");
        assert_eq!(weights(&mut trainer), before);
        assert_eq!(trainer.progress().step, 0, "the step does not count");
        // What was wrong is put right: the same step goes through.
        *faults.lock().unwrap() = None;
        assert!(trainer.step().unwrap().updated);
    }
}

#[test]
fn a_failed_step_that_is_tried_again_leaves_no_trace() {
    let run = |fail: bool| {
        let faults = Faults::default();
        let filter = DynamicGroupScalingConfig { threshold: 0.3, mu: 0.5, ..Default::default() }.init().unwrap();
        let parts = changed(parts(), |p| {
            p.policy = Box::new(ToyPolicy::new(faults.clone()));
            p.filter = Box::new(filter);
            p.surrogate = Some("taste".into());
        });
        let mut trainer = trainer(parts, config(4));
        trainer.step().unwrap();
        if fail {
            *faults.lock().unwrap() = Some(Fault::Narrow);
            trainer.step().unwrap_err();
            *faults.lock().unwrap() = None;
        }
        let metrics = trainer.step().unwrap().metrics.without_timings();
        (
            metrics.iter().map(|(name, value)| (name.to_owned(), value.to_bits())).collect::<Vec<_>>(),
            weights(&mut trainer),
        )
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn log_probs_of_a_wrong_shape_are_refused() {
    let (mut trainer, faults) = faulty();
    *faults.lock().unwrap() = Some(Fault::Narrow);
    let error = trainer.step().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contract);
    assert!(error.to_string().contains("returned shape"), "{error}");
}

#[test]
fn steps_with_non_finite_losses_or_gradients_are_skipped_and_named() {
    for (fault, named) in
        [(Fault::NanGradient, "the gradient of token has norm NaN"), (Fault::NanScore, "the loss of a chunk of 3")]
    {
        let (mut trainer, faults) = faulty();
        let log = listen(&mut trainer);
        trainer.step().unwrap();
        let before = weights(&mut trainer);
        *faults.lock().unwrap() = Some(fault);
        for skipped in 1..=2 {
            let report = trainer.step().unwrap();
            assert!(!report.updated);
            assert_eq!(report.metrics.get("skipped"), Some(1.0));
            assert_eq!((trainer.progress().skipped, trainer.progress().skipped_in_a_row), (skipped, skipped));
        }
        assert_eq!(weights(&mut trainer), before, "a skipped step changes no parameter");
        *faults.lock().unwrap() = None;
        assert!(trainer.step().unwrap().updated, "no gradient of a skipped step is left over");
        assert!(weights(&mut trainer).iter().all(|w| f32::from_bits(*w).is_finite()));
        assert_eq!((trainer.progress().skipped, trainer.progress().skipped_in_a_row), (2, 0));
        let log = log.lock().unwrap();
        let reasons: Vec<&String> = log.iter().filter(|line| line.starts_with("skipped")).collect();
        assert!(reasons.len() == 2 && reasons.iter().all(|r| r.contains(named)), "{reasons:?}");
    }
}

#[test]
fn three_steps_in_a_row_with_a_reward_that_is_not_a_number_stop_the_run_with_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let calls = Arc::new(AtomicU64::new(0));
    let counted = calls.clone();
    // Bad in steps 1, 3, 4 and 5.
    let reward = Batchwise("moody", move |samples: &[Sample]| {
        let bad = [1, 3, 4, 5].contains(&counted.fetch_add(1, Ordering::SeqCst));
        let score = |s: &Sample| if bad && s.candidate == 2 { f64::NAN } else { taste(s) };
        Ok(samples.iter().map(|s| Score::Value(score(s))).collect())
    });
    let mut trainer =
        trainer(changed(parts(), |p| p.rewards = alone(Box::new(reward))), config(20)).with_folder(folder.path());
    let log = listen(&mut trainer);
    let error = trainer.run(&StopToken::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NonFinite);
    assert!(error.to_string().contains("reward `moody`: expected a finite score for candidate 2, got NaN"), "{error}");
    assert_eq!((trainer.progress().skipped, trainer.progress().skipped_in_a_row), (4, 3));
    assert_eq!(trainer.progress().step, 5, "the step that stopped the run does not count");
    let ends: Vec<String> =
        log.lock().unwrap().iter().filter(|l| !l.starts_with("drafted") && !l.starts_with("group")).cloned().collect();
    let skipped = |step| format!("skipped {step}: reward `moody`: expected a finite score for candidate 2, got NaN");
    let expected = [
        "step 0".into(),
        skipped(1),
        "step 1".into(),
        "step 2".into(),
        skipped(3),
        "step 3".into(),
        skipped(4),
        "step 4".into(),
        skipped(5),
        "checkpoint 5".into(),
    ];
    assert_eq!(ends, expected);
    // The checkpoint is a good one: a run with a better reward goes on from it.
    drop(trainer);
    let mut next = common::trainer(parts(), config(20)).with_folder(folder.path());
    next.resume(&folder.path().join("checkpoints/step-000005")).unwrap();
    let report = next.step().unwrap();
    assert_eq!((report.step, report.updated), (5, true));
}

#[test]
fn a_failing_expert_stops_the_run_with_its_name() {
    let reward = Batchwise("fragile", |_: &[Sample]| Err(Error::data("no such model")));
    let weights = [("fragile".to_owned(), 0.5), ("taste".to_owned(), 0.5)].into();
    let rewards =
        RewardEnsemble::new(vec![tasteful(), Box::new(reward)], [("default".into(), weights)].into()).unwrap();
    let mut trainer = trainer(changed(parts(), |p| p.rewards = rewards), config(3));
    let error = trainer.run(&StopToken::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Reward);
    let text = format!("{error:#}");
    assert!(text.contains("`fragile`") && text.contains("no such model"), "{text}");
    assert_eq!(trainer.progress().step, 0);
}

/// A filter that selects what it should not.
struct Selects(Vec<usize>);

impl GroupFilter for Selects {
    fn admit(&mut self, scores: &[f64]) -> Vec<bool> {
        vec![true; scores.len()]
    }

    fn adapt(&mut self, _group: &GroupOutcome) {}

    fn select(&self, _rewards: &[f64], _group_size: usize) -> Vec<usize> {
        self.0.clone()
    }
}

#[test]
fn a_selection_that_is_not_increasing_or_out_of_range_is_refused() {
    for selection in [vec![0, 4], vec![1, 1], vec![2, 0]] {
        let mut trainer = trainer(changed(parts(), |p| p.filter = Box::new(Selects(selection.clone()))), config(1));
        let error = trainer.step().expect_err(&format!("{selection:?} should be refused"));
        assert_eq!(error.kind(), ErrorKind::Contract);
        assert!(error.to_string().contains("the filter selected"), "{error}");
    }
}

/// A sampler that breaks a finished trajectory.
struct Breaks(Box<dyn Sampler>, fn(&mut Trajectory));

impl Sampler for Breaks {
    fn draft(
        &mut self,
        policy: &dyn Policy,
        task: &Task,
        candidates: &[Candidate],
        previews: bool,
    ) -> Result<Vec<Draft>> {
        self.0.draft(policy, task, candidates, previews)
    }

    fn finish(&mut self, policy: &dyn Policy, task: &Task, drafts: Vec<Draft>) -> Result<Vec<Rollout>> {
        let mut rollouts = self.0.finish(policy, task, drafts)?;
        self.1(&mut rollouts[1].trajectory);
        Ok(rollouts)
    }
}

#[test]
fn a_trajectory_whose_parts_do_not_fit_together_is_refused() {
    type Break = fn(&mut Trajectory);
    let breaks: [Break; 4] = [
        |t| t.segments[1].log_probs.truncate(3),
        |t| t.segments[1].undecided.clear(),
        |t| t.segments[1].per_step = POSITIONS + 1,
        |t| t.candidate = 3,
    ];
    for broken in breaks {
        let sampler = Breaks(ToySampler::default().boxed(), broken);
        let mut trainer = trainer(changed(parts(), |p| p.sampler = Box::new(sampler)), config(1));
        let error = trainer.step().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Contract);
        assert!(error.to_string().contains("candidate 1"), "{error}");
    }
}

/// An objective that forgets an advantage.
struct Forgetful;

impl Objective for Forgetful {
    fn advantages(&self, rewards: &[f64]) -> Vec<f64> {
        vec![1.0; rewards.len() - 1]
    }

    fn weight(&self, _group: &GroupShape, _candidate: usize, _segment: usize) -> f64 {
        1.0
    }

    fn loss(&self, _terms: Terms) -> Result<Loss> {
        unreachable!("the trainer should have refused before")
    }
}

#[test]
fn an_objective_that_forgets_an_advantage_is_refused() {
    let mut trainer = trainer(changed(parts(), |p| p.objective = Box::new(Forgetful)), config(1));
    let error = trainer.step().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contract);
    assert!(error.to_string().contains("the objective returned 3 advantages, expected 4"), "{error}");
}

/// What a run of five steps does when its fourth fails: the checkpoint that is left is the third's, and the run that goes on from it equals the
/// one in which nothing happened.
#[test]
fn what_was_done_before_a_failure_or_a_panic_is_kept() {
    let run = |folder: Option<&Path>, wrong: Option<Wrong>| {
        let calls = AtomicU64::new(0);
        let (objective, filter) = (
            SyncGrpoConfig { denoising_steps: Some(2), ..SyncGrpoConfig::default() },
            DynamicGroupScalingConfig { threshold: 0.3, mu: 0.5, ..Default::default() },
        );
        let reward = each("taste", move |sample| Score::Value(taste(sample)));
        let failing =
            Batchwise("failing", move |samples: &[Sample]| match (calls.fetch_add(1, Ordering::SeqCst), wrong) {
                (3, Some(Wrong::Panics)) => panic!("the device is gone"),
                (3, Some(Wrong::Fails)) => Err(Error::contract("the expert is gone")),
                _ => Ok(samples.iter().map(|_| Score::Value(0.0)).collect()),
            });
        let weights = [("taste".to_owned(), 1.0), ("failing".to_owned(), 1.0)].into();
        let weights = [("default".to_owned(), weights)].into();
        let rewards = RewardEnsemble::new(vec![reward, Box::new(failing)], weights).unwrap().with_retries(0);
        let parts = changed(parts(), |p| {
            p.rewards = rewards;
            p.filter = Box::new(filter.init().unwrap());
            p.objective = Box::new(objective.init().unwrap());
            p.surrogate = Some("taste".into());
        });
        let mut trainer = trainer(parts, TrainerConfig { updates_per_batch: 2, ..config(5) });
        if let Some(folder) = folder {
            trainer = trainer.with_folder(folder);
        }
        trainer
    };
    let mut whole = run(None, None);
    whole.run(&StopToken::new()).unwrap();
    for wrong in [Wrong::Panics, Wrong::Fails] {
        let folder = tempfile::tempdir().unwrap();
        let mut broken = run(Some(folder.path()), Some(wrong));
        let ended = catch_unwind(AssertUnwindSafe(|| broken.run(&StopToken::new())));
        match (wrong, ended) {
            (Wrong::Panics, Err(panic)) => assert_eq!(panic.downcast_ref(), Some(&"the device is gone")),
            (Wrong::Fails, Ok(Err(error))) => assert!(format!("{error:#}").contains("the expert is gone"), "{error:#}"),
            (wrong, ended) => panic!("{wrong:?} ended in {ended:?}"),
        }
        drop(broken);
        let kept = latest(&folder.path().join("checkpoints")).unwrap().unwrap();
        assert!(kept.ends_with("step-000003"), "{}", kept.display());
        let mut again = run(Some(folder.path()), None);
        again.resume(&kept).unwrap();
        again.run(&StopToken::new()).unwrap();
        assert_eq!(weights(&mut again), weights(&mut whole), "{wrong:?}");
    }
}

#[derive(Debug, Clone, Copy)]
enum Wrong {
    Panics,
    Fails,
}

#[test]
fn a_run_that_is_refused_before_its_first_step_leaves_no_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let (trainer, faults) = faulty();
    *faults.lock().unwrap() = Some(Fault::Narrow);
    trainer.with_folder(folder.path()).run(&StopToken::new()).unwrap_err();
    assert_eq!(latest(&folder.path().join("checkpoints")).unwrap(), None);
}
