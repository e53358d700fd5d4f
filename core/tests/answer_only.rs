//! Tasks of which the answer alone is asked, among those that are painted.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::{Arc, Mutex};

use common::{
    ToyPolicy, ToySampler, VOCABULARY, changed, config, each, parts, resumes_bit_for_bit, stateful, steps, taste,
    trainer,
};
use counterpoint::config::TrainerConfig;
use counterpoint::{
    Candidate, ErrorKind, Event, GroupFilter, GroupOutcome, Parts, Result, RewardEnsemble, Rollout, Score, SegmentKind,
    Streams, Task, Trainer, Trajectory, TypedSampler, one_shot,
};

/// Every other task is to be answered alone.
fn mixed(_: u64, cursor: u64, _: &Streams) -> Result<Task> {
    let task = Task::new(cursor, (1 + cursor % (VOCABULARY as u64 - 1)).to_string());
    Ok(if cursor % 2 == 1 { task.answer_only() } else { task })
}

/// A reward of words and one of images.
fn judges() -> RewardEnsemble {
    let words = each("taste", |s| Score::Value(s.response.matches('2').count() as f64 / 4.0));
    let image = each("image", |s| match &s.image {
        Some(_) => Score::Value(taste(s)),
        None => Score::Abstain("no image".to_owned()),
    });
    let weights = [("taste".to_owned(), 0.25), ("image".to_owned(), 0.75)].into();
    RewardEnsemble::new(vec![words, image], [("default".to_owned(), weights)].into()).unwrap()
}

fn run() -> (Parts, TrainerConfig) {
    let (parts, config) = stateful();
    let parts = changed(parts, |p| {
        p.tasks = Box::new(mixed);
        p.rewards = judges();
    });
    (parts, TrainerConfig { images_per_answer: 2, group_size: 6, ..config })
}

type Seen = Arc<Mutex<Vec<(bool, Vec<Trajectory>, Vec<Option<f64>>)>>>;

fn groups(trainer: &mut Trainer) -> Seen {
    let seen = Seen::default();
    let notes = seen.clone();
    trainer.on_event(move |event| {
        if let Event::Group { task, rollouts, scores, .. } = event {
            let trajectories = rollouts.iter().map(|r| r.trajectory.clone()).collect();
            let totals = scores.iter().map(|s| s.total).collect();
            notes.lock().unwrap().push((task.generates, trajectories, totals));
        }
    });
    seen
}

#[test]
fn they_are_answered_by_a_whole_group_and_nothing_is_painted_or_filtered() {
    let (parts, config) = run();
    let mut trainer = trainer(parts, config);
    let seen = groups(&mut trainer);
    let metrics = steps(&mut trainer, 3);
    for (painted, group, totals) in seen.lock().unwrap().iter() {
        let answers: std::collections::BTreeSet<u64> = group.iter().map(|t| t.answer).collect();
        assert_eq!((group.len(), answers.len()), (6, if *painted { 3 } else { 6 }));
        for (trajectory, total) in group.iter().zip(totals) {
            let kinds: Vec<SegmentKind> = trajectory.segments.iter().map(|s| s.kind).collect();
            match painted {
                true => assert_eq!(kinds, [SegmentKind::Understanding, SegmentKind::Generation]),
                false => {
                    assert_eq!(kinds, [SegmentKind::Understanding]);
                    // The reward of words has the whole weight.
                    let words = trajectory.segments[0].chosen.iter().filter(|token| **token == 2).count();
                    assert_eq!(*total, Some(words as f64 / 4.0));
                }
            }
        }
    }
    // The steps of denoising are those of the painted group alone: 6 images of 4 steps.
    assert!(metrics.iter().all(|m| m.get("dgs/steps_kept") == Some(24.0)));
    assert!(metrics.iter().all(|m| m.get("rewards/image/abstained") >= Some(6.0)));
}

/// Admits nothing and says when it is asked.
struct Never(Arc<Mutex<usize>>);

impl GroupFilter for Never {
    fn admit(&mut self, scores: &[f64]) -> Vec<bool> {
        *self.0.lock().unwrap() += 1;
        vec![false; scores.len()]
    }

    fn adapt(&mut self, group: &GroupOutcome) {
        assert_eq!((group.drafted, group.scores.len()), (0, 0));
    }

    fn needs_preview(&self) -> bool {
        true
    }
}

#[test]
fn a_filter_is_not_asked_about_them() {
    let asked = Arc::default();
    let (parts, config) = run();
    let parts = changed(parts, |p| {
        p.tasks = Box::new(|_: u64, cursor: u64, _: &Streams| Ok(Task::new(cursor, "1").answer_only()));
        p.filter = Box::new(Never(Arc::clone(&asked)));
    });
    let metrics = steps(&mut trainer(parts, config), 2);
    assert_eq!(*asked.lock().unwrap(), 0);
    assert!(metrics.iter().all(|m| m.get("dgs/pass_rate").is_none() && m.get("dgs/attempts") == Some(1.0)));
    assert!(metrics.iter().all(|m| m.get("kl/generation").is_none() && m.get("kl/understanding").is_some()));
}

#[test]
fn a_run_with_them_resumes_bit_for_bit() {
    resumes_bit_for_bit("answers alone", run);
}

#[test]
fn a_task_with_nothing_to_do_and_a_sampler_that_paints_all_the_same_are_refused() {
    let with = |task: fn(u64) -> Task| {
        let tasks = move |_: u64, cursor: u64, _: &Streams| Ok(task(cursor));
        changed(parts(), |p| p.tasks = Box::new(tasks))
    };
    let idle = with(|cursor| Task::new(cursor, "1").with_response("2").answer_only());
    let error = trainer(idle, config(1)).step().unwrap_err();
    assert!(error.kind() == ErrorKind::Data && error.to_string().contains("brings its answer"), "{error}");

    let stubborn = |policy: &ToyPolicy, task: &Task, candidates: &[Candidate]| -> Result<Vec<Rollout>> {
        let mut task = task.clone();
        task.generates = true;
        let mut sampler = ToySampler::default();
        let drafts = sampler.draft(policy, &task, candidates, false)?;
        sampler.finish(policy, &task, drafts)
    };
    let parts = with(|cursor| Task::new(cursor, "1").answer_only());
    let parts = changed(parts, |p| p.sampler = one_shot(stubborn));
    let error = trainer(parts, config(1)).step().unwrap_err();
    assert!(error.kind() == ErrorKind::Contract && error.to_string().contains("Task::generates"), "{error}");
}
