//! Every short cut computes the numbers of the plain way: what is sampled, what is scored, and its gradients.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use counterpoint::updater::{Group, accumulate};
use counterpoint::{
    Candidate, Key, Learner, Parameters, Policy, Replay, Segment, Streams, SyncGrpoConfig, Task, Trajectory,
    TypedSampler,
};
use counterpoint_samplers::{AutoregressiveConfig, MaskGitConfig, UnifiedConfig};
use counterpoint_showo::{FastPaths, LoraConfig, Precision, ShowoPolicy, Trainable, prompting};

fn policy() -> ShowoPolicy {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/tiny");
    ShowoPolicy::load(&folder, &Device::flex()).unwrap()
}

/// All short cuts but one, and none at all.
fn switched_off() -> Vec<(&'static str, FastPaths)> {
    let mut settings = vec![("all", FastPaths::all(false))];
    for name in FastPaths::NAMES {
        let mut fast = FastPaths::all(true);
        *fast.switch(name).unwrap() = false;
        settings.push((name, fast));
    }
    settings
}

fn task() -> Task {
    Task::new(0, "what is with the kite?").with_base_prompt("a photo of <ada> by the sea.")
}

fn candidates(range: std::ops::Range<u64>) -> Vec<Candidate> {
    range.map(|candidate| Candidate::new(Streams::new(3), Key { step: 0, task: 0, candidate })).collect()
}

/// Two waves of drafts, of which every other one is finished.
fn rollouts(policy: &ShowoPolicy) -> Vec<Trajectory> {
    let config = UnifiedConfig {
        text: AutoregressiveConfig { max_new_tokens: 6, ..Default::default() },
        image: MaskGitConfig { timesteps: 5, guidance_scale: 2.0, checkpoint_step: 2, ..Default::default() },
        ..UnifiedConfig::default()
    };
    let mut sampler = config.init::<ShowoPolicy>().unwrap();
    let mut drafts = sampler.draft(policy, &task(), &candidates(0..4), true).unwrap();
    drafts.extend(sampler.draft(policy, &task(), &candidates(4..8), true).unwrap());
    let admitted = drafts.into_iter().step_by(2).collect();
    sampler.finish(policy, &task(), admitted).unwrap().into_iter().map(|rollout| rollout.trajectory).collect()
}

#[track_caller]
fn assert_close(what: &str, expected: &[f32], got: &[f32], tolerance: f32) {
    assert_eq!(expected.len(), got.len(), "{what}");
    let worst = expected.iter().zip(got).map(|(a, b)| (a - b).abs() / (1.0 + a.abs())).fold(0.0, f32::max);
    assert!(worst <= tolerance, "{what}: apart by {worst}");
}

#[test]
fn samples_do_not_depend_on_short_cuts() {
    let expected = rollouts(&policy());
    for (name, fast) in switched_off() {
        let got = rollouts(&policy().with_fast(fast));
        assert_eq!(expected.len(), got.len());
        for (a, b) in expected.iter().zip(&got) {
            for (a, b) in a.segments.iter().zip(&b.segments) {
                assert_eq!((&a.chosen, &a.undecided), (&b.chosen, &b.undecided), "{name}");
                assert_close(name, &a.log_probs, &b.log_probs, 2e-5);
            }
        }
    }
}

/// Two questions and two prompts, answers of different lengths, three denoising steps, with the policy's own
/// log-probabilities: far from them a clipped ratio has no gradient.
fn group(policy: &ShowoPolicy) -> Group {
    let mut group = unscored_group(policy);
    for trajectory in &mut group.trajectories {
        for segment in 0..2 {
            let all = trajectory.segments[segment].steps();
            // An answer is one replay, an image one for each step.
            let length = if segment == 0 { all } else { 1 };
            let score = |step| {
                let steps = step..step + length;
                let scores = policy.log_probs(&[Replay { trajectory, segment, steps }], Parameters::Detached).unwrap();
                scores.log_probs.into_data().try_into_vec::<f32>().unwrap()
            };
            trajectory.segments[segment].log_probs = (0..all).step_by(length).flat_map(score).collect();
        }
    }
    group
}

