//! Several trainers in one process do not see each other.
#![cfg(feature = "flex")]
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Barrier;

use common::{step, trainer, weights};
use counterpoint::Trainer;

const STEPS: u64 = 15;

type Run = (Vec<Vec<(String, u64)>>, Vec<u32>);

fn all_of(trainer: &mut Trainer) -> Run {
    let steps = (0..STEPS).map(|_| step(trainer)).collect();
    (steps, weights(trainer))
}

fn alone(seed: u64) -> Run {
    all_of(&mut trainer(STEPS, seed))
}

#[test]
fn two_trainers_on_two_threads_give_exactly_what_each_gives_alone() {
    let expected = [1, 2].map(alone);
    assert_ne!(expected[0], expected[1]);
    // They are made and stepped at the same time.
    let barrier = Barrier::new(2);
    let together = std::thread::scope(|scope| {
        let threads = [1, 2].map(|seed| {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                let mut trainer = trainer(STEPS, seed);
                let steps = (0..STEPS).map(|_| {
                    barrier.wait();
                    step(&mut trainer)
                });
                (steps.collect::<Vec<_>>(), weights(&mut trainer))
            })
        });
        threads.map(|thread| thread.join().unwrap())
    });
    assert_eq!(together, expected);
}

#[test]
fn two_trainers_stepped_in_turn_give_exactly_what_each_gives_alone() {
    let mut trainers = [1, 2].map(|seed| trainer(STEPS, seed));
    let mut steps = [Vec::new(), Vec::new()];
    for _ in 0..STEPS {
        for (trainer, steps) in trainers.iter_mut().zip(&mut steps) {
            steps.push(step(trainer));
        }
    }
    for ((trainer, steps), seed) in trainers.iter_mut().zip(steps).zip([1, 2]) {
        assert_eq!((steps, weights(trainer)), alone(seed));
    }
}

#[test]
fn a_trainer_that_moves_between_threads_goes_on_as_if_it_had_not() {
    let mut trainer = trainer(STEPS, 1);
    let mut steps = vec![step(&mut trainer)];
    for _ in 1..STEPS {
        (trainer, steps) = std::thread::spawn(move || {
            steps.push(step(&mut trainer));
            (trainer, steps)
        })
        .join()
        .unwrap();
    }
    assert_eq!((steps, weights(&mut trainer)), alone(1));
}
