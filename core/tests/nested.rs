//! Several images for each answer, credit by halves, images masked again, and the meter of the signal, in whole runs.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::{Arc, Mutex};

use common::{
    Faults, ToyPolicy, ToySampler, alone, changed, config, each, parts, resumes_bit_for_bit, stateful, taste, trainer,
    weights,
};
use counterpoint::config::{ImportanceCap, TrainerConfig};
use counterpoint::objective::{Advantage, Remask};
use counterpoint::updater::{BatchDraw, accumulate};
use counterpoint::{
    Candidate, Credit, ErrorKind, Event, Group, GroupFilter, GroupOutcome, ImagePositions, Objective, Parts, Policy,
    Result, Rollout, Score, Segment, Streams, SyncGrpoConfig, Task, Trainer, Trajectory, TypedSampler, one_shot,
};

fn nested(steps: u64) -> TrainerConfig {
    TrainerConfig { images_per_answer: 2, ..config(steps) }
}

fn learning_by(objective: SyncGrpoConfig) -> Parts {
    changed(parts(), |p| p.objective = Box::new(objective.init().unwrap()))
}

/// The trajectories of the groups of a run.
fn groups(trainer: &mut Trainer) -> Arc<Mutex<Vec<Vec<Trajectory>>>> {
    let groups = Arc::new(Mutex::new(Vec::new()));
    let seen = groups.clone();
    trainer.on_event(move |event| {
        if let Event::Group { rollouts, .. } = event {
            seen.lock().unwrap().push(rollouts.iter().map(|r| r.trajectory.clone()).collect());
        }
    });
    groups
}

#[test]
fn images_of_one_answer_share_its_words_and_are_painted_apart() {
    let mut trainer = trainer(parts(), nested(3));
    let groups = groups(&mut trainer);
    for _ in 0..3 {
        let report = trainer.step().unwrap();
        assert!(report.updated);
        assert_eq!(report.metrics.get("frac_without_sibling"), Some(0.0));
    }
    let groups = groups.lock().unwrap();
    let mut different = 0;
    for group in groups.iter() {
        assert_eq!(group.iter().map(|t| (t.candidate, t.answer)).collect::<Vec<_>>(), [(0, 0), (1, 0), (2, 2), (3, 2)]);
        for pair in group.chunks(2) {
            assert_eq!(pair[0].segments[0], pair[1].segments[0]);
            different += usize::from(pair[0].segments[1].chosen != pair[1].segments[1].chosen);
        }
    }
    assert!(different >= 4, "{different} of 6");
}

#[test]
fn an_answer_is_scored_once_with_the_weight_of_its_images() {
    let mut trainer = trainer(parts(), nested(1));
    let groups = groups(&mut trainer);
    trainer.step().unwrap();
    let shared = groups.lock().unwrap()[0].clone();
    let own: Vec<Trajectory> = shared.iter().map(|t| t.clone().with_answer(t.candidate)).collect();
    let advantages = vec![vec![0.5, 0.2], vec![0.5, -0.2], vec![-0.5, 0.1], vec![-0.5, -0.1]];
    let objective = SyncGrpoConfig::default().init().unwrap();
    let gradient = |trajectories: Vec<Trajectory>| {
        let mut policy = ToyPolicy::new(Faults::default());
        let group = Group::by_segment(0, trajectories, advantages.clone());
        let replayed = accumulate(&mut policy, &objective, &[group], 3, None).unwrap();
        (policy.gradients(), replayed.halves[&counterpoint::SegmentKind::Understanding].stats.count)
    };
    let ((once, of_two), (each, of_four)) = (gradient(shared), gradient(own));
    assert_eq!(of_four, 2.0 * of_two);
    let scale = each.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
    for (got, expected) in once.iter().zip(&each) {
        assert!((got - expected).abs() < 1e-6 * scale, "{got} {expected}");
    }
}