fn unscored_group(policy: &ShowoPolicy) -> Group {
    let config = policy.config();
    let codes: Vec<u32> = (0..config.num_vq_tokens as u32).map(|i| i * 7 % config.codebook_size as u32).collect();
    let trajectories = (0..4_u32)
        .map(|i| {
            // With a concept token, so that the concepts' rows matter.
            let question: Vec<u32> = (1..5 + 3 * (i % 2)).chain([config.text_vocab_size as u32 - 1]).collect();
            let answer: Vec<u32> = (1..3 + i).map(|k| (k * 5 + i) % 50 + 1).collect();
            let steps = 3 * config.num_vq_tokens;
            let understanding = Segment::text(
                prompting::mmu_prompt(config, &codes, &question).unwrap(),
                answer.clone(),
                vec![-3.0; answer.len()],
            );
            let generation = Segment::masked(
                (1..6 + i / 2).collect(),
                config.num_vq_tokens,
                (0..steps as u32).map(|k| (k * 11 + i) % config.codebook_size as u32).collect(),
                vec![-5.0; steps],
                (0..steps).map(|k| k % 3 != 0).collect(),
            )
            .with_guidance(2.0);
            Trajectory::new(u64::from(i), vec![understanding, generation])
        })
        .collect();
    Group::new(0, trajectories, vec![0.7, -0.3, 0.1, -0.5])
}

/// Log-probabilities of everything, in chunks of mixed contexts.
fn scores(policy: &ShowoPolicy, group: &Group, parameters: Parameters) -> Vec<f32> {
    let of = |segment: usize, steps: std::ops::Range<usize>| -> Vec<f32> {
        let chunk: Vec<Replay<'_>> = [2, 0, 3, 1]
            .map(|i| &group.trajectories[i])
            .map(|trajectory| {
                let end = steps.end.min(trajectory.segments[segment].steps());
                Replay { trajectory, segment, steps: steps.start..end }
            })
            .into();
        let scores = policy.log_probs(&chunk, parameters).unwrap().log_probs.inner();
        let width = scores.dims()[1];
        let values = scores.into_data().try_into_vec::<f32>().unwrap();
        chunk.iter().zip(values.chunks(width)).flat_map(|(r, row)| row[..r.decisions().len()].to_vec()).collect()
    };
    [of(0, 0..9), of(0, 1..9), of(1, 0..1), of(1, 2..3)].concat()
}

#[test]
fn scores_do_not_depend_on_short_cuts() {
    let policy = policy();
    let group = group(&policy);
    let expected = scores(&policy, &group, Parameters::Current);
    let mut policy = policy;
    for (name, fast) in switched_off() {
        policy = policy.with_fast(fast);
        for weights in [Parameters::Current, Parameters::Detached, Parameters::Reference] {
            assert_close(name, &expected, &scores(&policy, &group, weights), 2e-5);
        }
    }
}

/// The gradients of a Sync-GRPO update in chunks of `chunk`, by parameter.
fn gradients(policy: &mut ShowoPolicy, group: &Group, chunk: usize) -> Vec<(String, Vec<f32>)> {
    let objective = SyncGrpoConfig::default().init().unwrap();
    accumulate(policy, &objective, std::slice::from_ref(group), chunk, None).unwrap();
    let learner = policy.module_learner();
    let names: Vec<String> = learner.gradient_norms().unwrap().into_iter().map(|(name, _)| name).collect();
    // Gradients are f32 whatever the policy computes in: of another type there would be no such vector.
    let value = |name: &String| learner.gradient(name).unwrap().into_data().try_into_vec::<f32>().unwrap();
    names.iter().map(value).collect::<Vec<_>>().into_iter().zip(names).map(|(v, n)| (n, v)).collect()
}

