//! The engine's half of `benches/peers/janus.py`, which runs both halves: `janus FOLDER REPEATS`.
//!
//! Prints one JSON object: log-probabilities that must equal the other half's, and the seconds of each repeat.
#![allow(missing_docs, clippy::print_stdout)]

use std::path::Path;
use std::time::Instant;

use counterpoint::burn::tensor::{Distribution, Int, Tensor, TensorData};
use counterpoint::{
    Error, Group, OptimizerConfig, Parameters, Policy, Replay, Result, Segment, SegmentKind, SyncGrpoConfig,
    Trajectory, device, objective::Kl, updater::accumulate,
};
use counterpoint_janus::{JanusConfig, JanusPolicy, SpecialIds};
use counterpoint_kernels::keep_pages;
use counterpoint_samplers::CodeModel;
use counterpoint_weights::Precision;
use serde::Deserialize;
use serde_json::json;

const IDS: SpecialIds = SpecialIds { bos: 1, eos: 2, pad: 0, boi: 6, eoi: 7 };
/// The weight 5 of the original.
const GUIDANCE: f32 = 4.0;
/// Sequences of a chunk.
const CHUNK: usize = 4;
/// Images whose codes are turned into pixels.
const DECODED: usize = 2;

#[derive(Deserialize)]
struct Inputs {
    prompt: Vec<u32>,
    codes: Vec<Vec<u32>>,
    advantages: Vec<f64>,
}

fn main() -> Result<()> {
    keep_pages();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    // Cargo runs benches without arguments too.
    let [folder, repeats] = &arguments[..] else { return Ok(()) };
    let (folder, repeats) = (Path::new(folder), repeats.parse().unwrap_or(2));
    let text = std::fs::read_to_string(folder.join("inputs.json")).map_err(|e| Error::io("cannot read", folder, e))?;
    let inputs: Inputs =
        serde_json::from_str(&text).map_err(|e| Error::data("unreadable inputs.json").with_source(e))?;
    let device = device::named("flex")?;
    let config = JanusConfig::read(&folder.join("config.json"))?;
    let (model, tokenizer) = config.load(&folder.join("model.safetensors"), Precision::F32, &device)?;
    let mut policy = JanusPolicy::new(config, IDS, model, tokenizer, &device)?;
    if inputs.codes.iter().any(|codes| codes.len() != policy.codes_per_image()) {
        return Err(Error::data(format!("inputs.json: expected images of {} codes", policy.codes_per_image())));
    }
    policy.learner().configure(&OptimizerConfig::default());
    let image = |(i, codes): (usize, &Vec<u32>)| {
        let segment = Segment::text(inputs.prompt.clone(), codes.clone(), vec![0.0; codes.len()]);
        Trajectory::new(i as u64, vec![segment.with_kind(SegmentKind::Generation)])
    };
    let trajectories: Vec<Trajectory> = inputs.codes.iter().enumerate().map(image).collect();
    let whole: Vec<Replay<'_>> = trajectories
        .iter()
        .map(|trajectory| Replay { trajectory, segment: 0, steps: 0..trajectory.segments[0].steps() })
        .collect();
    let scores = policy.log_probs(&whole, Parameters::Detached)?.log_probs;
    let check: Vec<f32> = scores.into_data().iter::<f32>().step_by(7).collect();
    let write = timed(repeats, || write(&policy, &inputs))?;
    let objective = SyncGrpoConfig { kl: Kl::None, ..SyncGrpoConfig::grpo() }.init()?;
    let group = Group::new(0, trajectories.clone(), inputs.advantages.clone());
    let update = timed(repeats, || {
        accumulate(&mut policy, &objective, std::slice::from_ref(&group), CHUNK, None)?;
        policy.learner().apply(1e-6, 1.0)
    })?;
    let codes: Vec<i64> = inputs.codes[..DECODED].iter().flatten().map(|&code| code.into()).collect();
    let codes = Tensor::<2, Int>::from_data(TensorData::new(codes, [DECODED, policy.codes_per_image()]), &device);
    let pixels = || policy.image_tokenizer().decode(codes.clone()).map(|pixels| pixels.into_data());
    let some: Vec<f32> = pixels()?.iter::<f32>().step_by(997).collect();
    let decode = timed(repeats, || pixels().map(|_| ()))?;
    println!("{}", json!({ "check": check, "pixels": some, "write": write, "update": update, "decode": decode }));
    Ok(())
}

/// One code after the other for all of the group, on its prompt's cache.
fn write(policy: &JanusPolicy, inputs: &Inputs) -> Result<()> {
    let group = inputs.codes.len();
    let (prompts, nothing): (Vec<&[u32]>, Vec<&[u32]>) = (vec![&inputs.prompt; group], vec![&[]; group]);
    let (mut writing, mut scores) = policy.begin(&prompts, &nothing, GUIDANCE)?;
    for _ in 1..policy.codes_per_image() {
        scores = policy.write(&mut writing, gumbel(scores.guided));
    }
    Ok(())
}

/// Draws from logits `[n, codes]`.
fn gumbel(logits: Tensor<2>) -> Tensor<2, Int> {
    let uniform = logits.random_like(Distribution::Uniform(1e-9, 1.0));
    (logits - uniform.log().neg().log()).argmax(1)
}

fn timed(repeats: usize, mut work: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    work()?;
    (0..repeats)
        .map(|_| {
            let started = Instant::now();
            work()?;
            Ok(started.elapsed().as_secs_f64())
        })
        .collect()
}
