//! Corners of a run: nothing to learn from, no number to report, tasks that look alike, schedules without end.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::{Arc, Mutex};

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};
use common::{Batchwise, Faults, ToyPolicy, alone, changed, config, each, listen, parts, taste, trainer, weights};
use counterpoint::checkpoint::Reader;
use counterpoint::config::TrainerConfig;
use counterpoint::trainer::{Outcome, Sign};
use counterpoint::updater::accumulate;
use counterpoint::{
    Candidate, DecayScope, ErrorKind, Event, Group, Learner, ModuleLearner, OptimizerConfig, Result, Rollout, Sample,
    Schedule, Score, Segment, StopToken, Streams, SyncGrpoConfig, Task, Trainer, Trajectory, WarmupCosine, one_shot,
};

#[test]
fn a_step_without_any_total_has_no_reward_and_is_never_the_best() {
    let mut calls = 0;
    let reward = Batchwise("taste", move |samples: &[Sample]| {
        calls += 1;
        let score =
            |s: &Sample| if calls == 2 { Score::Abstain("no opinion".into()) } else { Score::Value(taste(s) - 9.0) };
        Ok(samples.iter().map(score).collect())
    });
    let folder = tempfile::tempdir().unwrap();
    let settings = TrainerConfig { checkpoint_every: 1, keep_last: 1, max_attempts: 1, ..config(4) };
    let mut trainer =
        trainer(changed(parts(), |p| p.rewards = alone(Box::new(reward))), settings).with_folder(folder.path());
    let reports: Vec<_> = (0..4).map(|_| trainer.step().unwrap()).collect();
    assert_eq!(reports[1].metrics.get("reward"), None);
    assert_eq!(reports[1].metrics.get("reward_std"), None);
    assert_eq!(reports[1].metrics.get("frac_reward_zero_std"), None);
    assert_eq!(reports[1].metrics.get("rewards/taste/abstained"), Some(4.0));
    assert!(reports[1].metrics.notes()[0].contains("every reward abstained: `taste` (no opinion)"), "{:?}", reports[1]);
    // All real rewards are below 0, which would have won as "no reward".
    let kept = std::fs::read_dir(folder.path().join("checkpoints")).unwrap().filter_map(|entry| {
        let reader = Reader::open(&entry.unwrap().path()).ok()?;
        Some((reader.step(), reader.metric()))
    });
    let kept: Vec<_> = kept.collect();
    assert!(kept.iter().all(|(step, metric)| *step != 2 && metric.is_some()), "{kept:?}");
}

/// Admits all of the first task and none of the second, and so on.
struct Alternating(u64);

impl counterpoint::GroupFilter for Alternating {
    fn admit(&mut self, scores: &[f64]) -> Vec<bool> {
        vec![self.0.is_multiple_of(2); scores.len()]
    }

    fn adapt(&mut self, _: &counterpoint::GroupOutcome) {
        self.0 += 1;
    }
}

#[test]
fn the_pass_rate_is_the_mean_over_the_groups_of_a_step() {
    let parts = parts().with_filter(Alternating(0));
    let settings = TrainerConfig { tasks_per_step: 2, max_attempts: 3, ..config(1) };
    let metrics = trainer(parts, settings).step().unwrap().metrics;
    assert_eq!((metrics.get("dgs/pass_rate"), metrics.get("dgs/attempts")), (Some(0.5), Some(2.0)));
}

#[test]
fn flat_groups_are_counted_by_their_last_draw() {
    // The first draw of every group is flat, the second is not.
    let reward = each("taste", |s| Score::Value(if s.candidate < 4 { 0.5 } else { taste(s) }));
    let parts = changed(parts(), |p| p.rewards = alone(reward)).with_filter(counterpoint::DropZeroVariance);
    let metrics = trainer(parts, config(1)).step().unwrap().metrics;
    assert_eq!((metrics.get("frac_reward_zero_std"), metrics.get("dgs/attempts")), (Some(0.0), Some(2.0)));
}

