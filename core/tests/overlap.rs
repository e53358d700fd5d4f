//! Rewards beside the next rollout: the same run bit for bit, computed at the same time.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{Batchwise, ToySampler, alone, changed, config, each, parts, stateful, taste, trainer, weights};
use counterpoint::Parts;
use counterpoint::config::{Overlap, TrainerConfig};
use counterpoint::metrics::Metrics;
use counterpoint::trainer::Progress;
use counterpoint::{
    Candidate, Draft, DropZeroVariance, Error, ErrorKind, Event, GroupFilter, GroupOutcome, Policy, Result, Reward,
    Rollout, Sample, Sampler, Score, Task, Trainer, TypedSampler, serde_json,
};

fn three_tasks(overlap_rewards: Overlap, steps: u64) -> TrainerConfig {
    TrainerConfig { tasks_per_step: 3, max_attempts: 3, overlap_rewards, ..config(steps) }
}

/// All that a run shows: metrics, events with everything in them, parameters, counters and the filter's state.
#[derive(Debug, PartialEq)]
struct Run {
    steps: Vec<std::result::Result<Metrics, String>>,
    events: Vec<String>,
    weights: Vec<u32>,
    progress: Progress,
    filter: serde_json::Value,
}

fn listen(trainer: &mut Trainer) -> Arc<Mutex<Vec<String>>> {
    let log = Arc::new(Mutex::new(Vec::new()));
    let lines = log.clone();
    trainer.on_event(move |event| {
        let line = match event {
            Event::Step(report) => format!("{} {:?}", report.step, report.metrics.clone().without_timings()),
            other => format!("{other:?}"),
        };
        lines.lock().unwrap().push(line);
    });
    log
}

fn run(parts: Parts, config: TrainerConfig) -> Run {
    let steps = config.steps;
    let mut trainer = trainer(parts, config);
    let events = listen(&mut trainer);
    let step =
        |trainer: &mut Trainer| trainer.step().map(|r| r.metrics.without_timings()).map_err(|e| format!("{e:#}"));
    let steps = (0..steps).map(|_| step(&mut trainer)).collect();
    let events = events.lock().unwrap().clone();
    let filter = trainer.rollouts().filter().state();
    Run { steps, events, weights: weights(&mut trainer), progress: *trainer.progress(), filter }
}

/// The run of `parts`, which is the same both ways.
fn same(parts: impl Fn() -> Parts, config: impl Fn(Overlap) -> TrainerConfig) -> Run {
    let sequential = run(parts(), config(Overlap::Never));
    assert_eq!(run(parts(), config(Overlap::Always)), sequential);
    sequential
}

fn count(run: &Run, beginning: &str) -> usize {
    run.events.iter().filter(|line| line.starts_with(beginning)).count()
}

#[test]
fn a_run_that_keeps_all_is_the_same_bit_for_bit() {
    let run = same(parts, |overlap| three_tasks(overlap, 4));
    assert_eq!(count(&run, "Group {"), 12);
}

#[test]
fn a_run_under_group_scaling_whose_surrogate_is_also_a_reward_is_the_same_bit_for_bit() {
    let run = same(|| stateful().0, |overlap| TrainerConfig { overlap_rewards: overlap, ..stateful().1 });
    assert!(count(&run, "Drafted") > count(&run, "Group {"), "some groups take more than one wave");
}

/// Rewards the first wave of every second task alike.
fn dull() -> Box<dyn Reward> {
    each("taste", |s| {
        let flat = s.candidate < 4 && ["2", "4"].contains(&s.prompt.as_str());
        Score::Value(if flat { 0.5 } else { taste(s) })
    })
}

#[test]
fn a_group_that_is_drawn_again_throws_away_what_was_drawn_ahead() {
    let made = || {
        changed(parts(), |p| {
            p.rewards = alone(dull());
            p.filter = Box::new(DropZeroVariance);
        })
    };
    let run = same(made, |overlap| three_tasks(overlap, 4));
    assert!(count(&run, "Group {") > 12, "some groups were drawn again");
}

/// A filter of which every answer depends on how many groups it has adapted to.
#[derive(Default)]
struct Moody(u64);

impl GroupFilter for Moody {
    fn admit(&mut self, scores: &[f64]) -> Vec<bool> {
        scores.iter().map(|&score| score > 0.1 * (self.0 % 5) as f64).collect()
    }

    fn adapt(&mut self, group: &GroupOutcome) {
        self.0 += 1 + group.admitted as u64;
    }

    fn needs_preview(&self) -> bool {
        true
    }

