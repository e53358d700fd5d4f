//! The noise that regularises training: one draw per update, and in nothing but updates.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Faults, Heard, ToyPolicy, config, parts};
use counterpoint::Trainer;
use counterpoint::config::TrainerConfig;
use counterpoint::trainer::Parts;

/// Two steps of two updates, noisy or not, and the noise of each chunk that was scored for an update.
fn run(seed: u64, chunk: usize, noisy: bool) -> (Vec<f32>, Vec<f64>) {
    let heard = Heard::default();
    let mut policy = ToyPolicy::new(Faults::default());
    if noisy {
        policy = policy.noisy(heard.clone());
    }
    let config = TrainerConfig { updates_per_batch: 2, chunk: chunk.into(), ..config(2) };
    let mut trainer = Trainer::new(Parts { policy: Box::new(policy), ..parts() }, config, seed).unwrap();
    // The gate passes: it compares scores without noise with those of the sampler.
    let ratios = (0..2).map(|_| trainer.step().unwrap().metrics.get("ratio_mean").unwrap()).collect();
    let heard = heard.lock().unwrap().clone();
    (heard, ratios)
}

#[test]
fn every_chunk_of_an_update_gets_the_same_noise_and_every_update_its_own() {
    let (heard, ratios) = run(7, 3, true);
    let mut updates: Vec<(f32, usize)> = Vec::new();
    for noise in heard.clone() {
        match updates.last_mut() {
            Some((last, chunks)) if *last == noise => *chunks += 1,
            _ => updates.push((noise, 1)),
        }
    }
    assert_eq!(updates.len(), 4, "{updates:?}");
    assert!(updates.iter().all(|(_, chunks)| *chunks > 1), "{updates:?}");
    let distinct = |i: usize| updates[..i].iter().all(|(noise, _)| *noise != updates[i].0);
    assert!((0..4).all(distinct), "{updates:?}");
    assert!(ratios[0] > 1.3, "updates score with noise: exp(0.5) times {ratios:?}");
    assert!((run(7, 3, false).1[0] - 1.0).abs() < 0.2);

    let first = |chunk| run(7, chunk, true).0[0];
    assert_eq!(first(1), first(1000), "whatever the chunk");
    assert_eq!(run(7, 3, true).0, heard);
    assert_ne!(run(8, 3, true).0, heard);
}
