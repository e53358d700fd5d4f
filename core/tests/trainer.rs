//! The loop: it learns, tells what it does in order, refuses to train on wrong numbers, and survives or names failures.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use burn::tensor::Tensor;
use common::{
    Batchwise, Fault, Faults, POSITIONS, STEPS, ToyPolicy, alone, config, each, listen, parts, taste, tasteful,
    trainer, weights,
};
use counterpoint::config::TrainerConfig;
use counterpoint::trainer::{Group, Ledger, Outcome, Parts, accumulate};
use counterpoint::{
    DropZeroVariance, Error, ErrorKind, Event, GroupFilter, GroupOutcome, ImagePositions, Learner, Objective, Policy,
    Replay, Reward, RewardEnsemble, Sampler, Score, SegmentKind, StopToken, SyncGrpoConfig, TaskSource, Trainer,
    Weights,
};

#[test]
fn the_traits_are_object_safe_and_a_trainer_moves_to_another_thread() {
    fn boxed<T: ?Sized>() -> usize {
        size_of::<Box<T>>()
    }
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    let traits = [
        boxed::<dyn Policy>(),
        boxed::<dyn Sampler>(),
        boxed::<dyn Reward>(),
        boxed::<dyn GroupFilter>(),
        boxed::<dyn Objective>(),
        boxed::<dyn TaskSource>(),
        boxed::<dyn Learner>(),
    ];
    assert_eq!(traits, [2 * size_of::<usize>(); 7]);
    send::<Trainer>();
    send::<Parts>();
    send::<Error>();
    sync::<Error>();
    sync::<StopToken>();
    let mut trainer = trainer(parts(), config(1));
    let outcome = std::thread::spawn(move || trainer.run(&StopToken::new())).join().unwrap().unwrap();
    assert_eq!(outcome, Outcome::Completed);
}

#[test]
fn training_raises_the_reward_of_both_halves() {
    for objective in [SyncGrpoConfig::default(), SyncGrpoConfig::grpo(), SyncGrpoConfig::dapo()] {
        let name = format!("{objective:?}");
        let mut trainer = trainer(
            Parts { objective: Box::new(objective.init().unwrap()), ..parts() },
            TrainerConfig { group_size: 8, ..config(60) },
        );
        let rewards: Vec<f64> = (0..60).map(|_| trainer.step().unwrap().metrics.get("reward").unwrap()).collect();
        let mean = |r: &[f64]| r.iter().sum::<f64>() / r.len() as f64;
        let (first, last) = (mean(&rewards[..10]), mean(&rewards[50..]));
        assert!(last > first + 0.3, "{first} to {last} with {name}");
    }
}

#[test]
fn events_come_in_the_order_of_the_loop() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = trainer(parts(), TrainerConfig { checkpoint_every: 2, tasks_per_step: 2, ..config(3) })
        .with_checkpoints(folder.path(), "");
    let log = listen(&mut trainer);
    trainer.run(&StopToken::new()).unwrap();
    let group = ["drafted 1 4/4", "group [0, 1, 2, 3] kept [0, 1, 2, 3]"];
    let step = |end: &[&'static str]| [&group[..], &group[..], end].concat();
    let expected = [step(&["step 0"]), step(&["step 1", "checkpoint 2"]), step(&["step 2", "checkpoint 3"])].concat();
    assert_eq!(*log.lock().unwrap(), expected);
}

#[test]
fn the_learning_rate_warms_up_and_follows_a_cosine() {
    // The cosine is that of the usual `get_cosine_schedule_with_warmup`: 0.5 (1 + cos(pi (i - w) / (N - w))). The warm-up
    // of that one begins at 0, so that its first step changes nothing; ours runs at (i + 1) / (w + 1) of the peak.
    for (steps, warmup) in [(12, 4), (5, 0), (3, 3)] {
        let mut trainer =
            trainer(parts(), TrainerConfig { learning_rate: 0.01, warmup_steps: warmup, ..config(steps) });
        for i in 0..steps {
            let rate = trainer.step().unwrap().metrics.get("lr").unwrap();
            let expected = if i < warmup {
                0.01 * (i + 1) as f64 / (warmup + 1) as f64
            } else {
                let done = (i - warmup) as f64 / (steps - warmup) as f64;
                0.01 * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            };
            assert!((rate - expected).abs() < 1e-15, "step {i} of {steps}: expected {expected}, got {rate}");
        }
    }
}

