//! How far a reward tells the candidates of a group apart: a metric, and a warning when it no longer does.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use common::{changed, config, each, parts, taste, trainer};
use counterpoint::config::TrainerConfig;
use counterpoint::{Parts, Reward, RewardEnsemble, Sample, Score, Streams, Task};
use serde_json::json;

/// What was logged.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<u8>>>);

impl Write for Said {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Said {
    /// How often a warning of `reward` was logged by now.
    fn of(&self, reward: &str) -> usize {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        text.lines().filter(|line| line.contains("WARN") && line.contains(&format!("reward `{reward}`"))).count()
    }
}

/// Calls `run` with what it logs.
fn listening(run: impl FnOnce(&Said)) {
    let said = Said::default();
    let writer = said.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    tracing::subscriber::with_default(subscriber, || run(&said));
}

/// A run under `rewards`, each with weight 1, whose tasks say their number.
fn under(rewards: Vec<Box<dyn Reward>>) -> Parts {
    let weights = rewards.iter().map(|reward| (reward.name().to_owned(), 1.0)).collect();
    changed(parts(), |p| {
        p.rewards = RewardEnsemble::new(rewards, [("default".to_owned(), weights)].into()).unwrap();
        p.tasks = Box::new(|_: u64, cursor: u64, _: &Streams| {
            Ok(Task::new(cursor, "1").with_params(json!({ "number": cursor })))
        });
    })
}

fn number(sample: &Sample) -> u64 {
    sample.params["number"].as_u64().unwrap()
}

#[test]
fn the_spread_is_that_within_groups_and_not_between_them() {
    // Two groups of four candidates. Of `pairs` the first has 0, 1, 0, 1 and the second 10, 10, 10, 10: stds of 0.5 and 0.
    let score = |s: &Sample| Score::Value(if number(s) == 1 { 10.0 } else { (s.candidate % 2) as f64 });
    let lonely = |s: &Sample| match s.candidate {
        0 => Score::Value(5.0),
        1 => Score::Fail("no".into()),
        _ => Score::Abstain("no opinion".into()),
    };
    let parts = under(vec![each("pairs", score), each("lonely", lonely)]);
    let metrics = trainer(parts, TrainerConfig { tasks_per_step: 2, ..config(1) }).step().unwrap().metrics;
    assert_eq!(metrics.get("rewards/pairs/group_std"), Some(0.25));
    assert_eq!(metrics.get("rewards/lonely/group_std"), None, "one value is no spread");
    assert!(metrics.get("rewards/pairs/std").unwrap() > 4.0 && metrics.get("rewards/lonely/std") == Some(0.0));
}

#[test]
fn a_reward_that_tells_candidates_apart_no_more_is_warned_of_once() {
    // Each step has one task, so its number is the step's. `revived` has a spread at step 5 and none after it; `levels` has one value
    // a group, another one in each; `rare` has no value in steps 3 and 7.
    let revived = |s: &Sample| Score::Value(if number(s) == 5 { s.candidate as f64 } else { 0.5 });
    let levels = |s: &Sample| Score::Value(number(s) as f64 + 1e-4 * s.candidate as f64);
    let rare = |s: &Sample| match number(s) {
        3 | 7 => Score::Abstain("no opinion".into()),
        _ => Score::Value(1.0),
    };
    listening(|said| {
        let parts = under(vec![
            each("taste", |s| Score::Value(taste(s))),
            each("revived", revived),
            each("levels", levels),
            each("rare", rare),
        ]);
        let mut trainer = trainer(parts, TrainerConfig { tasks_per_step: 1, ..config(30) });
        let mut warned = [None; 4];
        for step in 0..30 {
            trainer.step().unwrap();
            for (first, name) in warned.iter_mut().zip(["taste", "revived", "levels", "rare"]) {
                if first.is_none() && said.of(name) > 0 {
                    *first = Some(step);
                }
            }
        }
        assert_eq!(warned, [None, Some(15), Some(9), Some(11)], "after the tenth step in a row");
        assert_eq!(["revived", "levels", "rare"].map(|name| said.of(name)), [1; 3], "once");
    });
}
