//! What the embedded tiny Show-o costs: sampling, with the model and without, and checkpoints.
//!
//! `cargo bench -p counterpoint-benches --bench showo`
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

use std::time::Duration;

use burn::tensor::{Device, Int, Tensor, TensorData};
use counterpoint::checkpoint::{Keep, Reader, Writer};
use counterpoint::updater::accumulate;
use counterpoint::{Key, Policy, Result, Streams, SyncGrpoConfig};
use counterpoint_benches::{candidates, question, random_group, tiny_showo};
use counterpoint_samplers::{AutoregressiveConfig, Canvas, ImageModel, ImageScores, MaskGitConfig, TextModel};
use counterpoint_showo::ShowoPolicy;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const CANDIDATES: u64 = 8;

/// Scores that are there already: what is left is the sampling rule.
struct Given(Tensor<3>);

impl ImageModel for Given {
    type Prompts = ();

    fn image_tokens(&self) -> usize {
        self.0.dims()[1]
    }

    fn codebook_size(&self) -> usize {
        self.0.dims()[2]
    }

    fn device(&self) -> Device {
        self.0.device()
    }

    fn prepare(&self, _prompts: &[&[u32]], _guidance: f32) -> Result<()> {
        Ok(())
    }

    fn image_scores(&self, (): &(), _codes: Tensor<2, Int>) -> ImageScores {
        self.0.clone().into()
    }
}

fn maskgit(c: &mut Criterion) {
    let policy = tiny_showo().unwrap();
    let (n, k) = (policy.image_tokens(), policy.codebook_size());
    let candidates = candidates(CANDIDATES);
    let config = MaskGitConfig { timesteps: 8, guidance_scale: 2.0, ..MaskGitConfig::default() };
    let sampler = config.init().unwrap();
    let canvases = vec![Canvas::default(); candidates.len()];

    let prompt: Vec<u32> = (1..17).collect();
    let prompts = policy.prepare(&vec![&prompt[..]; candidates.len()], 2.0).unwrap();
    c.bench_function("MaskGIT: one step of 8 images, guided", |b| {
        b.iter_batched_ref(
            || canvases.clone(),
            |canvases| sampler.advance(&policy, &prompts, &candidates, canvases, 1).unwrap(),
            BatchSize::SmallInput,
        );
    });

    let scores = Streams::new(0).stream(Key::task(0, 0), "scores", 0).uniforms(candidates.len() * n * k);
    let given = Given(Tensor::from_data(TensorData::new(scores, [candidates.len(), n, k]), &Device::flex()));
    c.bench_function("MaskGIT: the rule alone, 8 x 64 of 512 codes", |b| {
        b.iter_batched_ref(
            || canvases.clone(),
            |canvases| sampler.advance(&given, &(), &candidates, canvases, 1).unwrap(),
            BatchSize::SmallInput,
        );
    });
}

/// The tiny Show-o without a token that ends a text: every answer is as long as it may be.
struct Endless(ShowoPolicy);

impl TextModel for Endless {
    type Cache = <ShowoPolicy as TextModel>::Cache;

    fn prefill(&self, context: &[u32], copies: usize) -> Result<(Self::Cache, Tensor<2>)> {
        self.0.prefill(context, copies)
    }

    fn advance(&self, cache: &mut Self::Cache, tokens: Tensor<2, Int>) -> Tensor<2> {
        self.0.advance(cache, tokens)
    }

    fn keep(&self, cache: &mut Self::Cache, rows: &[usize]) {
        self.0.keep(cache, rows);
    }

    fn text_device(&self) -> Device {
        self.0.text_device()
    }

    fn stop_tokens(&self) -> &[u32] {
        &[]
    }
}

fn text(c: &mut Criterion) {
    let policy = tiny_showo().unwrap();
    let question = question(&policy).unwrap();
    let policy = Endless(policy);
    let candidates = candidates(CANDIDATES);
    let sampler = AutoregressiveConfig { max_new_tokens: 5, ..AutoregressiveConfig::default() }.init().unwrap();
    c.bench_function("text: 8 answers of 5 tokens", |b| {
        b.iter(|| sampler.generate(&policy, &question, &candidates).unwrap());
    });
}

fn checkpoint(c: &mut Criterion) {
    let mut policy = tiny_showo().unwrap();
    // One update, so that there is optimizer state.
    let group = random_group(&policy, 2, 1).unwrap();
    accumulate(&mut policy, &SyncGrpoConfig::default().init().unwrap(), &[group], 4, None).unwrap();
    policy.learner().apply(1e-6, 1.0).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let mut step = 0;
    let mut write = |policy: &mut ShowoPolicy| {
        step += 1;
        let writer = Writer::begin(folder.path(), step).unwrap();
        policy.learner().save(writer.dir()).unwrap();
        writer.commit(Keep { last: 1, best: false }).unwrap()
    };
    c.bench_function("checkpoint: write, synced to disk", |b| b.iter(|| write(&mut policy)));
    let path = write(&mut policy);
    c.bench_function("checkpoint: verify and read", |b| {
        b.iter(|| {
            let reader = Reader::open(&path).unwrap();
            policy.learner().load(reader.dir()).unwrap();
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4));
    targets = maskgit, text, checkpoint
}
criterion_main!(benches);