#[test]
fn the_gradient_norm_is_the_mean_over_the_updates_of_a_step() {
    let norm = |updates_per_batch, learning_rate| {
        let settings = TrainerConfig { updates_per_batch, learning_rate, warmup_steps: 0, ..config(9) };
        trainer(parts(), settings).step().unwrap().metrics.get("grad_norm").unwrap()
    };
    // At this rate the policy stays where it is: every update has the same gradient.
    let (one, three) = (norm(1, 1e-12), norm(3, 1e-12));
    assert!((one - three).abs() < 1e-4 * one, "{one} {three}");
    assert!((norm(3, 0.1) - one).abs() > 1e-2 * one, "later updates count");
}

#[test]
fn two_tasks_of_one_id_get_different_random_numbers() {
    let seen: Arc<Mutex<Vec<Vec<Trajectory>>>> = Arc::default();
    let notes = seen.clone();
    let parts = changed(parts(), |p| p.tasks = Box::new(|_: u64, _: u64, _: &Streams| Ok(Task::new(7, "1"))));
    let mut trainer = trainer(parts, TrainerConfig { tasks_per_step: 2, ..config(1) });
    trainer.on_event(move |event| {
        if let Event::Group { rollouts, .. } = event {
            notes.lock().unwrap().push(rollouts.iter().map(|r| r.trajectory.clone()).collect());
        }
    });
    trainer.step().unwrap();
    let seen = seen.lock().unwrap();
    assert_ne!(seen[0], seen[1]);
}

#[test]
fn after_resuming_into_a_new_folder_stopping_keeps_a_checkpoint_there() {
    let [old, new] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mut first = trainer(parts(), config(9)).with_folder(old.path());
    first.step().unwrap();
    first.save().unwrap();
    let mut second = trainer(parts(), config(9)).with_folder(new.path());
    second.resume(&old.path().join("checkpoints/step-000001")).unwrap();
    let stop = StopToken::new();
    stop.set();
    second.run(&stop).unwrap();
    assert!(new.path().join("checkpoints/step-000001/manifest.json").is_file());
}

#[test]
fn a_run_without_end_and_a_rate_above_one_are_no_trouble() {
    let settings = TrainerConfig { steps: u64::MAX, learning_rate: 1.5, warmup_steps: 3, ..config(1) };
    let mut trainer = trainer(parts(), settings);
    let rates: Vec<f64> = (0..5).map(|_| trainer.step().unwrap().metrics.get("lr").unwrap()).collect();
    assert_eq!(rates, [0.375, 0.75, 1.125, 1.5, 1.5]);
    let mut schedule = WarmupCosine::new(1.0, 0, 4);
    assert!(schedule.rate(3) > 0.0 && schedule.rate(u64::MAX) == schedule.rate(3));
}

#[test]
fn a_warm_up_longer_than_the_run_is_cut() {
    let mut trainer = trainer(parts(), TrainerConfig { warmup_steps: 5, learning_rate: 0.01, ..config(1) });
    assert_eq!(trainer.step().unwrap().metrics.get("lr"), Some(0.005));
}

/// A run whose answers are all empty.
fn silent() -> counterpoint::Parts {
    let sampler = one_shot(|_: &ToyPolicy, task: &Task, candidates: &[Candidate]| {
        let rollout = |candidate: &Candidate| {
            let number = candidate.key.candidate;
            let answer = Segment::text(vec![1], Vec::new(), Vec::new());
            let sample = Sample::new(task, number, String::new(), String::new(), None);
            Rollout::new(Trajectory::new(number, vec![answer]), sample)
        };
        Ok(candidates.iter().map(rollout).collect())
    });
    let reward = each("taste", |s| Score::Value(s.candidate as f64));
    changed(parts(), |p| (p.sampler, p.rewards) = (sampler, alone(reward)))
}

