//! What the benchmarks share: recorded groups of any size on the embedded tiny Show-o, models of other sizes with random
//! weights, what a step costs by count, and what the process has used.

pub mod cost;
pub mod load;
pub mod process;
pub mod random_weights;
pub mod sizes;

use std::path::Path;

use burn::tensor::Device;
use counterpoint::Group;
use counterpoint::{Candidate, Key, Result, Segment, Streams, Trajectory};
use counterpoint_samplers::MaskSchedule;
use counterpoint_showo::{ShowoPolicy, prompting};

/// The embedded tiny Show-o on the CPU.
///
/// # Errors
/// When its files cannot be used.
pub fn tiny_showo() -> Result<ShowoPolicy> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies/showo/assets/tiny");
    ShowoPolicy::load(&folder, &Device::flex())
}

/// An understanding prompt: a black image and a question of 60 tokens.
///
/// # Errors
/// When the policy cannot encode the image or the prompt does not fit.
pub fn question(policy: &ShowoPolicy) -> Result<Vec<u32>> {
    let size = policy.config().image_size() as u32;
    let image = policy.encode_images(&[image::RgbImage::new(size, size)])?.remove(0);
    let question: Vec<u32> = (0..60).map(|i| i % 50 + 1).collect();
    prompting::mmu_prompt(policy.config(), &image, &question)
}

/// Candidates `0..count` of one task.
pub fn candidates(count: u64) -> Vec<Candidate> {
    let candidate = |candidate| Candidate::new(Streams::new(0), Key { step: 0, task: 0, candidate });
    (0..count).map(candidate).collect()
}

/// A recorded group of `candidates` whose images took `steps` denoising steps: random tokens under the cosine schedule,
/// as large in memory and in work as a real one.
///
/// # Errors
/// As [`question`].
pub fn random_group(policy: &ShowoPolicy, candidates: usize, steps: usize) -> Result<Group> {
    let config = policy.config();
    let question = question(policy)?;
    let trajectories = (0..candidates as u64)
        .map(|candidate| {
            let key = Key { step: 0, task: 0, candidate };
            let mut stream = Streams::new(0).stream(key, "bench.tokens", 0);
            let mut token = |below: usize| stream.below(below) as u32;
            let answer: Vec<u32> = (0..8).map(|_| token(50)).collect();
            let tokens = config.num_vq_tokens;
            let (mut chosen, mut undecided) = (Vec::new(), Vec::new());
            let mut masked = tokens;
            for step in 0..steps {
                for position in 0..tokens {
                    chosen.push(token(config.codebook_size));
                    undecided.push(position < masked);
                }
                masked = MaskSchedule::Cosine.remask(step, steps, tokens, masked);
            }
            let (said, painted) = (vec![-3.0; answer.len()], vec![-5.0; chosen.len()]);
            let understanding = Segment::text(question.clone(), answer, said);
            let generation = Segment::masked((1..17).collect(), tokens, chosen, painted, undecided).with_guidance(2.0);
            Trajectory::new(candidate, vec![understanding, generation])
        })
        .collect();
    let advantages = (0..candidates).map(|i| i as f64 / candidates as f64 - 0.5).collect();
    Ok(Group::new(0, trajectories, advantages))
}
