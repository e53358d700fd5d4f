//! The noise that regularises training: one draw per batch, in its updates and in nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Faults, Heard, ToyPolicy, changed, config, parts};
use counterpoint::Trainer;
use counterpoint::config::TrainerConfig;

/// Two steps of two updates, noisy or not, and the noise of each chunk that was scored for an update.
fn run(seed: u64, chunk: usize, noisy: bool) -> (Vec<f32>, Vec<f64>) {
    let heard = Heard::default();
    let mut policy = ToyPolicy::new(Faults::default());
    if noisy {
        policy = policy.noisy(heard.clone());
    }
    let config = TrainerConfig { updates_per_batch: 2, chunk: chunk.into(), ..config(2) };
    let mut trainer = Trainer::new(changed(parts(), |p| p.policy = Box::new(policy)), config, seed).unwrap();
    // The gate passes: it compares scores without noise with those of the sampler.
    let ratios = (0..2).map(|_| trainer.step().unwrap().metrics.get("ratio_mean").unwrap()).collect();
    let heard = heard.lock().unwrap().clone();
    (heard, ratios)
}

#[test]
fn all_updates_of_a_batch_get_the_same_noise_and_every_batch_its_own() {
    let (heard, ratios) = run(7, 3, true);
    let mut batches: Vec<(f32, usize)> = Vec::new();
    for noise in heard.clone() {
        match batches.last_mut() {
            Some((last, chunks)) if *last == noise => *chunks += 1,
            _ => batches.push((noise, 1)),
        }
    }
    assert_eq!(batches.len(), 2, "{batches:?}");
    let chunks = run(7, 1000, true).0.len() / 4;
    assert!(batches.iter().all(|(_, count)| *count > 2 * chunks), "{batches:?}");

    let first = |chunk| run(7, chunk, true).0[0];
    assert_eq!(first(1), first(1000), "whatever the chunk");
    assert_eq!(run(7, 3, true).0, heard);
    assert_ne!(run(8, 3, true).0, heard);
    // Half a nat of noise stands above and below the line of the ratio.
    assert!(ratios.iter().all(|ratio| (ratio - 1.0).abs() < 0.1), "{ratios:?}");
}