/// Trains `steps` steps with `fault` from step `from` on; the parts are those of `parts()`.
fn faulty() -> (Trainer, Faults) {
    let faults = Faults::default();
    let parts = Parts { policy: Box::new(ToyPolicy::new(faults.clone())), ..parts() };
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
    let reward = Batchwise("moody", move |samples: &[counterpoint::Sample]| {
        let bad = [1, 3, 4, 5].contains(&counted.fetch_add(1, Ordering::SeqCst));
        let score = |s: &counterpoint::Sample| if bad && s.candidate == 2 { f64::NAN } else { taste(s) };
        Ok(samples.iter().map(|s| Score::Value(score(s))).collect())
    });
    let mut trainer =
        trainer(Parts { rewards: alone(Box::new(reward)), ..parts() }, config(20)).with_checkpoints(folder.path(), "");
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
    let mut next = common::trainer(parts(), config(20)).with_checkpoints(folder.path(), "");
    next.resume(&folder.path().join("step-000005")).unwrap();
    let report = next.step().unwrap();
    assert_eq!((report.step, report.updated), (5, true));
}

#[test]
fn a_failing_expert_stops_the_run_with_its_name() {
    let reward = Batchwise("fragile", |_: &[counterpoint::Sample]| Err(Error::data("no such model")));
    let weights = [("fragile".to_owned(), 0.5), ("taste".to_owned(), 0.5)].into();
    let rewards =
        RewardEnsemble::new(vec![tasteful(), Box::new(reward)], [("default".into(), weights)].into()).unwrap();
    let mut trainer = trainer(Parts { rewards, ..parts() }, config(3));
    let error = trainer.run(&StopToken::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Reward);
    assert!(error.to_string().contains("`fragile`") && error.to_string().contains("no such model"), "{error}");
    assert_eq!(trainer.progress().step, 0);
}

#[test]
fn a_sample_that_cannot_be_scored_is_dropped_and_counted() {
    let reward = each("taste", |s| match s.candidate {
        1 => Score::Fail("unreadable".into()),
        _ => Score::Value(taste(s)),
    });
    let mut trainer = trainer(Parts { rewards: alone(reward), ..parts() }, config(3));
    let log = listen(&mut trainer);
    let report = trainer.step().unwrap();
    assert!(report.updated);
    assert_eq!(report.metrics.get("rewards/taste/failed"), Some(1.0));
    assert_eq!(log.lock().unwrap()[1], "group [0, 1, 2, 3] kept [0, 2, 3]");
}

#[test]
fn a_group_without_two_scores_is_drawn_again_and_dropped_at_the_cap() {
    let reward = each("taste", |s| match s.candidate % 4 {
        0 => Score::Value(taste(s)),
        _ => Score::Fail("unreadable".into()),
    });
    let parts = Parts { rewards: alone(reward), ..parts() };
    let mut trainer = trainer(parts, TrainerConfig { max_attempts: 2, ..config(3) });
    let log = listen(&mut trainer);
    let before = weights(&mut trainer);
    let report = trainer.step().unwrap();
    assert!(!report.updated);
    assert_eq!(report.metrics.get("groups_dropped"), Some(1.0));
    assert_eq!(report.metrics.get("rewards/taste/failed"), Some(6.0));
    assert_eq!(weights(&mut trainer), before);
    let expected = [
        "drafted 1 4/4",
        "group [0, 1, 2, 3] kept [0]",
        "drafted 2 4/4",
        "group [4, 5, 6, 7] kept [4]",
        "dropped no group worth learning from after 2 attempts",
        "step 0",
    ];
    let expected = expected.map(|line| line.replace("kept [4]", "kept [0]"));
    assert_eq!(*log.lock().unwrap(), expected);
    assert_eq!(trainer.progress().ledger.kept, 8 * STEPS as u64);
}

/// Admits what `decide` says of a wave, and keeps the preview scores it saw.
struct Scripted {
    seen: Arc<Mutex<Vec<f64>>>,
    decide: fn(usize) -> bool,
}

impl GroupFilter for Scripted {
    fn admit(&mut self, scores: &[f64]) -> Vec<bool> {
        let mut seen = self.seen.lock().unwrap();
        let first = seen.len();
        seen.extend(scores);
        (first..seen.len()).map(self.decide).collect()
    }

    fn adapt(&mut self, group: &GroupOutcome) {
        assert_eq!(group.scores, *self.seen.lock().unwrap());
    }

    fn needs_preview(&self) -> bool {
        true
    }
}

fn scripted(decide: fn(usize) -> bool) -> (Parts, Arc<Mutex<Vec<f64>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let filter = Scripted { seen: seen.clone(), decide };
    (Parts { filter: Box::new(filter), surrogate: Some("taste".into()), ..parts() }, seen)
}

