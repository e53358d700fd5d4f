//! A frozen base is in memory once: as the reference, and under what is trained. Alone in its program, as it measures it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use burn::tensor::Device;
use common::{LearnerOf, accumulate, answer_of, config, floats, lora, step};
use counterpoint::{Parameters, Policy, Replay};
use counterpoint_showo::{Showo, ShowoConfig, ShowoPolicy, Trainable};

/// Resident memory in MB.
fn resident() -> f64 {
    memory_stats::memory_stats().unwrap().physical_mem as f64 / 1e6
}

fn medium() -> ShowoConfig {
    let mut config = config();
    config.phi.hidden_size = 384;
    config.phi.intermediate_size = 1536;
    config.phi.num_hidden_layers = 6;
    config.phi.num_attention_heads = 8;
    config.llm_vocab_size += 2000;
    config.text_vocab_size += 2000;
    config.image_token_offset += 2000;
    config.vocab_size += 2000;
    config.mask_token_id += 2000;
    // The special and concept tokens follow the longer text.
    let special = &mut config.special_token_ids;
    for id in [
        &mut special.pad,
        &mut special.soi,
        &mut special.eoi,
        &mut special.sov,
        &mut special.eov,
        &mut special.t2i,
        &mut special.mmu,
        &mut special.t2v,
        &mut special.v2v,
        &mut special.lvg,
    ] {
        *id += 2000;
    }
    config
}

#[test]
fn the_reference_and_the_frozen_part_are_one_copy() {
    let (config, device) = (medium(), Device::flex());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("base.safetensors");
    config.init(&device).unwrap().save(&path).unwrap();
    let size = std::fs::metadata(&path).unwrap().len() as f64 / 1e6;
    assert!(size > 45.0, "{size} MB");
    let mut grown = Vec::new();
    for trainable in [lora(4), Trainable::ConceptTokens, Trainable::All] {
        let base = Showo::load(&config, &path, &device).unwrap();
        let image = config.magvitv2.init(&device);
        let before = resident();
        let policy = ShowoPolicy::new(config.clone(), base, None, image, &device).unwrap();
        let mut policy = policy.with_trainable(&trainable).unwrap();
        accumulate(&mut policy);
        policy.learner_of().apply(0.01, 1.0).unwrap();
        grown.push(resident() - before);
        step(&mut policy);
        // The reference is still there, and is not what is trained.
        let trajectory = answer_of(&config);
        let chunk = [Replay { trajectory: &trajectory, segment: 0, steps: 0..2 }];
        let scores = |weights| floats(policy.log_probs(&chunk, weights).unwrap().log_probs);
        assert_ne!(scores(Parameters::Reference), scores(Parameters::Detached));
        // A run without a KL term gives back what is kept for it alone.
        policy.drop_reference();
        let refused = policy.log_probs(&chunk, Parameters::Reference).err();
        assert_eq!(refused.is_some(), trainable == Trainable::All, "{refused:?}");
        for replica in policy.replicas() {
            let detached = replica.log_probs(&chunk, Parameters::Detached).unwrap();
            assert!(replica.log_probs(&chunk, Parameters::Reference).is_err() == refused.is_some());
            assert_eq!(detached.log_probs.dims(), [1, 2]);
        }
    }
    let [lora, concept, all] = grown[..] else { panic!() };
    // All: trained parameters beside the reference, gradients on the way, two moments.
    assert!(all > 2.0 * size, "a step on all parameters grew by {all} MB of {size}");
    assert!(lora < 0.5 * size && concept < 0.5 * size, "LoRA grew by {lora} MB, concept tokens by {concept} of {size}");
}