#[test]
fn a_sampler_that_does_not_share_answers_is_refused() {
    let deaf = one_shot(|_: &ToyPolicy, task: &Task, candidates: &[Candidate]| -> Result<Vec<Rollout>> {
        let one = |candidate: &Candidate| {
            let number = candidate.key.candidate;
            let word = 1 + number as u32 % 2;
            let segments = vec![Segment::text(vec![1], vec![word], vec![-1.0])];
            let sample = counterpoint::Sample::new(task, number, String::new(), word.to_string(), None);
            Rollout::new(Trajectory::new(number, segments), sample)
        };
        Ok(candidates.iter().map(one).collect())
    });
    let mut trainer = trainer(changed(parts(), |p| p.sampler = deaf), nested(1));
    let error = trainer.step().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contract);
    assert!(error.to_string().contains("trainer.images_per_answer = 1"), "{error}");
}

#[test]
fn a_filter_that_finishes_no_multiple_of_the_images_is_refused() {
    /// Finishes one candidate more than are learned from.
    struct OneMore;
    impl GroupFilter for OneMore {
        fn admit(&mut self, scores: &[f64]) -> Vec<bool> {
            vec![true; scores.len()]
        }
        fn adapt(&mut self, _: &GroupOutcome) {}
        fn finish_count(&self, group_size: usize) -> usize {
            group_size + 1
        }
    }
    let mut trainer = trainer(changed(parts(), |p| p.filter = Box::new(OneMore)), nested(1));
    let error = trainer.step().unwrap_err();
    assert!(error.to_string().contains("a divisor of the 5 candidates that the filter finishes"), "{error}");
}

#[test]
fn an_image_whose_siblings_failed_is_counted_and_compared_with_nothing() {
    let reward = each("taste", |s| match s.candidate {
        1 => Score::Fail("unreadable".into()),
        _ => Score::Value(taste(s)),
    });
    let mut trainer = trainer(changed(parts(), |p| p.rewards = alone(reward)), nested(1));
    assert_eq!(trainer.step().unwrap().metrics.get("frac_without_sibling"), Some(1.0 / 3.0));
}

#[test]
fn whole_answers_are_admitted_by_the_mean_of_their_previews() {
    let (parts, config) = stateful();
    let mut trainer = trainer(parts, TrainerConfig { images_per_answer: 2, ..config });
    let groups = groups(&mut trainer);
    for _ in 0..4 {
        trainer.step().unwrap();
    }
    for group in groups.lock().unwrap().iter() {
        assert_eq!(group.len(), 4);
        for pair in group.chunks(2) {
            assert_eq!((pair[0].candidate + 1, pair[0].answer), (pair[1].candidate, pair[1].answer));
        }
    }
}

/// Every relative of the objective, and everything that this file is about at once.
fn variants() -> Vec<(&'static str, SyncGrpoConfig)> {
    let with = |base: SyncGrpoConfig| SyncGrpoConfig {
        credit: Credit::Causal,
        image_positions: ImagePositions::Revealed,
        denoising_steps: Some(2),
        step_sampling: counterpoint::objective::StepSampling::Stratified,
        ..base
    };
    let remask = Remask { masks: 3, ratio: [0.2, 0.9] };
    vec![
        ("sync_grpo", with(SyncGrpoConfig::default())),
        ("grpo", with(SyncGrpoConfig::grpo())),
        ("dapo", with(SyncGrpoConfig::dapo())),
        ("gspo", with(SyncGrpoConfig::gspo())),
        ("rloo", with(SyncGrpoConfig { advantage: Advantage::LeaveOneOut, ..SyncGrpoConfig::default() })),
        (
            "remask",
            SyncGrpoConfig { image_positions: ImagePositions::RemaskFinal, remask, ..SyncGrpoConfig::default() },
        ),
    ]
}

