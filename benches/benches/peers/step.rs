//! A whole Sync-GRPO step with Dynamic Group Scaling, phase by phase.
//!
//! Waves of G drafts are drawn, each with its reasoning text; the G best of all are finished and learned from. Scores and
//! rewards are stand-ins made from the image codes: towers are not part of what is measured, and random weights please
//! none.

use std::time::Instant;

use counterpoint::updater::{Group, accumulate};
use counterpoint::{Candidate, Error, Policy, Result, Segment, SyncGrpoConfig, Trajectory};
use counterpoint_benches::candidates;
use counterpoint_samplers::{AutoregressiveConfig, Canvas, Continuation, ImageModel};
use counterpoint_showo::ShowoPolicy;
use serde_json::{Map, Value, json};

use crate::Common;
use crate::inputs::Inputs;
use crate::work::{first_logits, prompts, sampler};

/// Seconds of each phase and of the whole step, after a step that is not timed.
pub fn step(common: &Common) -> Result<Value> {
    let mut policy = common.policy()?;
    let inputs = Inputs::load(&common.folder)?;
    let check = first_logits(&policy, common, &inputs)?;
    run(&mut policy, common, &inputs)?;
    let mut phases = Vec::new();
    for _ in 0..common.repeats {
        phases.push(run(&mut policy, common, &inputs)?);
    }
    let repeats: Vec<[f64; 2]> = phases.iter().map(|p| [p.values().filter_map(Value::as_f64).sum(), 0.0]).collect();
    Ok(json!({ "work": "step", "check": check, "repeats": repeats, "phases": phases }))
}

/// Seconds since the last lap, the device having finished its work.
struct Laps {
    last: Instant,
    seconds: Map<String, Value>,
}

impl Laps {
    fn lap(&mut self, policy: &ShowoPolicy, phase: &str) -> Result<()> {
        policy.device().sync().map_err(|e| Error::contract("the device failed").with_source(e.to_string()))?;
        let before = self.seconds.get(phase).and_then(Value::as_f64).unwrap_or(0.0);
        self.seconds.insert(phase.to_owned(), json!(before + self.last.elapsed().as_secs_f64()));
        self.last = Instant::now();
        Ok(())
    }
}

fn run(policy: &mut ShowoPolicy, common: &Common, inputs: &Inputs) -> Result<Map<String, Value>> {
    let mut laps = Laps { last: Instant::now(), seconds: Map::new() };
    let (group, image) = (common.group, sampler(common)?);
    let text = AutoregressiveConfig { max_new_tokens: common.new_tokens, ..AutoregressiveConfig::default() }.init()?;
    let all = candidates((group * common.waves) as u64);
    let tokens = policy.image_tokens();

    let mut batches = Vec::new();
    let mut drafts: Vec<(Continuation, Canvas, f64)> = Vec::new();
    for wave in all.chunks(group) {
        let texts = text.generate(policy, &inputs.question, wave)?;
        laps.lap(policy, "text")?;
        let batch = policy.prepare(&prompts(inputs), common.guidance)?;
        let mut canvases = vec![Canvas::default(); group];
        image.advance(policy, &batch, wave, &mut canvases, image.checkpoint_step())?;
        batches.push(batch);
        laps.lap(policy, "draft")?;
        for (text, canvas) in texts.into_iter().zip(canvases) {
            let score = stand_in(policy, canvas.prediction(tokens));
            drafts.push((text, canvas, score));
        }
        laps.lap(policy, "score")?;
    }
    let mut order: Vec<usize> = (0..drafts.len()).collect();
    order.sort_by(|&a, &b| drafts[b].2.total_cmp(&drafts[a].2));
    order.truncate(group);

    let picked: Vec<(usize, usize)> = order.iter().map(|&i| (i / group, i % group)).collect();
    let finishing: Vec<Candidate> = order.iter().map(|&i| all[i]).collect();
    let mut canvases: Vec<Canvas> = order.iter().map(|&i| drafts[i].1.clone()).collect();
    let again: Vec<&[u32]> = picked.iter().map(|&(_, place)| inputs.prompts[place].as_slice()).collect();
    let batch = match policy.gather(&batches.iter().collect::<Vec<_>>(), &picked) {
        Some(batch) => batch,
        None => policy.prepare(&again, common.guidance)?,
    };
    drop(batches);
    image.advance(policy, &batch, &finishing, &mut canvases, common.timesteps)?;
    drop(batch);
    laps.lap(policy, "finish")?;

    let rewards: Vec<f64> = canvases.iter().map(|canvas| stand_in(policy, canvas.prediction(tokens))).collect();
    let mean = rewards.iter().sum::<f64>() / rewards.len() as f64;
    let advantages = rewards.iter().map(|reward| reward - mean).collect();
    let trajectories = order
        .iter()
        .zip(canvases)
        .zip(again)
        .map(|((&i, canvas), prompt)| {
            let answer = &drafts[i].0;
            let said = Segment::text(inputs.question.clone(), answer.tokens.clone(), answer.log_probs.clone());
            let painted = Segment::masked(prompt.to_vec(), tokens, canvas.chosen, canvas.log_probs, canvas.undecided)
                .with_guidance(common.guidance);
            Trajectory::new(i as u64, vec![said, painted])
        })
        .collect();
    let groups = [Group::new(0, trajectories, advantages)];
    laps.lap(policy, "score")?;
    accumulate(policy, &SyncGrpoConfig::default().init()?, &groups, common.chunk, None)?;
    laps.lap(policy, "replay")?;
    let norm = policy.learner().gradient_norms()?.iter().map(|(_, norm)| norm * norm).sum::<f64>().sqrt();
    policy.learner().apply(1e-6, (1.0 / (norm + 1e-6)).min(1.0))?;
    laps.lap(policy, "optimizer")?;
    Ok(laps.seconds)
}

/// A number in [0, 1] that differs between images.
fn stand_in(policy: &ShowoPolicy, codes: &[u32]) -> f64 {
    let sum: f64 = codes.iter().map(|&code| f64::from(code)).sum();
    sum / (codes.len() * policy.codebook_size()) as f64
}
