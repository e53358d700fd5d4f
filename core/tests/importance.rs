//! Truncated importance weights between sampling and training, against numbers computed by hand.
#![allow(clippy::unwrap_used)]

mod common;

use burn::tensor::{Device, Tensor};
use common::{TablePolicy, trajectory};
use counterpoint::config::{ImportanceCap, TrainerConfig};
use counterpoint::metrics::Metrics;
use counterpoint::objective::Kl;
use counterpoint::{Group, Objective, Streams, SyncGrpoConfig, Terms, Updater, unwatched};

/// Log-probabilities of two candidates' texts and images as they are now, and as they were sampled. The log-ratios of the
/// one to the other are 0.2, 1.5 and -0.1, then -0.5 and 2.
const CURRENT: [[&[f64]; 2]; 2] = [[&[-1.0, -2.0], &[-0.5]], [&[-1.5], &[-0.7]]];
const SAMPLED: [[&[f64]; 2]; 2] = [[&[-1.2, -3.5], &[-0.4]], [&[-1.0], &[-2.7]]];
/// `min(exp(log-ratio), 2)`.
const WEIGHTS: [f64; 5] = [1.221_402_8, 2.0, 0.904_837_4, 0.606_530_7, 2.0];
/// Advantage, 1 and -0.5, times a_und / G = 0.2 or a_gen / G = 0.3.
const GAINS: [f64; 5] = [0.2, 0.2, 0.3, -0.1, -0.15];

fn table(rows: [[&[f64]; 2]; 2]) -> [[Vec<f64>; 2]; 2] {
    rows.map(|row| row.map(<[f64]>::to_vec))
}

/// The metrics of one update with a learning rate of 0.1.
fn update(importance_cap: ImportanceCap, updates_per_batch: usize, chunk: usize) -> Metrics {
    let config = TrainerConfig {
        importance_cap,
        updates_per_batch,
        chunk: chunk.into(),
        gate_tolerance: 10.0,
        max_grad_norm: 100.0,
        ..TrainerConfig::default()
    };
    let objective = SyncGrpoConfig { kl: Kl::None, beta: 0.0, ..SyncGrpoConfig::default() };
    let policy = TablePolicy::new(&table(CURRENT), &table(CURRENT));
    let mut updater = Updater::new(Box::new(policy), &config, Streams::new(0))
        .unwrap()
        .with_objective(Box::new(objective.init().unwrap()))
        .with_schedule(|_: u64| 0.1);
    let trajectories = table(SAMPLED).iter().zip(0..).map(|(old, i)| trajectory(i, old, vec![true], 1)).collect();
    let groups = [Group::new(0, trajectories, vec![1.0, -0.5])];
    updater.update(0, &groups, &mut unwatched).unwrap().metrics
}

#[track_caller]
fn assert_close(got: Option<f64>, expected: f64) {
    let got = got.unwrap();
    assert!((got - expected).abs() < 2e-6, "expected {expected}, got {got}");
}

#[test]
fn surrogate_and_gradient_are_weighted() {
    let loss = -WEIGHTS.iter().zip(GAINS).map(|(w, gain)| w * gain).sum::<f64>();
    let norm = WEIGHTS.iter().zip(GAINS).map(|(w, gain)| (w * gain).powi(2)).sum::<f64>().sqrt();
    for chunk in [1, 8] {
        let metrics = update(ImportanceCap::At(2.0), 1, chunk);
        assert_close(metrics.get("loss"), loss);
        assert_close(metrics.get("loss"), -0.555_078_7);
        assert_close(metrics.get("grad_norm"), norm);
        assert_close(metrics.get("importance_mean"), 1.346_554_2);
        assert_eq!(metrics.get("ratio_max"), Some(1.0), "the ratio is another thing");
    }
    let metrics = update(ImportanceCap::None, 1, 8);
    assert_close(metrics.get("loss"), -0.45);
    assert_eq!(metrics.get("importance_mean"), None);
}

#[test]
fn later_updates_from_a_batch_keep_the_weights_of_the_first() {
    // AdamW's first step moves each log-probability by 0.1 in the direction of its gain, which no clip stops.
    let moved = |gain: f64| gain * (0.1 * gain.signum()).exp();
    let loss = |gain: &dyn Fn(f64) -> f64| -WEIGHTS.iter().zip(GAINS).map(|(w, g)| w * gain(g)).sum::<f64>();
    let expected = (loss(&|gain| gain) + loss(&moved)) / 2.0;
    let metrics = update(ImportanceCap::At(2.0), 2, 8);
    assert_close(metrics.get("loss"), expected);
    assert_close(metrics.get("importance_mean"), 1.346_554_2);
}

#[test]
fn the_divergence_is_not_weighted() {
    let device = Device::flex().autodiff();
    let constant = |value: f32| Tensor::<2>::from_data([[value]], &device);
    let mut terms = Terms::new(constant(-1.0).require_grad(), constant(-1.0), constant(1.0), constant(1.0));
    terms.reference = Some(constant(-1.5));
    terms.importance = Some(constant(2.0));
    let objective = SyncGrpoConfig { beta: 1.0, ..SyncGrpoConfig::default() }.init().unwrap();
    let loss = objective.loss(terms).unwrap().stats.loss;
    // 2 * 1 - (exp(-0.5) + 0.5 - 1).
    assert_close(Some(loss), -1.893_469_3);
}
