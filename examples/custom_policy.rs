//! A policy of your own under the same trainer: a GRU that learns to write words one can pronounce.
//! A program brings a [`Policy`], a function that draws from it, tasks and a [`Reward`]; the rest is the engine's.
//!
//!     cargo run --release -p counterpoint-examples --example custom_policy
#![allow(clippy::print_stdout)]

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig, gru};
use burn::tensor::{Device, Int, Tensor, TensorData, activation::log_softmax};
use counterpoint::{
    Candidate, Error, Learner, LogProbs, ModuleLearner, Parameters, Parts, Policy, Replay, Result, Reward,
    RewardEnsemble, Rollout, Sample, Score, Segment, Streams, SyncGrpoConfig, Task, Trainer, Trajectory,
    config::TrainerConfig, one_shot,
};

const LETTERS: usize = 26;
const START: u32 = LETTERS as u32; // what a word begins after
const LENGTH: usize = 8;

/// The model: any burn module will do.
#[derive(Module, Debug)]
struct Writer {
    letters: Embedding,
    gru: gru::Gru,
    head: Linear,
}

impl Writer {
    /// Log-probabilities of the letter after each one, `[n, length, LETTERS]`.
    fn next(&self, text: Tensor<2, Int>) -> Tensor<3> {
        log_softmax(self.head.forward(self.gru.forward(self.letters.forward(text), None)), 2)
    }
}

/// The policy: the module under training and a frozen copy of it.
struct WriterPolicy {
    learner: ModuleLearner<Writer>,
    reference: Writer,
}

impl Policy for WriterPolicy {
    /// Scores recorded words again: one row per replay, one column per letter.
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        let writer = match parameters {
            Parameters::Current => self.learner.module().clone(),
            Parameters::Detached => self.learner.module().valid(),
            Parameters::Reference => self.reference.clone(),
        };
        let ids = |row: fn(&Segment) -> Vec<u32>| {
            let flat: Vec<u32> = chunk.iter().flat_map(|r| row(r.segment())).collect();
            Tensor::<2, Int>::from_data(TensorData::new(flat, [chunk.len(), LENGTH]), &writer.head.weight.device())
        };
        let read = ids(|s| [&s.context[..], &s.chosen[..LENGTH - 1]].concat());
        let written = ids(|s| s.chosen.clone()).unsqueeze_dim::<3>(2);
        Ok(LogProbs::new(writer.next(read).gather(2, written).squeeze_dim(2)))
    }

    fn learner(&mut self) -> &mut dyn Learner {
        &mut self.learner
    }
}

/// The sampler: letter after letter, all candidates in one batch.
fn write(policy: &WriterPolicy, task: &Task, candidates: &[Candidate]) -> Result<Vec<Rollout>> {
    let writer = policy.learner.module().valid();
    let (device, n) = (&writer.head.weight.device(), candidates.len());
    // Randomness belongs to the candidate, not to the batch: a run is the same however it is spread.
    let uniforms: Vec<f32> = candidates.iter().flat_map(|c| c.stream("letter", 0).uniforms(LENGTH)).collect();
    let uniforms = Tensor::<2>::from_data(TensorData::new(uniforms, [n, LENGTH]), device);
    let (mut text, mut scores) = (Tensor::<2, Int>::full([n, 1], START, device), Vec::new());
    for i in 0..LENGTH {
        let log_probs = writer.next(text.clone()).narrow(1, i, 1).squeeze_dim::<2>(1);
        let below = log_probs.clone().exp().cumsum(1).lower(uniforms.clone().narrow(1, i, 1).expand([n, LETTERS]));
        let letter = below.int().sum_dim(1).clamp_max(LETTERS as i64 - 1);
        scores.push(log_probs.gather(1, letter.clone()));
        text = Tensor::cat(vec![text, letter], 1);
    }
    let unreadable = |e| Error::contract("cannot read the words from the device").with_source(e);
    let text = text.narrow(1, 1, LENGTH).try_into_vec_as::<u32>().map_err(unreadable)?;
    let scores = Tensor::cat(scores, 1).try_into_vec_as::<f32>().map_err(unreadable)?;
    let rollout = |(row, candidate): (usize, &Candidate)| {
        let (mine, number) = (row * LENGTH..(row + 1) * LENGTH, candidate.key.candidate);
        let word = text[mine.clone()].iter().map(|&id| char::from(b'a' + id as u8)).collect();
        let segment = Segment::text(vec![START], text[mine.clone()].to_vec(), scores[mine].to_vec());
        Rollout::new(Trajectory::new(number, vec![segment]), Sample::new(task, number, String::new(), word, None))
    };
    Ok(candidates.iter().enumerate().map(rollout).collect())
}

/// The reward: the share of neighbouring letters of which exactly one is a vowel.
struct Pronounceable;

impl Reward for Pronounceable {
    fn name(&self) -> &str {
        "pronounceable"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let score = |sample: &Sample| {
            let vowels: Vec<bool> = sample.response.chars().map(|c| "aeiou".contains(c)).collect();
            Score::Value(vowels.windows(2).filter(|pair| pair[0] != pair[1]).count() as f64 / (LENGTH - 1) as f64)
        };
        Ok(samples.iter().map(score).collect())
    }
}

fn main() -> Result<()> {
    let device = Device::flex();
    device.seed(1);
    let writer = Writer {
        letters: EmbeddingConfig::new(LETTERS + 1, 16).init(&device),
        gru: gru::GruConfig::new(16, 32, true).init(&device),
        head: LinearConfig::new(32, LETTERS).init(&device),
    };
    let learner = ModuleLearner::new(writer.clone().to_device(&device.clone().autodiff()).train());
    let parts = Parts::new(
        Box::new(WriterPolicy { learner, reference: writer.no_grad() }),
        one_shot(write),
        RewardEnsemble::single(Pronounceable),
        Box::new(|_step: u64, cursor: u64, _: &Streams| Ok(Task::new(cursor, "Write a word."))),
    )?
    .with_objective(SyncGrpoConfig::dr_grpo().init()?);
    let config = TrainerConfig { group_size: 16, learning_rate: 0.01, ..Default::default() };
    let mut trainer = Trainer::new(parts, config, 42)?;
    let mut means = [0.0; 10];
    for (tenth, mean) in means.iter_mut().enumerate() {
        let reward = |_| Ok(trainer.step()?.metrics.get("reward").unwrap_or(0.0));
        *mean = (0..10).map(reward).sum::<Result<f64>>()? / 10.0;
        println!("steps {:2} to {:2}: mean reward {mean:.3}", 10 * tenth, 10 * tenth + 9);
    }
    println!("from {:.3} in the first ten steps to {:.3} in the last ten", means[0], means[9]);
    Ok(())
}