#[test]
fn groups_of_empty_answers_make_a_step_without_an_update() {
    let mut trainer = trainer(silent(), config(3));
    let before = weights(&mut trainer);
    let report = trainer.step().unwrap();
    assert!(!report.updated && report.metrics.get("reward") == Some(1.5));
    assert_eq!((weights(&mut trainer), trainer.progress().idle_in_a_row), (before, 1));
}

#[test]
fn a_run_ends_with_a_checkpoint_on_a_sign_that_it_is_to_stop_on_and_notes_others() {
    let run = |stop_when: Vec<Sign>, folder: &std::path::Path| {
        let parts = changed(parts(), |p| p.rewards = alone(each("same", |_| Score::Value(1.0))));
        let settings = TrainerConfig { stop_when, max_idle: 0, ..config(12) };
        let mut trainer = trainer(parts, settings).with_folder(folder);
        let ended = trainer.run(&StopToken::new());
        let metrics = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
        let noted: Vec<usize> = (0..)
            .zip(metrics.lines())
            .filter(|(_, line)| line.contains("rewards differed in no group"))
            .map(|(i, _)| i)
            .collect();
        (ended, trainer.progress().step, noted)
    };
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let (ended, steps, noted) = run(vec![Sign::Flat, Sign::Drifted], folders[0].path());
    let error = ended.unwrap_err();
    assert_eq!((error.kind(), steps, noted), (ErrorKind::Stopped, 10, vec![9]));
    assert!(error.to_string().contains("trainer.stop_when says: rewards differed"), "{error}");
    assert!(folders[0].path().join("checkpoints/step-000010/manifest.json").is_file());
    let (ended, steps, noted) = run(vec![Sign::Collapsed], folders[1].path());
    assert_eq!((ended.unwrap(), steps, noted), (Outcome::Completed, 12, vec![9]));
}

#[test]
fn a_run_that_never_learns_is_stopped_with_a_checkpoint_and_says_why() {
    let failing = each("plug", |_| Score::Fail("plug.so returned NaN for item 0".into()));
    let cases = [
        (silent(), "every answer was empty"),
        (changed(parts(), |p| p.rewards = alone(failing)), "reward `plug` failed: plug.so returned NaN for item 0"),
    ];
    for (parts, why) in cases {
        let folder = tempfile::tempdir().unwrap();
        let settings = TrainerConfig { max_idle: 4, max_attempts: 1, ..config(100) };
        let mut trainer = trainer(parts, settings).with_folder(folder.path());
        let error = trainer.run(&StopToken::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Idle);
        assert!(error.to_string().contains("4 steps in a row") && error.to_string().contains(why), "{error}");
        assert!(folder.path().join("checkpoints/step-000004/manifest.json").is_file());
        let metrics = std::fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
        assert_eq!(metrics.lines().count(), 4);
    }
}

#[test]
fn the_reason_of_a_failed_score_is_told_and_noted() {
    let reward = each("plug", |s| match s.candidate {
        0 => Score::Fail("not today".into()),
        _ => Score::Value(taste(s)),
    });
    let mut trainer = trainer(changed(parts(), |p| p.rewards = alone(reward)), config(1));
    let told: Arc<Mutex<Vec<String>>> = Arc::default();
    let lines = told.clone();
    trainer.on_event(move |event| {
        if let Event::ScoresFailed { reward, failed, reason, .. } = event {
            lines.lock().unwrap().push(format!("{reward} {failed} {reason}"));
        }
    });
    let report = trainer.step().unwrap();
    assert_eq!(*told.lock().unwrap(), ["plug 1 not today"]);
    assert_eq!(report.metrics.notes(), ["reward `plug` failed: not today"]);
}

