//! Determinism, cancellation, and resumed runs that equal the uninterrupted one bit for bit.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::Path;

use common::{config, listen, parts, stateful, trainer, weights};
use counterpoint::Parts;
use counterpoint::config::TrainerConfig;
use counterpoint::metrics::{Metrics, MetricsLog};
use counterpoint::trainer::Outcome;
use counterpoint::{ErrorKind, Event, StopToken, Trainer};

/// Runs `steps` steps: the metrics of each, timings aside.
fn steps(trainer: &mut Trainer, steps: usize) -> Vec<Metrics> {
    (0..steps).map(|_| trainer.step().unwrap().metrics.without_timings()).collect()
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let run = |seed| {
        let (parts, config) = stateful();
        let mut trainer = Trainer::new(parts, config, seed).unwrap();
        let metrics = steps(&mut trainer, 4);
        (metrics, weights(&mut trainer))
    };
    let first = run(7);
    assert_eq!(run(7), first);
    let other = run(8);
    assert!(other.0 != first.0 && other.1 != first.1);
}

#[test]
fn equal_runs_write_equal_files() {
    let files = || {
        let folder = tempfile::tempdir().unwrap();
        let (parts, config) = stateful();
        let mut trainer = Trainer::new(parts, config, 7).unwrap().with_folder(folder.path());
        steps(&mut trainer, 2);
        trainer.save().unwrap();
        let dir = folder.path().join("checkpoints/step-000002");
        ["parameters.bpk", "optimizer.bpk"].map(|file| std::fs::read(dir.join(file)).unwrap())
    };
    assert!(files() == files());
}

fn plain() -> (Parts, TrainerConfig) {
    (parts(), config(9))
}

#[test]
fn a_resumed_run_equals_the_uninterrupted_one_bit_for_bit() {
    for make in [plain, stateful] {
        let (parts, config) = make();
        let mut whole = trainer(parts, config);
        let expected = steps(&mut whole, 9);

        let folder = tempfile::tempdir().unwrap();
        let mut done = Vec::new();
        // Interrupted twice, every part made anew each time.
        for (from, to) in [(0, 3), (3, 5), (5, 9)] {
            let (parts, config) = make();
            let mut part = trainer(parts, config).with_folder(folder.path());
            if from > 0 {
                part.resume(&folder.path().join(format!("checkpoints/step-{from:06}"))).unwrap();
                assert_eq!(part.progress().step, from);
            }
            done.extend(steps(&mut part, (to - from) as usize));
            part.save().unwrap();
            if to == 9 {
                assert_eq!(weights(&mut part), weights(&mut whole));
                assert_eq!(part.progress(), whole.progress());
                assert_eq!(part.rollouts().filter().state(), whole.rollouts().filter().state());
            }
        }
        assert_eq!(done, expected);
    }
}

#[test]
fn the_stateful_run_does_move_its_threshold() {
    let (parts, config) = stateful();
    let before = parts.filter.state();
    let mut trainer = trainer(parts, config);
    steps(&mut trainer, 2);
    assert_ne!(trainer.rollouts().filter().state(), before);
}

#[test]
fn a_run_that_is_cancelled_stops_on_a_step_boundary_with_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut run = trainer(parts(), config(9)).with_folder(folder.path());
    let log = listen(&mut run);
    let stop = StopToken::new();
    let asked = stop.clone();
    run.on_event(move |event| {
        // In the middle of step 2.
        if let Event::Drafted { task, .. } = event
            && task.id == 2
        {
            asked.set();
        }
    });
    assert_eq!(run.run(&stop).unwrap(), Outcome::Cancelled);
    assert_eq!(run.progress().step, 3);
    assert_eq!(log.lock().unwrap()[7..], ["group [0, 1, 2, 3] kept [0, 1, 2, 3]", "step 2", "checkpoint 3"]);
    drop(run);

    let mut whole = trainer(parts(), config(9));
    steps(&mut whole, 9);
    let mut rest = trainer(parts(), config(9)).with_folder(folder.path());
    rest.resume(&folder.path().join("checkpoints/step-000003")).unwrap();
    assert_eq!(rest.run(&StopToken::new()).unwrap(), Outcome::Completed);
    assert_eq!(weights(&mut rest), weights(&mut whole));
}

