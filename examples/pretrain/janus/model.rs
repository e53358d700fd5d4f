//! Trains the model: the likelihood of answers and of images, scored by the policy as in reinforcement learning.

use std::path::Path;
use std::time::Instant;

use burn::tensor::Device;
use counterpoint::{DecayScope, Key, OptimizerConfig, Policy as _, Result, Stream, Streams};
use counterpoint_examples::learn;
use counterpoint_janus::{JanusPolicy, TextTokenizer, VqTokenizer};
use counterpoint_weights::{LoadOptions, WeightFiles, load};

use super::lessons::Lessons;
use super::{sizes, text, tokenizer};
use crate::sizes::cosine;

/// A stretch of training, which begins with a new optimizer where the one before it ended.
struct Round {
    steps: usize,
    /// Peak of the rate.
    rate: f64,
    /// Share of careless lessons.
    careless: f32,
}

const ROUNDS: [Round; 2] =
    [Round { steps: 2400, rate: 2e-3, careless: 0.4 }, Round { steps: 1600, rate: 1e-3, careless: 0.3 }];
const WARM_UP: usize = 100;
/// Answers and images of a step.
const ANSWERS: usize = 24;
const IMAGES: usize = 24;
/// Largest norm of a gradient.
const CLIP: f64 = 1.0;

/// Writes `config.json`, `tokenizer.json` and `model.safetensors`, the image tokenizer in it, into `out`, where `vqmodel.safetensors` is.
pub fn run(out: &Path, seed: u64) -> Result<()> {
    let device = Device::flex();
    device.seed(seed);
    let ids = text::write(out)?;
    let config = sizes::config(ids.words, ids.image, ids.pad);
    let text = TextTokenizer::load(out, &config, sizes::chat())?;
    let mut vq = VqTokenizer::init(&config.vq_config, &device);
    load(&mut vq, &WeightFiles::open(&out.join(tokenizer::FILE))?, &LoadOptions::default())?;
    let model = config.init(&device)?;
    let mut policy = JanusPolicy::new(config, text.ids(), model, vq, &device)?.with_text(text);
    for (number, round) in (0..).zip(&ROUNDS) {
        let mut stream = Streams::new(seed).stream(Key::task(number, 0), "lessons", 0);
        learn_round(&mut policy, round, &mut stream)?;
    }
    policy.export(out, None)
}

fn learn_round(policy: &mut JanusPolicy, round: &Round, stream: &mut Stream) -> Result<()> {
    let &Round { steps, rate, careless } = round;
    policy.learner().configure(&optimizer());
    let start = Instant::now();
    for step in 0..steps {
        let lessons = Lessons::new(policy, careless);
        let answers = (0..ANSWERS).map(|_| lessons.answer(stream)).collect::<Result<Vec<_>>>()?;
        let images = lessons.images(IMAGES, stream)?;
        let losses = learn(policy, [&answers, &images], cosine(step, steps, WARM_UP, rate), CLIP, stream)?;
        if (step + 1).is_multiple_of(100) {
            let [answer, image] = losses;
            let seconds = start.elapsed().as_secs_f64();
            println!("janus step {:>5}  {seconds:>5.0} s  loss: answers {answer:.3}, images {image:.3}", step + 1);
        }
    }
    Ok(())
}

fn optimizer() -> OptimizerConfig {
    let mut optimizer = OptimizerConfig::default();
    optimizer.betas = [0.9, 0.99];
    optimizer.weight_decay = 0.01;
    optimizer.decay_scope = DecayScope::Matrices;
    optimizer
}