#[test]
fn every_variant_runs_and_resumes_bit_for_bit() {
    for (name, objective) in variants() {
        resumes_bit_for_bit(name, || {
            let (parts, config) = stateful();
            let parts = changed(parts, |p| p.objective = Box::new(objective.clone().init().unwrap()));
            (parts, TrainerConfig { images_per_answer: 2, signal_every: 2, ..config })
        });
    }
}

#[test]
fn variants_do_not_depend_on_the_chunks() {
    let mut trainer = trainer(parts(), nested(1));
    let groups = groups(&mut trainer);
    trainer.step().unwrap();
    let trajectories = groups.lock().unwrap()[0].clone();
    let advantages = vec![vec![0.5, 0.2], vec![0.5, -0.2], vec![-0.5, 0.1], vec![-0.5, -0.1]];
    let draw = BatchDraw { streams: Streams::new(1), step: 0 };
    for (name, objective) in variants() {
        let objective = objective.init().unwrap();
        let gradient = |chunk: usize| {
            let mut policy = ToyPolicy::new(Faults::default());
            let group = Group::by_segment(0, trajectories.clone(), advantages.clone());
            accumulate(&mut policy, &objective, &[group], chunk, Some(&draw)).unwrap();
            policy.gradients()
        };
        let expected = gradient(usize::MAX);
        let scale = expected.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
        for chunk in [1, 3] {
            for (got, expected) in gradient(chunk).iter().zip(&expected) {
                assert!((got - expected).abs() < 1e-5 * scale, "{name}, chunk {chunk}: {got} {expected}");
            }
        }
    }
}

#[test]
fn images_masked_again_count_as_one_image_whatever_the_masks() {
    let mut trainer = trainer(parts(), config(1));
    let groups = groups(&mut trainer);
    trainer.step().unwrap();
    let trajectories = groups.lock().unwrap()[0].clone();
    let draw = BatchDraw { streams: Streams::new(1), step: 0 };
    // With a linear objective and one advantage for all, the loss at ratio 1 is minus the sum of the weights.
    for remask in [Remask { masks: 1, ratio: [0.2, 0.2] }, Remask { masks: 3, ratio: [0.1, 1.0] }] {
        let objective = SyncGrpoConfig {
            image_positions: ImagePositions::RemaskFinal,
            remask,
            a_und: 0.0,
            a_gen: 1.0,
            kl: counterpoint::objective::Kl::None,
            ..SyncGrpoConfig::default()
        };
        let objective = objective.init().unwrap();
        let group = Group::new(0, trajectories.clone(), vec![1.0; 4]);
        let mut policy = ToyPolicy::new(Faults::default());
        let replayed = accumulate(&mut policy, &objective, &[group], 2, Some(&draw)).unwrap();
        let positions = common::POSITIONS as f64;
        assert!((replayed.all.stats.loss + positions).abs() < 1e-5, "{}", replayed.all.stats.loss);
        assert!(replayed.all.stats.count < remask.masks as f64 * 4.0 * positions);
    }
}

#[test]
fn at_the_reference_images_masked_again_do_not_diverge_from_it() {
    // The same masks for current and reference scores: k3 would show any other.
    let objective = SyncGrpoConfig { image_positions: ImagePositions::RemaskFinal, ..SyncGrpoConfig::default() };
    let mut trainer = trainer(learning_by(objective), config(1));
    let metrics = trainer.step().unwrap().metrics;
    assert!(metrics.get("kl/generation").unwrap().abs() < 1e-9);
    assert_eq!(metrics.get("ratio_max/generation"), Some(1.0));
}