/// The metrics file in `folder`, timings aside.
fn logged(folder: &Path) -> Vec<(u64, Metrics)> {
    let lines = MetricsLog::read(&folder.join("metrics.jsonl")).unwrap();
    lines.into_iter().map(|(step, metrics)| (step, metrics.without_timings())).collect()
}

#[test]
fn the_metrics_file_of_a_run_that_was_wound_back_is_that_of_the_uninterrupted_one() {
    let folder = tempfile::tempdir().unwrap();
    let make = |folder: &Path| {
        let (parts, config) = stateful();
        trainer(parts, TrainerConfig { checkpoint_every: 2, ..config }).with_folder(folder)
    };
    let whole = folder.path().join("whole");
    steps(&mut make(&whole), 6);

    // Killed after step 4, of which there is no checkpoint, then wound back within one process too.
    let part = folder.path().join("part");
    steps(&mut make(&part), 5);
    let mut run = make(&part);
    run.resume(&part.join("checkpoints/step-000004")).unwrap();
    steps(&mut run, 1);
    run.resume(&part.join("checkpoints/step-000004")).unwrap();
    steps(&mut run, 2);
    assert_eq!(logged(&part), logged(&whole));
    assert_eq!(logged(&part).len(), 6);
}

fn refused(run: &mut Trainer, dir: &Path, says: &str) {
    let error = run.resume(dir).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checkpoint);
    assert!(error.to_string().contains(says), "{error}");
    assert_eq!(run.progress().step, 0, "the trainer is unchanged");
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let table = |text: &str| text.parse::<toml::Table>().unwrap();
    let text = table("[objective]\nbeta = 0.01\n[evaluation]\nkind = 'auto'\nroot = 'validation'\n");
    let (made, settings) = stateful();
    let mut run = trainer(made, settings).with_folder(folder.path()).with_run_config(&text).unwrap();
    run.step().unwrap();
    run.save().unwrap();
    let dir = folder.path().join("checkpoints/step-000001");
    drop(run);

    let (other, settings) = stateful();
    refused(
        &mut Trainer::new(other, settings, 8).unwrap().with_folder(folder.path()).with_run_config(&text).unwrap(),
        &dir,
        "the seed",
    );
    let (other, settings) = stateful();
    let changed = table("[objective]\nbeta = 0.02\n[evaluation]\nkind = 'auto'\nroot = 'validation'\n");
    let mut run = trainer(other, settings).with_folder(folder.path()).with_run_config(&changed).unwrap();
    refused(&mut run, &dir, "objective.beta");
    drop(run);
    // What is evaluated after training is what was evaluated before.
    let (other, settings) = stateful();
    let elsewhere = table("[objective]\nbeta = 0.01\n[evaluation]\nkind = 'rewards'\nroot = 'elsewhere'\n");
    let mut run = trainer(other, settings).with_folder(folder.path()).with_run_config(&elsewhere).unwrap();
    refused(&mut run, &dir, "evaluation.root");
    drop(run);
    // Settings of the trainer that ruin a policy, whatever the program says of its config.
    let (other, settings) = stateful();
    let ruinous = TrainerConfig { learning_rate: 0.5, ..settings };
    refused(&mut trainer(other, ruinous).with_folder(folder.path()), &dir, "trainer.learning_rate");
    // A damaged file is found before anything is loaded.
    let parameters = dir.join("parameters.bpk");
    let mut bytes = std::fs::read(&parameters).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&parameters, bytes).unwrap();
    let (other, settings) = stateful();
    let mut fresh = trainer(other, settings).with_folder(folder.path()).with_run_config(&text).unwrap();
    let before = weights(&mut fresh);
    refused(&mut fresh, &dir, "parameters.bpk");
    assert_eq!(weights(&mut fresh), before);
}
