//! Real text weights: SmolLM2-135M-Instruct, dequantised, as the decoder of a Janus. Runs where COUNTERPOINT_REAL_FILES names the folder
//! that real_files.sh fills; expected numbers are transformers', from fixtures/smollm2/make.py.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::path::{Path, PathBuf};

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, TensorData};
use counterpoint::{Candidate, Key, Parameters, Policy, Replay, Segment, Streams, Trajectory};
use counterpoint_janus::{JanusConfig, JanusPolicy, SpecialIds, TextConfig};
use counterpoint_samplers::{AutoregressiveConfig, TextModel};
use serde::Deserialize;

#[derive(Deserialize)]
struct Written {
    prompt: Vec<u32>,
    tokens: Vec<u32>,
    log_probs: Vec<f32>,
    after_prompt: Top,
    at_end: Top,
    text: String,
}

/// The most probable ids, the first one first.
#[derive(Deserialize)]
struct Top {
    ids: Vec<u32>,
    log_probs: Vec<f32>,
}

/// What is compared may differ by so much.
const CLOSE: f32 = 2e-4;
const LENGTH: usize = 40;

fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("COUNTERPOINT_REAL_FILES").map(|root| Path::new(&root).join("smollm2"));
    if folder.as_ref().is_none_or(|folder| !folder.exists()) {
        eprintln!("not run: COUNTERPOINT_REAL_FILES does not name a folder with the files of real_files.sh");
        return None;
    }
    folder
}

/// A Janus that has this decoder; what images need is small and fresh.
fn policy(folder: &Path) -> JanusPolicy {
    let device = Device::flex();
    let text: TextConfig = serde_json::from_slice(&std::fs::read(folder.join("config.json")).unwrap()).unwrap();
    let JanusConfig { mut vision_config, mut vq_config, image_token_id, .. } = common::config();
    vision_config.projection_dim = text.hidden_size;
    vq_config.projection_dim = text.hidden_size;
    vq_config.image_token_embed_dim = text.hidden_size;
    let config = JanusConfig { text_config: text, vision_config, vq_config, image_token_id };
    // Of Janus' fixture a tokenizer of images alone is needed, which does not know the decoder.
    let file = common::fixture().join("model.safetensors");
    let (_, tokenizer) = common::config().load(&file, Default::default(), &device).unwrap();
    let model = config.init(&device).unwrap().with_language_model(folder).unwrap();
    let ids = SpecialIds { bos: 1, eos: 2, pad: 2, ..SpecialIds::default() };
    JanusPolicy::new(config, ids, model, tokenizer, &device).unwrap()
}

/// A question without an image, as contexts have it.
fn context(prompt: &[u32]) -> Vec<u32> {
    [&[0], prompt].concat()
}

fn off(got: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(got.len(), expected.len());
    got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// How far the most probable tokens after `ids` are from `expected`.
fn next(policy: &JanusPolicy, ids: &[u32], expected: &Top) -> f32 {
    let (_, scores) = policy.prefill(&context(ids), 1).unwrap();
    let (values, order) = log_softmax(scores, 1).sort_descending_with_indices(1);
    let first = |data: TensorData| data.iter::<f32>().take(expected.ids.len()).collect::<Vec<_>>();
    let order: Vec<u32> = first(order.into_data()).into_iter().map(|id| id as u32).collect();
    assert_eq!(order, expected.ids);
    off(&first(values.into_data()), &expected.log_probs)
}

#[test]
fn it_writes_what_transformers_writes() {
    let Some(folder) = folder() else { return };
    let policy = policy(&folder);
    let written: Vec<Written> = serde_json::from_str(include_str!("fixtures/smollm2/expected.json")).unwrap();
    let greedy = AutoregressiveConfig { max_new_tokens: LENGTH, temperature: 0.0, ..Default::default() };
    let greedy = greedy.init().unwrap();
    let candidates: Vec<Candidate> =
        (0..2).map(|candidate| Candidate::new(Streams::new(1), Key { step: 0, task: 0, candidate })).collect();

    let (mut drawn, mut after, mut trajectories) = (0.0_f32, 0.0_f32, Vec::new());
    for one in &written {
        let texts = greedy.generate(&policy, &context(&one.prompt), &candidates).unwrap();
        for text in &texts {
            assert_eq!(text.tokens, one.tokens, "expected {:?}", one.text);
            drawn = drawn.max(off(&text.log_probs, &one.log_probs));
        }
        after = after.max(next(&policy, &one.prompt, &one.after_prompt));
        after = after.max(next(&policy, &[&one.prompt[..], &one.tokens].concat(), &one.at_end));
        let segment = Segment::text(context(&one.prompt), one.tokens.clone(), one.log_probs.clone());
        trajectories.push(Trajectory::new(0, vec![segment]));
    }

    // All of them at once, as an update scores them.
    let replays: Vec<Replay<'_>> = trajectories
        .iter()
        .map(|trajectory| Replay { trajectory, segment: 0, steps: 0..trajectory.segments[0].steps() })
        .collect();
    let scores = policy.log_probs(&replays, Parameters::Detached).unwrap().log_probs;
    let width = scores.dims()[1];
    let scores: Vec<f32> = scores.into_data().iter::<f32>().collect();
    let scored = scores.chunks(width).zip(&written).map(|(row, one)| off(&row[..one.tokens.len()], &one.log_probs));
    let scored = scored.fold(0.0, f32::max);

    let tokens: usize = written.iter().map(|one| one.tokens.len()).sum();
    eprintln!("{tokens} tokens are equal; largest difference of log-probabilities: {drawn:.1e} as drawn with a cache,");
    eprintln!("{scored:.1e} as scored together, {after:.1e} of the most probable ones after prompts and texts");
    assert!(drawn < CLOSE && scored < CLOSE && after < CLOSE, "expected below {CLOSE}, got {drawn}, {scored}, {after}");
}
