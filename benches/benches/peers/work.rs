//! What is measured.

use burn::tensor::{Int, Tensor};
use counterpoint::updater::{Group, accumulate};
use counterpoint::{Error, Parameters, Policy, Replay, Result, SyncGrpoConfig};
use counterpoint_benches::candidates;
use counterpoint_benches::process::{memory_mib, reset_peak, timed};
use counterpoint_samplers::{AutoregressiveConfig, Canvas, ImageModel, MaskGit, MaskGitConfig, TextModel};
use counterpoint_showo::ShowoPolicy;
use serde_json::{Value, json};

use crate::Common;
use crate::inputs::{Inputs, Record};

/// How many numbers of a tensor are compared.
const COMPARED: usize = 200;
/// Longest step of the recorded log-probabilities away from the model's.
const MOVED: f32 = 0.3;

/// Guided MaskGIT rollouts of G candidates over T steps.
pub fn rollout(common: &Common) -> Result<Value> {
    let policy = common.policy()?;
    let inputs = Inputs::load(&common.folder)?;
    let check = first_logits(&policy, common, &inputs)?;
    let repeats = repeats(common, || paint(&policy, common, &inputs).map(drop))?;
    Ok(json!({ "work": "rollout", "check": check, "repeats": repeats }))
}

/// Reasoning text of G candidates on one question.
pub fn text(common: &Common) -> Result<Value> {
    let policy = common.policy()?;
    let inputs = Inputs::load(&common.folder)?;
    let (_, logits) = policy.prefill(&inputs.question, 1)?;
    let check = spread(logits.reshape([-1]))?;
    let config = AutoregressiveConfig { max_new_tokens: common.new_tokens, ..AutoregressiveConfig::default() };
    let sampler = config.init()?;
    let candidates = candidates(common.group as u64);
    let repeats = repeats(common, || sampler.generate(&policy, &inputs.question, &candidates).map(drop))?;
    Ok(json!({ "work": "text", "check": check, "repeats": repeats }))
}

/// Replay of the recorded group, gradients, clipping by the norm, one AdamW step.
pub fn update(common: &Common) -> Result<Value> {
    let mut policy = common.policy()?;
    let (inputs, record) = (Inputs::load(&common.folder)?, Record::load(&common.folder)?);
    let trajectories = record.trajectories(policy.config(), &inputs, common.guidance);
    let groups = [Group::new(0, trajectories, record.advantages)];
    let objective = SyncGrpoConfig::default().init()?;
    let before = memory_mib("VmRSS");
    reset_peak();
    let mut check = Vec::new();
    let repeats = repeats(common, || {
        let replayed = accumulate(&mut policy, &objective, &groups, common.chunk, None)?;
        let norms = policy.learner().gradient_norms()?;
        let norm = norms.iter().map(|(_, norm)| norm * norm).sum::<f64>().sqrt();
        if check.is_empty() {
            check = vec![replayed.all.stats.loss, norm];
        }
        policy.learner().apply(1e-6, (1.0 / (norm + 1e-6)).min(1.0))
    })?;
    let peak = memory_mib("VmHWM").zip(before).map(|(peak, before)| peak - before);
    Ok(json!({ "work": "update", "check": check, "peak_mib": peak, "before_mib": before, "repeats": repeats }))
}

/// Paints the group's images and records their log-probabilities, moved a little so that ratios differ from 1.
pub fn record(common: &Common) -> Result<Value> {
    let policy = common.policy()?;
    let inputs = Inputs::load(&common.folder)?;
    let canvases = paint(&policy, common, &inputs)?;
    let mut record = Record {
        chosen: canvases.iter().map(|c| c.chosen.clone()).collect(),
        undecided: canvases.iter().map(|c| c.undecided.clone()).collect(),
        image_log_probs: canvases.iter().map(|c| c.log_probs.clone()).collect(),
        text_log_probs: inputs.answers.iter().map(|answer| vec![0.0; answer.len()]).collect(),
        advantages: (0..common.group).map(|i| i as f64 / common.group as f64 - 0.4).collect(),
    };
    let trajectories = record.trajectories(policy.config(), &inputs, common.guidance);
    let chunk: Vec<Replay<'_>> = trajectories
        .iter()
        .map(|trajectory| Replay { trajectory, segment: 0, steps: 0..trajectory.segments[0].steps() })
        .collect();
    let scores = numbers(policy.log_probs(&chunk, Parameters::Detached)?.log_probs.reshape([-1]))?;
    record.text_log_probs = scores.chunks(scores.len() / common.group).map(<[f32]>::to_vec).collect();
    for (rows, purpose) in [(&mut record.image_log_probs, "image"), (&mut record.text_log_probs, "text")] {
        for (row, candidate) in rows.iter_mut().zip(candidates(common.group as u64)) {
            let noise = candidate.stream(purpose, 0).uniforms(row.len());
            row.iter_mut().zip(noise).for_each(|(value, noise)| *value += MOVED * (2.0 * noise - 1.0));
        }
    }
    record.save(&common.folder)?;
    Ok(json!({ "recorded": common.group }))
}

pub(crate) fn sampler(common: &Common) -> Result<MaskGit> {
    let config =
        MaskGitConfig { timesteps: common.timesteps, guidance_scale: common.guidance, ..MaskGitConfig::default() };
    config.init()
}

pub(crate) fn prompts(inputs: &Inputs) -> Vec<&[u32]> {
    inputs.prompts.iter().map(Vec::as_slice).collect()
}

fn paint(policy: &ShowoPolicy, common: &Common, inputs: &Inputs) -> Result<Vec<Canvas>> {
    let prompts = policy.prepare(&prompts(inputs), common.guidance)?;
    let mut canvases = vec![Canvas::default(); common.group];
    let candidates = candidates(common.group as u64);
    sampler(common)?.advance(policy, &prompts, &candidates, &mut canvases, common.timesteps)?;
    Ok(canvases)
}

/// Guided logits of the first step.
pub(crate) fn first_logits(policy: &ShowoPolicy, common: &Common, inputs: &Inputs) -> Result<Vec<f32>> {
    let prompts = policy.prepare(&prompts(inputs), common.guidance)?;
    let mask = policy.codebook_size() as i32;
    let codes = Tensor::<2, Int>::full([common.group, policy.image_tokens()], mask, policy.device());
    spread(policy.image_scores(&prompts, codes).guided.reshape([-1]))
}

/// Every so-manieth number, at most [`COMPARED`].
fn spread(values: Tensor<1>) -> Result<Vec<f32>> {
    let values = numbers(values)?;
    Ok(values.iter().step_by(values.len() / COMPARED).take(COMPARED).copied().collect())
}

fn numbers(values: Tensor<1>) -> Result<Vec<f32>> {
    values.try_into_vec_as::<f32>().map_err(|e| Error::contract("cannot read").with_source(e.to_string()))
}

/// Seconds and user CPU seconds of each repeat, after one that is not counted.
fn repeats(common: &Common, mut work: impl FnMut() -> Result<()>) -> Result<Vec<[f64; 2]>> {
    work()?;
    (0..common.repeats)
        .map(|_| {
            let (result, seconds, user) = timed(&mut work);
            result.map(|()| [seconds, user])
        })
        .collect()
}
