//! Over which ids answers are drawn and scored, and that rollouts and replays agree on it, temperatures included.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use counterpoint::{
    Candidate, ErrorKind, Key, Parameters, Policy, Replay, Segment, Streams, Task, Trajectory, TypedSampler,
};
use counterpoint_samplers::{AutoregressiveConfig, MaskGitConfig, UnifiedConfig};
use counterpoint_showo::{AnswerIds, FastPaths, ShowoPolicy};

/// Nearly every id is as probable as any other.
const HOT: f32 = 50.0;

fn policy(answer_ids: AnswerIds) -> ShowoPolicy {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/tiny");
    ShowoPolicy::load(&folder, &Device::flex()).unwrap().with_answer_ids(answer_ids)
}

fn rollouts(policy: &ShowoPolicy) -> Vec<Trajectory> {
    let config = UnifiedConfig {
        text: AutoregressiveConfig { max_new_tokens: 60, temperature: HOT, ..Default::default() },
        image: MaskGitConfig { timesteps: 3, guidance_scale: 2.0, token_temperature: 0.7, ..Default::default() },
        ..UnifiedConfig::default()
    };
    let candidate = |candidate| Candidate::new(Streams::new(3), Key { step: 0, task: 0, candidate });
    let candidates: Vec<Candidate> = (0..6).map(candidate).collect();
    let mut sampler = config.init::<ShowoPolicy>().unwrap();
    let task = Task::new(0, "what is with the kite?").with_base_prompt("a photo of <ada> by the sea.");
    let drafts = sampler.draft(policy, &task, &candidates, false).unwrap();
    sampler.finish(policy, &task, drafts).unwrap().into_iter().map(|rollout| rollout.trajectory).collect()
}

/// Whether an answer may have the id.
fn is_text(policy: &ShowoPolicy, id: u32) -> bool {
    let config = policy.config();
    let special = config.special_token_ids.named().into_iter().any(|(_, special)| special == id);
    (id as usize) < config.text_vocab_size && !special
}

#[test]
fn answers_are_of_text_ids_alone_unless_all_are_asked_for() {
    let written = |policy: &ShowoPolicy| -> Vec<u32> {
        rollouts(policy).iter().flat_map(|t| t.segments[0].chosen.clone()).collect()
    };
    let text = policy(AnswerIds::Text);
    let ids = written(&text);
    assert!(ids.len() > 200 && ids.iter().all(|&id| is_text(&text, id)), "{ids:?}");
    let concepts = text.config().llm_vocab_size as u32 + 10;
    assert!(ids.iter().any(|&id| id >= concepts), "concept tokens are text");
    let all = policy(AnswerIds::All);
    let ids = written(&all);
    let image = ids.iter().filter(|&&id| id as usize >= all.config().text_vocab_size).count();
    assert!(2 * image > ids.len(), "the larger part of the vocabulary is image codes: {image} of {}", ids.len());
}

#[test]
fn rollouts_and_replays_normalise_alike() {
    for answer_ids in [AnswerIds::Text, AnswerIds::All] {
        for fast in [true, false] {
            let policy = policy(answer_ids).with_fast(FastPaths::all(fast));
            let trajectories = rollouts(&policy);
            for trajectory in &trajectories {
                for segment in 0..2 {
                    let recorded = &trajectory.segments[segment];
                    assert_eq!(recorded.temperature, [HOT, 0.7][segment]);
                    let steps = if segment == 0 { 0..recorded.steps() } else { 1..2 };
                    let replay = Replay { trajectory, segment, steps };
                    let expected = &recorded.log_probs[replay.decisions()];
                    let scores = policy.log_probs(&[replay], Parameters::Current).unwrap().log_probs.inner();
                    let scores = scores.into_data().try_into_vec::<f32>().unwrap();
                    for (a, b) in expected.iter().zip(scores) {
                        assert!((a - b).abs() < 1e-3, "{answer_ids:?} {segment}: recorded {a}, scored {b}");
                    }
                }
            }
            // At this temperature the first token is drawn from so many ids.
            let first = trajectories.iter().map(|t| -t.segments[0].log_probs[0]).sum::<f32>() / 6.0;
            let ids = if answer_ids == AnswerIds::Text { 260.0_f32 } else { 783.0 };
            assert!((first - ids.ln()).abs() < 0.3, "{answer_ids:?}: {first} for {}", ids.ln());
        }
    }
}

#[test]
fn an_answer_with_another_id_is_refused_and_named() {
    let text = policy(AnswerIds::Text);
    let special = text.config().special_token_ids;
    let offset = text.config().image_token_offset;
    let question = rollouts(&text)[0].segments[0].context.clone();
    let score = |policy: &ShowoPolicy, id: u32| {
        let answer = Segment::text(question.clone(), vec![7, id, 8], vec![0.0; 3]);
        let trajectory = Trajectory::new(4, vec![answer]);
        let replay = Replay { trajectory: &trajectory, segment: 0, steps: 0..3 };
        policy.log_probs(&[replay], Parameters::Detached).map(|_| ())
    };
    let all = policy(AnswerIds::All);
    for id in [special.soi, special.pad, special.lvg, offset] {
        let error = score(&text, id).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Contract);
        let message = error.to_string();
        assert!(message.contains("candidate 4") && message.contains(&format!("got {id}")), "{message}");
        score(&all, id).unwrap();
    }
    score(&text, text.config().eos_id).unwrap();
    score(&text, offset - 1).unwrap();
}