    fn select(&self, rewards: &[f64], _: usize) -> Vec<usize> {
        if self.0.is_multiple_of(3) { Vec::new() } else { (0..rewards.len()).collect() }
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        vec![("moody", self.0 as f64)]
    }

    fn state(&self) -> serde_json::Value {
        self.0.into()
    }

    fn restore(&mut self, state: &serde_json::Value) -> Result<()> {
        self.0 = state.as_u64().ok_or_else(|| Error::checkpoint("expected a number"))?;
        Ok(())
    }
}

#[test]
fn a_filter_selects_as_it_was_before_it_adapted() {
    let made = || {
        changed(parts(), |p| {
            p.filter = Box::new(Moody::default());
            p.surrogate = Some("taste".into());
        })
    };
    let run = same(made, |overlap| three_tasks(overlap, 6));
    assert!(count(&run, "GroupDropped") > 0 && count(&run, "Group {") > 18, "groups are drawn again, and dropped");
}

#[test]
fn steps_that_fail_and_steps_that_are_skipped_are_the_same_bit_for_bit() {
    // The same question at another step is another group: what is wrong depends on what was answered.
    let reward = || {
        each("taste", |s| match s.response.as_str() {
            "3 0" | "1 1 0" => Score::Value(f64::NAN),
            "2 0" | "4 0" => Score::Fail("unreadable".into()),
            _ => Score::Value(taste(s)),
        })
    };
    let made = || {
        changed(parts(), |p| {
            p.rewards = alone(reward());
            p.filter = Box::new(Moody(1));
            p.surrogate = Some("taste".into());
        })
    };
    let run = same(made, |overlap| TrainerConfig { max_non_finite: 100, ..three_tasks(overlap, 12) });
    assert!(count(&run, "StepSkipped") > 0 && count(&run, "StepSkipped") < 12, "{:?}", run.steps);
}

/// Tells which task it drafts.
struct Telling(Box<dyn Sampler>, Sender<u64>);

impl Sampler for Telling {
    fn draft(&mut self, policy: &dyn Policy, task: &Task, all: &[Candidate], previews: bool) -> Result<Vec<Draft>> {
        self.1.send(task.id).unwrap();
        self.0.draft(policy, task, all, previews)
    }

    fn finish(&mut self, policy: &dyn Policy, task: &Task, drafts: Vec<Draft>) -> Result<Vec<Rollout>> {
        self.0.finish(policy, task, drafts)
    }
}

/// A run whose reward notes how many tasks have been drafted when it scores; it waits for the `wait`th.
fn watching(wait: usize, overlap: Overlap) -> (Trainer, Arc<Mutex<Vec<usize>>>) {
    let (tell, told): (Sender<u64>, Receiver<u64>) = channel();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (notes, mut drafted) = (seen.clone(), 0);
    let reward = Batchwise("taste", move |samples: &[Sample]| {
        // Without the next rollout beside it this ends with a failure, not never.
        while drafted < wait && told.recv_timeout(Duration::from_secs(60)).is_ok() {
            drafted += 1;
        }
        drafted += told.try_iter().count();
        notes.lock().unwrap().push(drafted);
        Ok(samples.iter().map(|s| Score::Value(taste(s))).collect())
    });
    let sampler = Box::new(Telling(ToySampler::default().boxed(), tell));
    let parts = changed(parts(), |p| {
        p.sampler = sampler;
        p.rewards = alone(Box::new(reward));
    });
    (trainer(parts, TrainerConfig { tasks_per_step: 2, overlap_rewards: overlap, ..config(2) }), seen)
}

#[test]
fn the_next_task_is_rolled_out_while_rewards_are_computed() {
    let (mut trainer, seen) = watching(2, Overlap::Always);
    let metrics = trainer.step().unwrap().metrics;
    assert_eq!(*seen.lock().unwrap(), [2, 2], "the second task was drafted before the first one's rewards were known");
    assert!(metrics.get("time/overlap").is_some_and(|seconds| seconds >= 0.0));
    assert!(metrics.get("time/rollout").is_some_and(|seconds| seconds >= 0.0));

    let (mut trainer, seen) = watching(0, Overlap::Never);
    let metrics = trainer.step().unwrap().metrics;
    assert_eq!(*seen.lock().unwrap(), [1, 2]);
    assert_eq!(metrics.get("time/overlap"), None);
}

#[test]
fn without_known_devices_nothing_overlaps_by_itself() {
    let mut trainer = trainer(parts(), TrainerConfig { tasks_per_step: 2, ..config(1) });
    assert_eq!(trainer.config().overlap_rewards, Overlap::Auto);
    assert_eq!(trainer.step().unwrap().metrics.get("time/overlap"), None);
}

