//! Show-o under training: replay of recorded decisions.

use std::sync::OnceLock;

use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use counterpoint::{Decoding, Error, Learner, LogProbs, ModuleLearner, Policy, Replay, Result, Segment, Weights};

use crate::{Allowed, MagvitV2, Showo, ShowoConfig, TextTokenizer, prompting, tokens};

/// A [`Policy`] over a [`Showo`] decoder with its image and text tokenizers, which are frozen.
pub struct ShowoPolicy {
    config: ShowoConfig,
    learner: ModuleLearner<Showo>,
    reference: Showo,
    text: Option<TextTokenizer>,
    image: MagvitV2,
    blank: OnceLock<Vec<u32>>,
    device: Device,
}

impl ShowoPolicy {
    /// Puts a policy together. `decoder` lives on `device`, without autodiff; a copy of it becomes the frozen reference.
    /// Without a text tokenizer it can be trained and scored on token ids, and draws none from tasks.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when the numbers of `config` do not agree with each other.
    pub fn new(
        config: ShowoConfig,
        decoder: Showo,
        text: Option<TextTokenizer>,
        image: MagvitV2,
        device: &Device,
    ) -> Result<Self> {
        config.validate()?;
        let trained = decoder.clone().to_device(&device.clone().autodiff()).train();
        Ok(Self {
            config,
            learner: ModuleLearner::new(trained),
            reference: decoder.no_grad(),
            text,
            image,
            blank: OnceLock::new(),
            device: device.clone(),
        })
    }

    /// The model's sizes and ids.
    pub fn config(&self) -> &ShowoConfig {
        &self.config
    }

    /// The decoder under training.
    pub fn decoder(&self) -> &Showo {
        self.learner.module()
    }

    /// The learner, typed.
    pub fn module_learner(&mut self) -> &mut ModuleLearner<Showo> {
        &mut self.learner
    }

    /// Replaces the frozen reference.
    pub fn set_reference(&mut self, reference: Showo) {
        self.reference = reference.no_grad();
    }

    /// The text tokenizer.
    ///
    /// # Errors
    /// [`Contract`](counterpoint::ErrorKind::Contract) when the policy was built without one.
    pub fn text_tokenizer(&self) -> Result<&TextTokenizer> {
        self.text.as_ref().ok_or_else(|| Error::contract("this policy was built without a text tokenizer"))
    }

    /// The image tokenizer.
    pub fn image_tokenizer(&self) -> &MagvitV2 {
        &self.image
    }

    /// Image codes of a black image, as the public code shows it for questions that are about none; encoded when first
    /// asked for.
    pub(crate) fn blank(&self) -> Result<&[u32]> {
        if let Some(codes) = self.blank.get() {
            return Ok(codes);
        }
        let size = self.config.image_size();
        let pixels = Tensor::<4>::full([1, 3, size, size], -1.0, &self.device);
        let codes = tokens::to_rows(self.image.encode(pixels)?)?.remove(0);
        Ok(self.blank.get_or_init(|| codes))
    }

    /// Device of the model, without autodiff.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// A differentiation-free view of the current parameters.
    pub(crate) fn frozen(&self) -> Showo {
        self.learner.module().valid()
    }

    fn scorer(&self, weights: Weights) -> (Showo, Device) {
        match weights {
            Weights::Current => (self.learner.module().clone(), self.device.clone().autodiff()),
            Weights::Detached => (self.frozen(), self.device.clone()),
            Weights::Reference => (self.reference.clone(), self.device.clone()),
        }
    }

