//! Loops of the program's own, written from the engine's parts.
#![cfg(feature = "flex")]
#![allow(clippy::unwrap_used)]

mod common;

use std::any::Any;
use std::ops::ControlFlow;
use std::path::Path;

use common::folder;
use counterpoint::burn::tensor::Device;
use counterpoint::config::TrainerConfig;
use counterpoint::metrics::{Metrics, MetricsLog};
use counterpoint::trainer::Outcome;
use counterpoint::{Drawn, Error, Event, Group, Journal, Observer, Result, StopToken, Updater, unwatched};
use counterpoint_embedding::{Composer, parts, run};

fn config() -> TrainerConfig {
    TrainerConfig { steps: 20, group_size: 6, learning_rate: 0.1, warmup_steps: 0, ..TrainerConfig::default() }
}

fn bits(updater: &Updater) -> Vec<u32> {
    let policy: &dyn Any = updater.policy();
    policy.downcast_ref::<Composer>().unwrap().bits().unwrap()
}

/// Ranks in place of rewards: the best melody of a group counts 1, the worst -1.
fn ranks(rewards: &[f64]) -> Vec<f64> {
    let below = |reward: &f64| rewards.iter().filter(|other| *other < reward).count() as f64;
    let above = |reward: &f64| rewards.iter().filter(|other| *other > reward).count() as f64;
    rewards.iter().map(|reward| (below(reward) - above(reward)) / (rewards.len() - 1) as f64).collect()
}

/// Two rollouts for each update, with advantages of the program's own, logged and kept.
fn train(folder: &Path, steps: u64) -> Result<(Vec<f64>, Vec<u32>)> {
    let (mut rollouts, mut updater) = parts(&Device::flex())?.split(&config(), 7)?;
    let mut journal = Journal::new(folder);
    let mut rewards = Vec::new();
    for step in 0..steps {
        journal.open(step)?;
        // The second rollout is drawn from the same policy, for other tasks.
        let mut drawn = rollouts.draw(updater.policy(), step, 2 * step..2 * step + 1, &mut unwatched)?;
        drawn.extend(rollouts.draw(updater.policy(), step, 2 * step + 1..2 * step + 2, &mut unwatched)?);
        let mut metrics = Drawn::metrics(&drawn);
        let group = |drawn: Drawn| {
            let advantages = ranks(&drawn.rewards);
            Group::new(drawn.cursor, drawn.rollouts.into_iter().map(|r| r.trajectory).collect(), advantages)
        };
        let groups: Vec<Group> = drawn.into_iter().map(group).collect();
        metrics.extend(updater.update(step, &groups, &mut unwatched)?.metrics);
        rewards.extend(metrics.get("reward"));
        journal.log(step, &metrics)?;
        journal.checkpoint(step + 1, metrics.get("reward"), |dir| updater.save(dir))?;
    }
    Ok((rewards, bits(&updater)))
}

#[test]
fn a_loop_from_parts_learns_logs_and_keeps_checkpoints() {
    let folder = folder("loop");
    let (rewards, trained) = train(&folder, 20).unwrap();
    let mean = |r: &[f64]| r.iter().sum::<f64>() / r.len() as f64;
    assert!(mean(&rewards[15..]) > mean(&rewards[..5]) + 0.1, "{rewards:?}");
    assert_eq!(MetricsLog::read(&folder.join("metrics.jsonl")).unwrap().len(), 20);

    let (_, mut updater) = parts(&Device::flex()).unwrap().split(&config(), 7).unwrap();
    updater.load(&folder.join("checkpoints/step-000020")).unwrap();
    assert_eq!(bits(&updater), trained);
}

#[test]
fn a_trainer_is_what_its_parts_do() {
    let (mut rollouts, mut updater) = parts(&Device::flex()).unwrap().split(&config(), 3).unwrap();
    for step in 0..4 {
        let drawn = rollouts.draw(updater.policy(), step, step..step + 1, &mut unwatched).unwrap();
        let groups: Vec<Group> = drawn.into_iter().filter_map(|d| updater.group(d).unwrap()).collect();
        assert!(updater.update(step, &groups, &mut unwatched).unwrap().updated);
    }
    let mut trainer = counterpoint::Trainer::new(parts(&Device::flex()).unwrap(), config(), 3).unwrap();
    for _ in 0..4 {
        trainer.step().unwrap();
    }
    assert_eq!(bits(trainer.updater_mut()), bits(&updater));
}

/// Adds a metric, ends the run after the third step, and keeps a file in checkpoints.
#[derive(Default)]
struct Watcher {
    notes: usize,
}

impl Observer for Watcher {
    fn event(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>> {
        if let Event::Group { rollouts, .. } = event {
            self.notes += rollouts.iter().map(|r| r.sample.response.split_whitespace().count()).sum::<usize>();
        }
        let ends = matches!(event, Event::Step(report) if report.step == 2);
        Ok(if ends { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn metrics(&mut self, _step: u64, metrics: &mut Metrics) -> Result<()> {
        metrics.insert("notes_played", self.notes as f64);
        Ok(())
    }

    fn save(&mut self, dir: &Path) -> Result<()> {
        std::fs::write(dir.join("notes.txt"), self.notes.to_string()).map_err(|e| Error::io("cannot write", dir, e))
    }

    fn load(&mut self, dir: &Path) -> Result<()> {
        let text = std::fs::read_to_string(dir.join("notes.txt")).map_err(|e| Error::io("cannot read", dir, e))?;
        self.notes = text.parse().map_err(|_| Error::checkpoint("notes.txt: expected a number"))?;
        Ok(())
    }
}

#[test]
fn an_observer_adds_metrics_ends_the_run_and_is_resumed() {
    let folder = folder("observer");
    let mut first = run(&Device::flex(), 10, 1).unwrap().with_folder(&folder);
    first.observe(Watcher::default());
    assert_eq!(first.run(&StopToken::new()).unwrap(), Outcome::Cancelled);
    assert_eq!(first.progress().step, 3);
    drop(first);

    let mut second = run(&Device::flex(), 10, 1).unwrap().with_folder(&folder);
    second.observe(Watcher::default());
    second.resume(&folder.join("checkpoints/step-000003")).unwrap();
    second.step().unwrap();
    let logged: Vec<f64> = MetricsLog::read(&folder.join("metrics.jsonl"))
        .unwrap()
        .into_iter()
        .map(|(_, metrics)| metrics.get("notes_played").unwrap())
        .collect();
    // Two groups a step, six melodies each, of seven notes.
    assert_eq!(logged, [84.0, 168.0, 252.0, 336.0]);
}