#[test]
fn a_reward_that_fails_or_panics_does_so_as_without_overlap() {
    let outcome = |overlap: Overlap, panics: bool| {
        let broken = Arc::new(Mutex::new(true));
        let switch = broken.clone();
        let reward = Batchwise("taste", move |samples: &[Sample]| match *switch.lock().unwrap() {
            true if panics => panic!("expert overboard"),
            true => Err(Error::contract("expert asleep")),
            false => Ok(samples.iter().map(|s| Score::Value(taste(s))).collect()),
        });
        let parts = changed(parts(), |p| {
            p.rewards = alone(Box::new(reward));
            p.filter = Box::new(Counting(0));
        });
        let mut trainer = trainer(parts, three_tasks(overlap, 4));
        let said = match catch_unwind(AssertUnwindSafe(|| trainer.step())) {
            Ok(result) => {
                let error = result.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Reward);
                format!("{error:#}")
            }
            Err(panic) => panic.downcast_ref::<&str>().unwrap().to_string(),
        };
        let filter = trainer.rollouts().filter().state();
        // What was wrong is put right: the run goes on.
        broken.clear_poison();
        *broken.lock().unwrap() = false;
        let metrics: Vec<_> = (0..3).map(|_| trainer.step().unwrap().metrics.without_timings()).collect();
        (said, filter, metrics, weights(&mut trainer))
    };
    for (panics, says) in [(false, "reward `taste` failed 3 times in a row: expert asleep"), (true, "expert overboard")]
    {
        let sequential = outcome(Overlap::Never, panics);
        assert_eq!(sequential.0, says);
        assert_eq!(outcome(Overlap::Always, panics), sequential);
    }
}

/// Keeps all and counts groups.
struct Counting(u64);

impl GroupFilter for Counting {
    fn admit(&mut self, scores: &[f64]) -> Vec<bool> {
        vec![true; scores.len()]
    }

    fn adapt(&mut self, _: &GroupOutcome) {
        self.0 += 1;
    }

    fn state(&self) -> serde_json::Value {
        self.0.into()
    }

    fn restore(&mut self, state: &serde_json::Value) -> Result<()> {
        self.0 = state.as_u64().ok_or_else(|| Error::checkpoint("expected a number"))?;
        Ok(())
    }
}

#[test]
fn a_run_may_be_resumed_with_the_other_order() {
    let whole = run(stateful().0, stateful().1);
    let folder = tempfile::tempdir().unwrap();
    let mut steps = Vec::new();
    for (from, to, overlap) in [(0, 3, Overlap::Always), (3, 5, Overlap::Never), (5, 9, Overlap::Always)] {
        let (parts, config) = stateful();
        let config = TrainerConfig { overlap_rewards: overlap, ..config };
        let mut part = trainer(parts, config).with_folder(folder.path());
        if from > 0 {
            part.resume(&folder.path().join(format!("checkpoints/step-{from:06}"))).unwrap();
        }
        steps.extend((from..to).map(|_| Ok(part.step().unwrap().metrics.without_timings())));
        part.save().unwrap();
        if to == 9 {
            assert_eq!(weights(&mut part), whole.weights);
            assert_eq!(part.progress(), &whole.progress);
        }
    }
    assert_eq!(steps, whole.steps);
}

/// A surrogate with a cheaper path for previews.
struct Cheaper(Arc<Mutex<Vec<&'static str>>>);

impl Reward for Cheaper {
    fn name(&self) -> &str {
        "taste"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        self.0.lock().unwrap().push("finals");
        Ok(samples.iter().map(|s| Score::Value(taste(s))).collect())
    }

    fn preview(&mut self, previews: &[Sample]) -> Result<Vec<Score>> {
        self.0.lock().unwrap().push("previews");
        Ok(previews.iter().map(|s| Score::Value(taste(s) + 1.0)).collect())
    }
}

#[test]
fn previews_are_scored_by_the_surrogates_own_way() {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let filter = Box::new(Moody::default());
    let rewards = alone(Box::new(Cheaper(calls.clone())));
    let parts = changed(parts(), |p| {
        p.rewards = rewards;
        p.filter = filter;
        p.surrogate = Some("taste".into());
    });
    let mut trainer = trainer(parts, TrainerConfig { max_attempts: 1, ..config(1) });
    let metrics = trainer.step().unwrap().metrics;
    assert_eq!(*calls.lock().unwrap(), ["previews", "finals"]);
    assert_eq!(metrics.get("dgs/pass_rate"), Some(1.0), "previews score above 1");
    assert!(metrics.get("reward").unwrap() <= 1.0, "and never become rewards");
}