#[test]
fn at_the_cap_of_attempts_the_best_drafts_fill_the_group() {
    let (parts, seen) = scripted(|draft| draft == 6);
    let mut trainer = trainer(parts, TrainerConfig { max_attempts: 3, ..config(1) });
    let log = listen(&mut trainer);
    let report = trainer.step().unwrap();
    let seen = seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 12);
    // The admitted one and the three best of the others, ties to the lower number, in candidate order.
    let mut others: Vec<usize> = (0..12).filter(|&i| i != 6).collect();
    others.sort_by(|&a, &b| seen[b].total_cmp(&seen[a]));
    let mut expected = vec![6, others[0], others[1], others[2]];
    expected.sort_unstable();
    let lines = [
        "drafted 1 0/4".into(),
        "drafted 2 1/4".into(),
        "drafted 3 0/4".into(),
        "exhausted 3 3".into(),
        format!("group {expected:?} kept [0, 1, 2, 3]"),
        "step 0".into(),
    ];
    assert_eq!(*log.lock().unwrap(), lines);
    assert_eq!(trainer.progress().ledger, Ledger { kept: 4 * STEPS as u64, dropped: 8, saved: 8 * (STEPS as u64 - 1) });
    assert!((report.metrics.get("dgs/pass_rate").unwrap() - 1.0 / 12.0).abs() < 1e-12);
    assert_eq!(report.metrics.get("dgs/attempts"), Some(3.0));
}

#[test]
fn waves_are_drawn_until_the_group_is_full_and_surplus_drafts_are_dropped() {
    let (parts, _) = scripted(|draft| draft % 4 != 0);
    let mut trainer = trainer(parts, config(1));
    let log = listen(&mut trainer);
    trainer.step().unwrap();
    let expected = ["drafted 1 3/4", "drafted 2 3/4", "group [1, 2, 3, 5] kept [0, 1, 2, 3]", "step 0"];
    assert_eq!(*log.lock().unwrap(), expected);
    assert_eq!(trainer.progress().ledger, Ledger { kept: 4 * STEPS as u64, dropped: 4, saved: 4 * (STEPS as u64 - 1) });
}

#[test]
fn a_filter_that_needs_previews_needs_a_surrogate() {
    let (parts, _) = scripted(|_| true);
    let mut trainer = trainer(Parts { surrogate: None, ..parts }, config(1));
    let error = trainer.step().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("filter.surrogate"), "{error}");
}

#[test]
fn a_group_of_equal_rewards_is_drawn_again_under_dynamic_sampling() {
    let reward = each("taste", |s| Score::Value(if s.candidate < 4 { 0.5 } else { taste(s) }));
    let parts = Parts { rewards: alone(reward), filter: Box::new(DropZeroVariance), ..parts() };
    let mut trainer = trainer(parts, config(1));
    let log = listen(&mut trainer);
    assert!(trainer.step().unwrap().updated);
    let expected = [
        "drafted 1 4/4",
        "group [0, 1, 2, 3] kept []",
        "drafted 2 4/4",
        "group [4, 5, 6, 7] kept [0, 1, 2, 3]",
        "step 0",
    ];
    assert_eq!(*log.lock().unwrap(), expected);
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
        let mut trainer = trainer(Parts { filter: Box::new(Selects(selection.clone())), ..parts() }, config(1));
        let error = trainer.step().expect_err(&format!("{selection:?} should be refused"));
        assert_eq!(error.kind(), ErrorKind::Contract);
        assert!(error.to_string().contains("the filter selected"), "{error}");
    }
}

/// A sampler that breaks a finished trajectory.
struct Breaks(common::ToySampler, fn(&mut counterpoint::Trajectory));

impl Sampler for Breaks {
    fn draft(
        &mut self,
        policy: &dyn Policy,
        task: &counterpoint::Task,
        candidates: &[counterpoint::Candidate],
        previews: bool,
    ) -> counterpoint::Result<Vec<counterpoint::Draft>> {
        self.0.draft(policy, task, candidates, previews)
    }

    fn finish(
        &mut self,
        policy: &dyn Policy,
        task: &counterpoint::Task,
        drafts: Vec<counterpoint::Draft>,
    ) -> counterpoint::Result<Vec<counterpoint::Rollout>> {
        let mut rollouts = self.0.finish(policy, task, drafts)?;
        self.1(&mut rollouts[1].trajectory);
        Ok(rollouts)
    }
}

