//! A bigram text model and a bag-of-codes denoiser behind one [`Policy`].

use std::sync::{Arc, Mutex};

use burn::module::{Module, Param};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use counterpoint::{
    Decoding, Key, Learner, LogProbs, ModuleLearner, Parameters, Policy, Replay, Result, SegmentKind, Stream, Streams,
};

use super::slow::{Saving, Slowly};
use super::{CODES, POSITIONS, VOCABULARY};

const WIDTH: usize = 8;

/// What a test makes the policy do wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// Scores this decision of one step of a segment half a nat too high.
    Skew { kind: SegmentKind, step: usize, position: usize },
    /// Log-probabilities are NaN.
    NanScore,
    /// Log-probabilities are right and their gradient is NaN.
    NanGradient,
    /// One column is missing from what it returns.
    Narrow,
}

/// The fault that is switched on at the moment.
pub type Faults = Arc<Mutex<Option<Fault>>>;

#[derive(Module, Debug)]
pub struct Toy {
    token: Param<Tensor<2>>,
    token_head: Param<Tensor<2>>,
    code: Param<Tensor<2>>,
    position: Param<Tensor<2>>,
    code_head: Param<Tensor<2>>,
}

fn ids(rows: &[Vec<u32>], device: &Device) -> Tensor<2, Int> {
    let width = rows.first().map_or(0, Vec::len);
    let flat: Vec<i32> = rows.iter().flatten().map(|&id| id as i32).collect();
    Tensor::from_data(TensorData::new(flat, [rows.len(), width]), device)
}

fn look_up(table: &Param<Tensor<2>>, ids: Tensor<2, Int>) -> Tensor<3> {
    let [n, length] = ids.dims();
    table.val().select(0, ids.reshape([-1])).reshape([n, length, WIDTH])
}

impl Toy {
    fn new(device: &Device) -> Self {
        let mut stream = Streams::new(11).stream(Key::task(0, 0), "toy", 0);
        let mut param = |rows: usize, columns: usize| {
            let values: Vec<f32> = stream.uniforms(rows * columns).iter().map(|u| 2.0 * u - 1.0).collect();
            Param::from_data(TensorData::new(values, [rows, columns]), device)
        };
        Self {
            token: param(VOCABULARY, WIDTH),
            token_head: param(WIDTH, VOCABULARY),
            code: param(CODES + 1, WIDTH),
            position: param(POSITIONS, WIDTH),
            code_head: param(WIDTH, CODES),
        }
    }

    fn device(&self) -> Device {
        self.token.val().device()
    }

    /// Log-probabilities of what follows each token, `[n, length, VOCABULARY]`.
    pub fn next_token(&self, tokens: &[Vec<u32>]) -> Tensor<3> {
        let hidden = look_up(&self.token, ids(tokens, &self.device())).tanh();
        log_softmax(hidden.matmul(self.token_head.val().unsqueeze()), 2)
    }

    /// Log-probabilities of every position's code given the text's last token and the codes, `[n, POSITIONS, CODES]`.
    pub fn codes(&self, text: &[u32], codes: &[Vec<u32>]) -> Tensor<3> {
        let device = self.device();
        let codes = look_up(&self.code, ids(codes, &device));
        let text = look_up(&self.token, ids(&text.iter().map(|&t| vec![t]).collect::<Vec<_>>(), &device));
        let hidden = codes.clone() + codes.mean_dim(1) + text + self.position.val().unsqueeze::<3>();
        log_softmax(hidden.tanh().matmul(self.code_head.val().unsqueeze()), 2)
    }
}

pub struct ToyPolicy {
    learner: Saving<Toy>,
    reference: Toy,
    faults: Faults,
    noise: Option<Heard>,
}

/// The first uniform of each noise that scores of an update were asked with.
pub type Heard = Arc<Mutex<Vec<f32>>>;

impl ToyPolicy {
    pub fn new(faults: Faults) -> Self {
        let reference = Toy::new(&Device::flex());
        let trained = Toy::new(&Device::flex().autodiff());
        let learner = Saving { inner: ModuleLearner::new(trained), slowly: None };
        Self { learner, reference: reference.no_grad(), faults, noise: None }
    }

    /// The same, with checkpoints that take time.
    pub fn saving(mut self, slowly: Slowly) -> Self {
        self.learner.slowly = Some(slowly);
        self
    }

    /// The same, half a nat too high in updates, where it notes the noise.
    pub fn noisy(mut self, heard: Heard) -> Self {
        self.noise = Some(heard);
        self
    }