#[track_caller]
fn assert_gradients(what: &str, expected: &[(String, Vec<f32>)], got: &[(String, Vec<f32>)]) {
    assert_eq!(expected.len(), got.len(), "{what}");
    for ((name, a), (other, b)) in expected.iter().zip(got) {
        assert_eq!(name, other);
        let scale = a.iter().map(|v| v * v).sum::<f32>().sqrt().max(1e-4);
        let apart = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f32>().sqrt();
        assert!(apart <= 1e-4 * scale, "{what}: gradient of {name} apart by {apart} of {scale}");
    }
}

#[test]
fn gradients_do_not_depend_on_short_cuts() {
    let mut policy = policy();
    let group = group(&policy);
    let expected = gradients(&mut policy, &group, 5);
    for (name, gradient) in &expected {
        assert!(gradient.iter().map(|g| g * g).sum::<f32>() > 1e-8, "{name} has no gradient to compare");
    }
    for (name, fast) in switched_off() {
        policy.learner().discard();
        policy = policy.with_fast(fast);
        let got = gradients(&mut policy, &group, 12);
        assert_gradients(name, &expected, &got);
    }
    policy.learner().discard();
    policy = policy.with_fast(FastPaths::default());
    assert_gradients("chunks of 1", &expected, &gradients(&mut policy, &group, 1));
}

#[test]
fn gradient_checkpointing_changes_no_gradient_in_any_update() {
    let group = group(&policy());
    let lora = Trainable::Lora(LoraConfig { rank: 4, ..LoraConfig::default() });
    for trainable in [Trainable::All, Trainable::Decoder, Trainable::ConceptTokens, lora] {
        let mut plain = policy().with_trainable(&trainable).unwrap();
        let mut saving = policy().with_gradient_checkpointing(true).unwrap().with_trainable(&trainable).unwrap();
        for update in ["first", "second"] {
            let expected = gradients(&mut plain, &group, 5);
            assert_gradients(&format!("{trainable:?}, {update}"), &expected, &gradients(&mut saving, &group, 5));
            plain.learner().apply(1e-3, 1.0).unwrap();
            saving.learner().apply(1e-3, 1.0).unwrap();
        }
    }
}

/// All images of `group` but their first steps, whose chunk shares prompts.
fn images(group: &Group) -> Vec<Replay<'_>> {
    group.trajectories.iter().map(|trajectory| Replay { trajectory, segment: 1, steps: 1..2 }).collect()
}

#[test]
fn gradients_go_back_through_dropout_and_layers_that_are_computed_again() {
    let group = group(&policy());
    let lora = Trainable::Lora(LoraConfig { rank: 4, dropout: 0.5, ..LoraConfig::default() });
    let noise = Streams::new(5).stream(Key::task(0, 0), "dropout", 0);
    let gradients = |policy: &mut ShowoPolicy, replica: bool| {
        // The second factor begins at 0: after a step the first one has a gradient too.
        for _ in 0..2 {
            let chunk = images(&group);
            if replica {
                let replica = policy.replicas().remove(0);
                let scores = replica.training_log_probs(&chunk, noise.clone()).unwrap().log_probs;
                let gradients = replica.gradients(scores.sum()).unwrap();
                policy.learner().add(gradients).unwrap();
            } else {
                let scores = policy.training_log_probs(&chunk, noise.clone()).unwrap().log_probs;
                policy.learner().accumulate(scores.sum()).unwrap();
            }
            if policy.learner().gradient_norms().unwrap().iter().all(|(_, norm)| *norm > 0.0) {
                break;
            }
            policy.learner().apply(1e-2, 1.0).unwrap();
        }
        let learner = policy.module_learner();
        let names: Vec<String> = learner.gradient_norms().unwrap().into_iter().map(|(name, _)| name).collect();
        let mut value = |name: &String| learner.gradient(name).unwrap().into_data().try_into_vec::<f32>().unwrap();
        names.iter().map(|name| (name.clone(), value(name))).collect::<Vec<_>>()
    };
    let mut plain = policy().with_trainable(&lora).unwrap();
    let expected = gradients(&mut plain, false);
    for replica in [false, true] {
        let mut saving = policy().with_gradient_checkpointing(true).unwrap().with_trainable(&lora).unwrap();
        assert_gradients(&format!("replica {replica}"), &expected, &gradients(&mut saving, replica));
    }
}

