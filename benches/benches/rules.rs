//! What costs no forward pass: the objective, Dynamic Group Scaling, the reward ensemble.
//!
//! `cargo bench -p counterpoint-benches --bench rules`
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;
use std::time::Duration;

use burn::tensor::{Device, Tensor, TensorData};
use counterpoint::{
    DynamicGroupScalingConfig, GroupFilter, GroupOutcome, Key, Objective, Result, Reward, RewardEnsemble, Sample,
    Score, Streams, SyncGrpoConfig, Task, Terms,
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

/// Candidates of a group.
const G: usize = 8;
/// Denoising steps.
const T: usize = 8;
/// Image positions.
const N: usize = 64;
/// Text tokens of an answer.
const TEXT: usize = 5;

fn numbers(purpose: &str, count: usize) -> Vec<f32> {
    Streams::new(0).stream(Key::task(0, 0), purpose, 0).uniforms(count)
}

/// `rows` replays of `columns` decisions each, one candidate after the other.
fn terms(rows: usize, columns: usize) -> Terms {
    let device = Device::flex().autodiff();
    let tensor = |purpose: &str, width: usize, low: f32, high: f32| {
        let values: Vec<f32> = numbers(purpose, rows * width).iter().map(|u| low + u * (high - low)).collect();
        Tensor::<2>::from_data(TensorData::new(values, [rows, width]), &device)
    };
    let log_probs = |purpose| tensor(purpose, columns, -5.0, -4.5);
    let (advantages, weights) =
        (tensor("advantage", 1, -1.0, 1.0), Tensor::full([rows, columns], 0.6 / G as f32, &device));
    let mut terms = Terms::new(log_probs("current").require_grad(), log_probs("old"), advantages, weights);
    terms.reference = Some(log_probs("reference"));
    terms
}

/// Loss and gradient of a group's answers and images, each as one chunk.
fn objective(c: &mut Criterion) {
    let objective = SyncGrpoConfig::default().init().unwrap();
    c.bench_function("objective: loss and gradient of a group", |b| {
        b.iter_batched(
            || [terms(G, TEXT), terms(G * T, N)],
            |chunks| chunks.map(|terms| objective.loss(terms).unwrap().loss.backward()),
            BatchSize::LargeInput,
        );
    });
}

fn dynamic_group_scaling(c: &mut Criterion) {
    let mut filter = DynamicGroupScalingConfig::default().init().unwrap();
    let scores: Vec<f64> = numbers("surrogate", 64).into_iter().map(f64::from).collect();
    c.bench_function("DGS: admit and adapt, 64 drafts", |b| {
        b.iter(|| {
            let admitted = filter.admit(black_box(&scores)).iter().filter(|a| **a).count();
            filter.adapt(&GroupOutcome::new(scores.clone(), admitted, scores.len()));
        });
    });
}

/// A reward that costs nothing, so that only the ensemble is measured.
struct Cheap(&'static str);

impl Reward for Cheap {
    fn name(&self) -> &str {
        self.0
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        Ok(samples.iter().map(|s| Score::Value(s.candidate as f64 / 48.0)).collect())
    }
}

fn ensemble(c: &mut Criterion) {
    let names = ["tier", "ber", "der", "fer"];
    let weights = names.iter().map(|name| ((*name).to_owned(), 0.25)).collect();
    let rewards = names.map(|name| Box::new(Cheap(name)) as Box<dyn Reward>).into();
    let mut ensemble = RewardEnsemble::new(rewards, [("default".to_owned(), weights)].into()).unwrap();
    let task = Task::new(0, "where is <ada>?");
    let samples: Vec<Sample> =
        (0..48).map(|i| Sample::new(&task, i, "<ada> at the beach".into(), "beach".into(), None)).collect();
    c.bench_function("ensemble: 48 samples, 4 rewards", |b| b.iter(|| ensemble.score(black_box(&samples)).unwrap()));
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = objective, dynamic_group_scaling, ensemble
}
criterion_main!(benches);
