//! What an update takes with and without gradient checkpointing, and that the estimate knows it. Alone in its program, whose
//! allocator counts what is asked of it: what the kernel says of a process depends on what was freed before and kept.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod common;

use std::time::Instant;

use burn::tensor::Device;
use common::{LearnerOf, config, lora};
use counterpoint::{Parameters, Policy, Replay, Segment, Trajectory};
use counterpoint_showo::{FastPaths, ShowoPolicy};
use peak_alloc::PeakAlloc;

const MIB: f64 = (1 << 20) as f64;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

fn policy(checkpointing: bool) -> ShowoPolicy {
    let (mut config, device) = (config(), Device::flex());
    config.phi.hidden_size = 192;
    config.phi.intermediate_size = 768;
    config.phi.num_hidden_layers = 12;
    config.phi.num_attention_heads = 8;
    let (model, image) = (config.init(&device).unwrap(), config.magvitv2.init(&device));
    ShowoPolicy::new(config, model, None, image, &device)
        .unwrap()
        .with_fast(FastPaths { cores: false, ..FastPaths::default() })
        .with_trainable(&lora(2))
        .unwrap()
        .with_gradient_checkpointing(checkpointing)
        .unwrap()
}

/// Estimate and measured peak in MiB of the gradients of so many images, and how long they took in seconds.
fn update(policy: &mut ShowoPolicy, images: usize) -> [f64; 3] {
    let tokens = policy.config().num_vq_tokens;
    let image = |i: u32| {
        let segment = Segment::masked(vec![i], tokens, vec![i % 50; tokens], vec![0.0; tokens], vec![true; tokens]);
        Trajectory::new(u64::from(i), vec![segment.with_guidance(2.0)])
    };
    let trajectories: Vec<Trajectory> = (1..=images as u32).map(image).collect();
    let chunk: Vec<Replay<'_>> =
        trajectories.iter().map(|trajectory| Replay { trajectory, segment: 0, steps: 0..1 }).collect();
    let estimate = policy.chunk_bytes(&chunk).unwrap() as f64 / MIB;
    ALLOCATED.reset_peak_usage();
    let before = ALLOCATED.current_usage();
    let started = Instant::now();
    let scores = policy.log_probs(&chunk, Parameters::Current).unwrap().log_probs;
    Policy::learner(policy).accumulate(scores.sum()).unwrap();
    let peak = (ALLOCATED.peak_usage() - before) as f64 / MIB;
    policy.learner_of().discard();
    [estimate, peak, started.elapsed().as_secs_f64()]
}

#[test]
fn layers_that_are_computed_again_take_a_fraction_and_the_estimate_follows() {
    let (mut saving, mut plain) = (policy(true), policy(false));
    for images in [24, 72] {
        let [estimate, peak, seconds] = update(&mut saving, images);
        println!("{images} images, checkpointing: estimate {estimate:.1} MiB, peak {peak:.1} MiB, {seconds:.2} s");
        assert!((0.4..2.0).contains(&(peak / estimate)), "{images} images: estimate {estimate} MiB, peak {peak} MiB");
        let [plain_estimate, plain_peak, seconds] = update(&mut plain, images);
        println!("{images} images: estimate {plain_estimate:.1} MiB, peak {plain_peak:.1} MiB, {seconds:.2} s");
        assert!(estimate < 0.4 * plain_estimate && peak < 0.6 * plain_peak, "{peak} of {plain_peak} MiB");
    }
}