#[test]
fn a_loss_of_earlier_scores_is_refused_where_their_layers_are_forgotten() {
    let mut policy = policy().with_gradient_checkpointing(true).unwrap();
    let group = group(&policy);
    let chunk = images(&group);
    let score = |policy: &ShowoPolicy| policy.log_probs(&chunk, Parameters::Current).unwrap().log_probs;
    let (earlier, latest) = (score(&policy), score(&policy));
    let error = policy.learner().accumulate((earlier + latest).sum()).unwrap_err().to_string();
    assert!(error.contains("policy.gradient_checkpointing") && error.contains("earlier"), "{error}");
    let latest = score(&policy);
    policy.learner().accumulate(latest.sum()).unwrap();
}

#[track_caller]
fn assert_near(what: &str, expected: &[f32], got: &[f32]) {
    let apart = expected.iter().zip(got).map(|(a, b)| f64::from((a - b).abs())).sum::<f64>() / expected.len() as f64;
    assert!(apart < 0.1, "{what}: mean difference {apart} nats");
}

#[test]
fn half_precision_scores_nearly_the_same_and_trains_in_f32() {
    let group = group(&policy());
    let expected = scores(&policy(), &group, Parameters::Current);
    let lora = Trainable::Lora(LoraConfig { rank: 4, ..LoraConfig::default() });
    let cases = [
        (Precision::F16, Trainable::All),
        (Precision::Bf16, Trainable::All),
        (Precision::Bf16, Trainable::Decoder),
        (Precision::Bf16, Trainable::ConceptTokens),
        (Precision::Bf16, lora),
    ];
    for (precision, trainable) in cases {
        let what = format!("{trainable:?} in {precision}");
        let mut policy = policy().with_precision(precision).unwrap().with_trainable(&trainable).unwrap();
        for weights in [Parameters::Current, Parameters::Detached, Parameters::Reference] {
            let got = scores(&policy, &group, weights);
            assert!(expected != got, "{what}: not computed in half precision");
            assert_near(&what, &expected, &got);
        }
        for (name, gradient) in gradients(&mut policy, &group, 5) {
            assert!(gradient.iter().all(|g| g.is_finite()), "{what}: {name}");
        }
        let before = scores(&policy, &group, Parameters::Detached);
        policy.learner().apply(1e-3, 1.0).unwrap();
        let [detached, current] = [Parameters::Detached, Parameters::Current].map(|w| scores(&policy, &group, w));
        assert!(before != detached, "{what}: rollouts do not see what was learned");
        assert_near(&what, &current, &detached);
    }
}

#[test]
fn the_estimate_of_a_chunks_memory_follows_what_is_computed() {
    let plain = policy().with_fast(FastPaths::all(false));
    let policy = policy();
    let group = group(&policy);
    let replay = |i: usize, segment: usize, step: usize| Replay {
        trajectory: &group.trajectories[i],
        segment,
        steps: if segment == 0 { 0..group.trajectories[i].segments[0].steps() } else { step..step + 1 },
    };
    let bytes = |policy: &ShowoPolicy, chunk: &[Replay<'_>]| policy.chunk_bytes(chunk).unwrap();
    for segment in [0, 1] {
        let one = bytes(&policy, &[replay(0, segment, 0)]);
        let same_context = bytes(&policy, &[replay(0, segment, 0), replay(0, segment, 1)]);
        let others = bytes(&policy, &[replay(0, segment, 0), replay(3, segment, 0)]);
        assert!(one < same_context && same_context < others && same_context < 2 * one, "{one} {same_context} {others}");
        assert!(bytes(&plain, &[replay(0, segment, 0), replay(0, segment, 1)]) > same_context);
    }
    // What an update of such replays takes: 20 MB for each and 7 MB for the prompts.
    let image = bytes(&policy, &[replay(0, 1, 0)]);
    assert!((20_000_000..35_000_000).contains(&image), "{image}");
}