#[test]
fn a_chunk_of_nothing_is_an_error() {
    let answer = Trajectory::new(0, vec![Segment::text(vec![1], vec![2], vec![-1.0])]);
    let group = Group::new(0, vec![answer; 2], vec![0.5; 2]);
    let objective = SyncGrpoConfig::default().init().unwrap();
    let error = accumulate(&mut ToyPolicy::new(Faults::default()), &objective, &[group], 0, None).unwrap_err();
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Config, "trainer.chunk: expected 1 or more, got 0")
    );
}

#[derive(Module, Debug)]
struct Layer {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

#[test]
fn weight_decay_leaves_norms_and_biases_alone_unless_told_otherwise() {
    let after = |scope: DecayScope| -> Result<(f32, f32)> {
        let device = Device::flex().autodiff();
        let layer =
            Layer { weight: Param::from_data([[2.0_f32]], &device), bias: Param::from_data([2.0_f32], &device) };
        let mut learner = ModuleLearner::new(layer);
        let mut optimizer = OptimizerConfig::default();
        (optimizer.weight_decay, optimizer.decay_scope) = (0.5, scope);
        learner.configure(&optimizer);
        let Layer { weight, bias } = learner.module().clone();
        learner.accumulate(weight.val().sum() + bias.val().sum())?;
        learner.apply(0.1, 1.0)?;
        let Layer { weight, bias } = learner.module();
        Ok((weight.val().into_scalar::<f32>(), bias.val().into_scalar::<f32>()))
    };
    // AdamW: p - lr wd p - lr sign(g) in the first step.
    let close = |got: f32, expected: f32| assert!((got - expected).abs() < 1e-5, "expected {expected}, got {got}");
    let (weight, bias) = after(DecayScope::Matrices).unwrap();
    close(weight, 2.0 - 0.1 - 0.1);
    close(bias, 2.0 - 0.1);
    let (weight, bias) = after(DecayScope::All).unwrap();
    close(weight, 1.8);
    close(bias, 1.8);
    assert_eq!(TrainerConfig::default().decay_scope, DecayScope::Matrices);
}

#[test]
fn a_learner_that_is_loaded_in_another_process_decays_the_same_parameters() {
    let made = || {
        let device = Device::flex().autodiff();
        let layer =
            Layer { weight: Param::from_data([[2.0_f32]], &device), bias: Param::from_data([2.0_f32], &device) };
        let mut learner = ModuleLearner::new(layer);
        let mut optimizer = OptimizerConfig::default();
        optimizer.weight_decay = 0.5;
        learner.configure(&optimizer);
        learner
    };
    let step = |learner: &mut ModuleLearner<Layer>| {
        let Layer { weight, bias } = learner.module().clone();
        learner.accumulate(weight.val().sum() + bias.val().sum()).unwrap();
        learner.apply(0.1, 1.0).unwrap();
        let Layer { weight, bias } = learner.module();
        [weight.val().into_scalar::<f32>(), bias.val().into_scalar::<f32>()].map(f32::to_bits)
    };
    let folder = tempfile::tempdir().unwrap();
    let mut first = made();
    step(&mut first);
    first.save(folder.path()).unwrap();
    // Parameters made anew have other ids, as those of another process do.
    let mut second = made();
    second.load(folder.path()).unwrap();
    assert_eq!(step(&mut second), step(&mut first));
}

#[test]
fn a_constructor_finds_what_a_rollout_would_stumble_over() {
    let filter = || counterpoint::DynamicGroupScalingConfig::default().init().unwrap();
    assert!(Trainer::new(parts().with_filter(filter()), config(1), 7).is_err());
    assert!(Trainer::new(parts().with_filter(filter()).with_surrogate("tast"), config(1), 7).is_err());
    let mut run = Trainer::new(parts().with_filter(filter()).with_surrogate("taste"), config(1), 7).unwrap();
    let log = listen(&mut run);
    run.step().unwrap();
    assert!(log.lock().unwrap().iter().any(|line| line.starts_with("drafted")));
}