#[test]
fn what_cannot_go_with_images_masked_again_is_refused() {
    let objective = SyncGrpoConfig { image_positions: ImagePositions::RemaskFinal, ..SyncGrpoConfig::default() };
    let capped = TrainerConfig { importance_cap: ImportanceCap::At(2.0), ..config(1) };
    let error = trainer(learning_by(objective.clone()), capped).step().unwrap_err();
    assert!(error.to_string().contains("trainer.importance_cap"), "{error}");

    let group = Group::new(0, Vec::new(), Vec::new());
    let objective = objective.init().unwrap();
    let error = accumulate(&mut ToyPolicy::new(Faults::default()), &objective, &[group], 1, None).unwrap_err();
    assert!(error.to_string().contains("BatchDraw"), "{error}");
    for (ratio, masks) in [([0.0, 1.0], 1), ([0.5, 0.4], 1), ([0.1, 1.1], 1), ([0.1, 1.0], 0)] {
        let config = SyncGrpoConfig { remask: Remask { masks, ratio }, ..SyncGrpoConfig::default() };
        assert!(config.init().unwrap_err().to_string().starts_with("objective.remask."));
    }
}

#[test]
fn halves_are_reported_apart_and_what_weighs_nothing_is_not_replayed() {
    let metrics = trainer(parts(), config(1)).step().unwrap().metrics;
    for name in ["kl", "entropy", "ratio_mean", "ratio_max", "clip_ratio/low", "clip_ratio/high"] {
        if name == "entropy" {
            continue; // The toy policy has none.
        }
        for half in ["understanding", "generation"] {
            assert!(metrics.get(&format!("{name}/{half}")).is_some(), "{name}/{half}");
        }
    }
    let text = SyncGrpoConfig { a_gen: 0.0, ..SyncGrpoConfig::default() };
    let metrics = trainer(learning_by(text), config(1)).step().unwrap().metrics;
    assert!(metrics.get("kl/understanding").is_some() && metrics.get("kl/generation").is_none());
}

#[test]
fn measuring_the_signal_changes_nothing_else() {
    for tasks_per_step in [1, 2] {
        let run = |signal_every: u64| {
            let mut trainer = trainer(parts(), TrainerConfig { signal_every, tasks_per_step, ..config(4) });
            let metrics: Vec<_> = (0..4).map(|_| trainer.step().unwrap().metrics.without_timings()).collect();
            (metrics, weights(&mut trainer))
        };
        let ((without, plain), (with, measured)) = (run(0), run(2));
        assert_eq!(plain, measured);
        for (step, (without, with)) in without.iter().zip(&with).enumerate() {
            for half in ["understanding", "generation"] {
                for what in ["", "/noise", "/cosine"] {
                    let name = format!("signal/{half}{what}");
                    assert_eq!(with.get(&name).is_some(), step % 2 == 0, "{name}");
                }
            }
            assert!(without.iter().all(|(name, value)| with.get(name) == Some(value)), "step {step}");
        }
    }
}

#[test]
fn a_task_that_brings_its_answer_compares_all_of_its_images() {
    // Without a text of its own there are no answers: siblings are the whole group, whatever `images_per_answer`.
    let given = |policy: &ToyPolicy, task: &Task, candidates: &[Candidate]| -> Result<Vec<Rollout>> {
        let mut sampler = ToySampler::default();
        let drafts = sampler.draft(policy, task, candidates, false)?;
        let mut rollouts = sampler.finish(policy, task, drafts)?;
        rollouts.iter_mut().for_each(|r| drop(r.trajectory.segments.remove(0)));
        Ok(rollouts)
    };
    let mut trainer = trainer(changed(parts(), |p| p.sampler = one_shot(given)), nested(1));
    let (rollouts, policy) = trainer.rollouts_mut();
    let drawn = rollouts.draw(policy, 0, 0..1, &mut |_| Ok(())).unwrap().remove(0);
    let objective = SyncGrpoConfig::default().init().unwrap();
    let expected = objective.advantages(&drawn.rewards);
    let group = Group::of(&objective, drawn).unwrap();
    assert_eq!(group.advantages, expected.iter().map(|a| vec![*a]).collect::<Vec<_>>());
    let _: &dyn Policy = trainer.policy();
}