#[test]
fn a_trajectory_whose_parts_do_not_fit_together_is_refused() {
    type Break = fn(&mut counterpoint::Trajectory);
    let breaks: [Break; 4] = [
        |t| t.segments[1].log_probs.truncate(3),
        |t| t.segments[1].undecided.clear(),
        |t| t.segments[1].per_step = POSITIONS + 1,
        |t| t.candidate = 3,
    ];
    for broken in breaks {
        let sampler = Breaks(common::ToySampler::default(), broken);
        let mut trainer = trainer(Parts { sampler: Box::new(sampler), ..parts() }, config(1));
        let error = trainer.step().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Contract);
        assert!(error.to_string().contains("candidate 1"), "{error}");
    }
}

#[test]
fn chunked_gradients_are_those_of_the_whole_graph() {
    let mut trainer = trainer(parts(), config(1));
    let groups = Arc::new(Mutex::new(Vec::new()));
    let kept = groups.clone();
    trainer.on_event(move |event| {
        if let Event::Group { rollouts, .. } = event {
            kept.lock().unwrap().extend(rollouts.iter().map(|r| r.trajectory.clone()));
        }
    });
    trainer.step().unwrap();
    let trajectories = groups.lock().unwrap().clone();
    let advantages = vec![0.7, -0.4, -0.5, 0.2];

    // On the policy that sampled, D = 1 and KL = 0, so that the gradient is that of -1/G sum_i A_i sum_j a_j log p_ij.
    let mut whole = ToyPolicy::new(Faults::default());
    let mut loss: Option<Tensor<1>> = None;
    for (trajectory, advantage) in trajectories.iter().zip(&advantages) {
        for (segment, a) in [(0, 0.4), (1, 0.6)] {
            let of_step = |steps| Replay { trajectory, segment, steps };
            let all = trajectory.segments[segment].steps();
            let replays =
                if segment == 0 { vec![of_step(0..all)] } else { (0..all).map(|t| of_step(t..t + 1)).collect() };
            let log_probs = whole.log_probs(&replays, Weights::Current).unwrap().log_probs;
            let term = log_probs.sum() * (-a * advantage / 4.0);
            loss = Some(loss.map_or(term.clone(), |l| l + term));
        }
    }
    whole.learner().accumulate(loss.unwrap()).unwrap();
    let expected = whole.gradients();
    let scale = expected.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
    assert!(scale > 1e-3);

    let objective = SyncGrpoConfig { image_positions: ImagePositions::All, ..Default::default() }.init().unwrap();
    let group = Group { trajectories, advantages };
    for chunk in [1, 3, usize::MAX] {
        let mut policy = ToyPolicy::new(Faults::default());
        accumulate(&mut policy, &objective, std::slice::from_ref(&group), chunk, None).unwrap();
        for (got, expected) in policy.gradients().iter().zip(&expected) {
            assert!((got - expected).abs() <= 1e-5 * scale, "chunk {chunk}: expected {expected}, got {got}");
        }
    }
}

#[test]
fn a_run_does_not_depend_on_the_chunk_size_beyond_rounding() {
    let first =
        |chunk| trainer(parts(), TrainerConfig { chunk, ..config(1) }).step().unwrap().metrics.without_timings();
    let expected = first(1);
    for chunk in [3, 1000] {
        let metrics = first(chunk);
        for ((name, got), (_, expected)) in metrics.iter().zip(expected.iter()) {
            assert!(
                (got - expected).abs() <= 1e-5 * expected.abs().max(1e-3),
                "{name}: expected {expected}, got {got}"
            );
        }
        assert_eq!(metrics.get("reward"), expected.get("reward"));
    }
}

/// An objective that forgets an advantage.
struct Forgetful;

impl Objective for Forgetful {
    fn advantages(&self, rewards: &[f64]) -> Vec<f64> {
        vec![1.0; rewards.len() - 1]
    }

    fn weight(&self, _group: &counterpoint::GroupShape, _candidate: usize, _segment: usize) -> f64 {
        1.0
    }

    fn loss(&self, _terms: counterpoint::Terms) -> counterpoint::Result<counterpoint::Loss> {
        unreachable!("the trainer should have refused before")
    }
}

#[test]
fn an_objective_that_forgets_an_advantage_is_refused() {
    let mut trainer = trainer(Parts { objective: Box::new(Forgetful), ..parts() }, config(1));
    let error = trainer.step().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contract);
    assert!(error.to_string().contains("the objective returned 3 advantages, expected 4"), "{error}");
}
