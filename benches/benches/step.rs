//! One whole training step of the recipe `examples/sync_r1.toml`: drafts, previews, images, rewards, update.
//!
//! `cargo bench -p counterpoint-benches --bench step`
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::time::Duration;

use burn::tensor::Device;
use counterpoint::Trainer;
use counterpoint::config::RunConfig;
use counterpoint_examples::parts;
use criterion::{Criterion, SamplingMode, criterion_group, criterion_main};

fn step(c: &mut Criterion) {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    // No checkpoints and no metrics are written; the run must not end while it is measured.
    let config = RunConfig::load(&base.join("sync_r1.toml"), &["trainer.steps=100000".into()]).unwrap();
    let parts = parts(&config, &base, &Device::flex()).unwrap();
    let mut trainer = Trainer::new(parts, config.trainer, config.run.seed).unwrap();
    let mut group = c.benchmark_group("training");
    group.sampling_mode(SamplingMode::Flat);
    group.bench_function("one step of Sync-R1", |b| b.iter(|| trainer.step().unwrap()));
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(10));
    targets = step
}
criterion_main!(benches);
