//! A run in the hands of the embedding program: stepped, listened to, cancelled, resumed.
#![cfg(feature = "flex")]
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::mpsc;

use common::{folder, listen, step, trainer, weights};
use counterpoint::checkpoint::latest;
use counterpoint::metrics::{Metrics, MetricsLog};
use counterpoint::trainer::Outcome;
use counterpoint::{Event, StopToken};

#[test]
fn the_composer_learns_to_move_by_steps() {
    let mut trainer = trainer(40, 1);
    let rewards: Vec<f64> = (0..40).map(|_| trainer.step().unwrap().metrics.get("reward").unwrap()).collect();
    let mean = |r: &[f64]| r.iter().sum::<f64>() / r.len() as f64;
    let (first, last) = (mean(&rewards[..5]), mean(&rewards[35..]));
    assert!(last > first + 0.3, "from {first} to {last}");
}

#[test]
fn stepping_by_hand_is_what_run_does() {
    let mut by_hand = trainer(6, 3);
    let steps: Vec<_> = (0..6).map(|_| step(&mut by_hand)).collect();
    assert_ne!(steps[0], steps[1]);
    let mut run = trainer(6, 3);
    assert_eq!(run.run(&StopToken::new()).unwrap(), Outcome::Completed);
    assert_eq!(weights(&mut run), weights(&mut by_hand));
    assert_eq!(run.progress(), by_hand.progress());
    assert_ne!(weights(&mut run), weights(&mut trainer(6, 3)), "training changes the weights");
}

#[test]
fn events_tell_the_loop_in_its_order() {
    let mut run = trainer(3, 1).with_folder(folder("events"));
    let log = listen(&mut run);
    run.run(&StopToken::new()).unwrap();
    let task = |n: u64| [format!("task {n}: attempt 1, 6 of 6 admitted"), format!("task {n}: 6 of 6 learned from")];
    let expected = [
        &task(0)[..],
        &task(1),
        &["step 0".into()],
        &task(2),
        &task(3),
        &["step 1".into(), "checkpoint 2".into()],
        &task(4),
        &task(5),
        &["step 2".into(), "checkpoint 3".into()],
    ];
    assert_eq!(*log.lock().unwrap(), expected.concat());
}

#[test]
fn a_run_is_cancelled_from_another_thread_on_a_step_boundary() {
    let folder = folder("cancel");
    let many = 1_000_000;
    let mut run = trainer(many, 1).with_folder(&folder);
    let (tell, told) = mpsc::channel();
    run.on_event(move |event| {
        if let Event::Step(report) = event {
            // Nobody listens any more once the run was asked to stop.
            let _ = tell.send(report.step);
        }
    });
    let stop = StopToken::new();
    let asked = stop.clone();
    let training = std::thread::spawn(move || {
        let outcome = run.run(&asked);
        (run, outcome)
    });
    while told.recv().unwrap() < 2 {}
    stop.set();
    let (run, outcome) = training.join().unwrap();
    assert_eq!(outcome.unwrap(), Outcome::Cancelled);
    let done = run.progress().step;
    assert!((3..many).contains(&done));
    let checkpoint = latest(&folder.join("checkpoints")).unwrap().unwrap();
    assert!(checkpoint.ends_with(format!("step-{done:06}")), "{}", checkpoint.display());
    assert_eq!(metrics(&folder).len() as u64, done);
}

/// `metrics.jsonl` of the run in `folder`, timings aside.
fn metrics(folder: &std::path::Path) -> Vec<(u64, Metrics)> {
    let lines = MetricsLog::read(&folder.join("metrics.jsonl")).unwrap();
    lines.into_iter().map(|(step, metrics)| (step, metrics.without_timings())).collect()
}

#[test]
fn a_run_that_is_resumed_in_a_new_trainer_equals_the_uninterrupted_one_bit_for_bit() {
    let (whole, halves) = (folder("whole"), folder("halves"));
    let mut uninterrupted = trainer(7, 5).with_folder(&whole);
    uninterrupted.run(&StopToken::new()).unwrap();

    let mut first = trainer(7, 5).with_folder(&halves);
    let stop = StopToken::new();
    let from_within = stop.clone();
    first.on_event(move |event| {
        if matches!(event, Event::Step(report) if report.step == 2) {
            from_within.set();
        }
    });
    assert_eq!(first.run(&stop).unwrap(), Outcome::Cancelled);
    drop(first);

    let mut second = trainer(7, 5).with_folder(&halves);
    second.resume(&latest(&halves.join("checkpoints")).unwrap().unwrap()).unwrap();
    assert_eq!(second.progress().step, 3);
    assert_eq!(second.run(&StopToken::new()).unwrap(), Outcome::Completed);
    assert_eq!(weights(&mut second), weights(&mut uninterrupted));
    assert_eq!(metrics(&halves), metrics(&whole));
    assert_eq!(metrics(&whole).len(), 7);
}