    /// The current parameters, without gradients.
    pub fn current(&self) -> Toy {
        self.learner.inner.module().valid()
    }

    pub fn parameters(&self) -> Vec<f32> {
        let toy = self.current();
        [toy.token, toy.token_head, toy.code, toy.position, toy.code_head]
            .into_iter()
            .flat_map(|p| p.val().try_into_vec_as::<f32>().unwrap())
            .collect()
    }

    /// The accumulated gradients of all parameters, which are kept.
    pub fn gradients(&mut self) -> Vec<f64> {
        ["token", "token_head", "code", "position", "code_head"]
            .into_iter()
            .flat_map(|path| self.learner.inner.gradient(path).unwrap().try_into_vec_as::<f32>().unwrap())
            .map(f64::from)
            .collect()
    }

    fn faulty(&self, scores: Tensor<2>, chunk: &[Replay<'_>]) -> Tensor<2> {
        let [rows, columns] = scores.dims();
        match *self.faults.lock().unwrap() {
            None => scores,
            Some(Fault::NanScore) => scores * f32::NAN,
            Some(Fault::NanGradient) => scores.clone() + (scores * 0.0).sqrt(),
            Some(Fault::Narrow) => scores.narrow(1, 0, columns - 1),
            Some(Fault::Skew { kind, step, position }) => {
                let skew: Vec<f32> = chunk
                    .iter()
                    .flat_map(|r| {
                        let first = r.segment().per_step * step + position;
                        let hit = move |d: usize| r.segment().kind == kind && d == first;
                        (0..columns).map(move |c| if hit(r.decisions().start + c) { 0.5 } else { 0.0 })
                    })
                    .collect();
                let device = scores.device();
                scores + Tensor::from_data(TensorData::new(skew, [rows, columns]), &device)
            }
        }
    }
}

impl Policy for ToyPolicy {
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        let toy = match parameters {
            Parameters::Current => self.learner.inner.module().clone(),
            Parameters::Detached => self.learner.inner.module().valid(),
            Parameters::Reference => self.reference.clone(),
        };
        let last = |r: &Replay<'_>| *r.segment().context.last().unwrap();
        let longest = chunk.iter().map(|r| r.decisions().len()).max().unwrap();
        let pad = |mut row: Vec<u32>| {
            row.resize(longest, 0);
            row
        };
        let all = match chunk[0].segment().decoding {
            Decoding::Autoregressive => {
                let shifted = chunk.iter().map(|r| {
                    let before = r.segment().chosen[r.decisions()].split_last().unwrap().1;
                    pad([&[last(r)], before].concat())
                });
                toy.next_token(&shifted.collect::<Vec<_>>())
            }
            Decoding::Masked => {
                let seen = chunk.iter().map(|r| {
                    let segment = r.segment();
                    r.decisions().map(|i| if segment.undecided[i] { CODES as u32 } else { segment.chosen[i] }).collect()
                });
                toy.codes(&chunk.iter().map(last).collect::<Vec<_>>(), &seen.collect::<Vec<_>>())
            }
        };
        let chosen: Vec<Vec<u32>> = chunk.iter().map(|r| pad(r.segment().chosen[r.decisions()].to_vec())).collect();
        let entropy = (all.clone().exp() * all.clone()).sum_dim(2).neg().squeeze_dim::<2>(2);
        let chosen = ids(&chosen, &toy.device()).unsqueeze_dim::<3>(2);
        let log_probs = self.faulty(all.gather(2, chosen).squeeze_dim::<2>(2), chunk);
        Ok(LogProbs::new(log_probs).with_entropy(entropy))
    }

    fn training_log_probs(&self, chunk: &[Replay<'_>], mut noise: Stream) -> Result<LogProbs> {
        let mut scores = self.log_probs(chunk, Parameters::Current)?;
        if let Some(heard) = &self.noise {
            heard.lock().unwrap().push(noise.uniform());
            scores.log_probs = scores.log_probs + 0.5;
        }
        Ok(scores)
    }

    fn copied(&self, device: &Device, _last: Option<Box<dyn Policy>>) -> Result<Box<dyn Policy>> {
        let current = self.current().to_device(device);
        let inner = ModuleLearner::new(current.clone().to_device(&device.clone().autodiff()));
        let learner = Saving { inner, slowly: None };
        Ok(Box::new(Self { learner, reference: current, faults: self.faults.clone(), noise: None }))
    }

    fn device(&self) -> Option<Device> {
        Some(Device::flex())
    }

    fn kind(&self) -> &str {
        "toy"
    }

    fn learner(&mut self) -> &mut dyn Learner {
        &mut self.learner
    }
}