    /// Reasoning: one pass over context and answer; logits only where an answer token is predicted.
    fn text_log_probs(&self, chunk: &[Replay<'_>], weights: Weights) -> Result<LogProbs> {
        let (model, device) = self.scorer(weights);
        let mut rows: Vec<Vec<u32>> = chunk
            .iter()
            .map(|r| {
                let segment = r.segment();
                let answer = &segment.chosen[..r.steps.end - 1];
                segment.context.iter().chain(answer).copied().collect()
            })
            .collect();
        prompting::pad_right(&self.config, &mut rows);
        let allowed = Allowed::mmu(&self.config, &rows)?.tensor(&device);
        let hidden = model.forward(tokens::to_tensor(&rows, &device), allowed);

        // Token j of the answer is predicted at the position before it.
        let longest = chunk.iter().map(|r| r.decisions().len()).max().unwrap_or(0);
        let width = hidden.dims()[2];
        let positions: Vec<i32> = chunk
            .iter()
            .flat_map(|r| {
                let first = r.segment().context.len() - 1 + r.steps.start;
                let last = first + r.decisions().len() - 1;
                (0..longest).map(move |j| (first + j).min(last) as i32)
            })
            .collect();
        let positions = Tensor::<2, Int>::from_data(TensorData::new(positions, [chunk.len(), longest]), &device);
        let positions = positions.unsqueeze_dim::<3>(2).expand([chunk.len(), longest, width]);
        let logits = model.logits(hidden.gather(1, positions));
        let temperature = common(chunk, "temperature", |s| s.temperature)?;
        let chosen = padded(chunk, longest, &device);
        Ok(score(logits / temperature, chosen))
    }

    /// Denoising: each replay is one step; conditional and unconditional rows in one batch, guided as when sampling.
    fn image_log_probs(&self, chunk: &[Replay<'_>], weights: Weights) -> Result<LogProbs> {
        let (model, device) = self.scorer(weights);
        let guidance = common(chunk, "guidance", |s| s.guidance)?;
        let mask = self.config.codebook_size as u32;
        let mut rows = Vec::with_capacity(2 * chunk.len());
        let mut images = Vec::with_capacity(chunk.len());
        for replay in chunk {
            let (segment, range) = (replay.segment(), replay.decisions());
            if range.len() != self.config.num_vq_tokens {
                return Err(Error::contract(format!(
                    "expected one denoising step of {} image tokens per replay, got {} decisions",
                    self.config.num_vq_tokens,
                    range.len()
                )));
            }
            let codes = range.map(|i| if segment.undecided[i] { mask } else { segment.chosen[i] });
            let image: Vec<u32> = codes.map(|code| vocabulary_id(&self.config, code)).collect();
            rows.push(prompting::t2i_sequence(&self.config, &segment.context, &image));
            images.push(image);
        }
        if guidance > 0.0 {
            rows.extend(images.iter().map(|image| prompting::t2i_sequence(&self.config, &[], image)));
        }
        let allowed = Allowed::t2i(&self.config, &rows)?.tensor(&device);
        let span = self.config.t2i_image_span();
        let hidden = model.forward(tokens::to_tensor(&rows, &device), allowed).narrow(1, span.start, span.len());
        let logits = guide(model.image_logits(hidden), guidance);
        let chosen = padded(chunk, self.config.num_vq_tokens, &device);
        Ok(score(logits, chosen))
    }
}

impl Policy for ShowoPolicy {
    fn kind(&self) -> &str {
        "showo"
    }

    fn log_probs(&self, chunk: &[Replay<'_>], weights: Weights) -> Result<LogProbs> {
        let Some(first) = chunk.first() else {
            return Err(Error::contract("expected at least one replay in a chunk, got none"));
        };
        match first.segment().decoding {
            Decoding::Autoregressive => self.text_log_probs(chunk, weights),
            Decoding::Masked => self.image_log_probs(chunk, weights),
        }
    }

    fn learner(&mut self) -> &mut dyn Learner {
        &mut self.learner
    }
}

/// `(1 + g) conditional - g unconditional`, the first half of the batch being conditional; as it is when g is 0.
pub(crate) fn guide(logits: Tensor<3>, guidance: f32) -> Tensor<3> {
    if guidance == 0.0 {
        return logits;
    }
    let mut halves = logits.chunk(2, 0).into_iter();
    match (halves.next(), halves.next()) {
        (Some(conditional), Some(unconditional)) => conditional * (1.0 + guidance) - unconditional * guidance,
        (only, _) => only.unwrap_or_else(|| unreachable!("a tensor has at least one chunk")),
    }
}

/// The vocabulary id of an image code, the codebook's size standing for the mask token.
pub(crate) fn vocabulary_id(config: &ShowoConfig, code: u32) -> u32 {
    if code as usize == config.codebook_size { config.mask_token_id } else { code + config.image_token_offset }
}

/// Chosen ids `[n, width]`, 0 where a row is shorter.
fn padded(chunk: &[Replay<'_>], width: usize, device: &Device) -> Tensor<2, Int> {
    let rows: Vec<Vec<u32>> = chunk
        .iter()
        .map(|r| {
            let mut row = r.segment().chosen[r.decisions()].to_vec();
            row.resize(width, 0);
            row
        })
        .collect();
    tokens::to_tensor(&rows, device)
}

fn score(logits: Tensor<3>, chosen: Tensor<2, Int>) -> LogProbs {
    let all = log_softmax(logits, 2);
    let entropy = {
        let all = all.clone().inner();
        (all.clone().exp() * all).sum_dim(2).neg().squeeze_dim::<2>(2)
    };
    let log_probs = all.gather(2, chosen.unsqueeze_dim::<3>(2)).squeeze_dim::<2>(2);
    LogProbs { log_probs, entropy: Some(entropy) }
}

fn common(chunk: &[Replay<'_>], what: &str, value: impl Fn(&Segment) -> f32) -> Result<f32> {
    let first = value(chunk[0].segment());
    match chunk.iter().all(|r| value(r.segment()) == first) {
        true => Ok(first),
        false => Err(Error::contract(format!("the replays of a chunk were sampled with different {what}"))),
    }
}
