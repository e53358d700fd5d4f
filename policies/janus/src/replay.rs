//! Recorded decisions scored again: each prompt in one pass and what follows it in another, as every
//! token is predicted where the one before it stands.

use burn::tensor::{Int, Tensor, TensorData};
use counterpoint::device::constant;
use counterpoint::{Error, LogProbs, Replay, Result};
use counterpoint_policy_common::replay::{common, distinct, score};
use counterpoint_policy_common::tokens::{index, to_tensor};

use crate::shown::Shown;
use crate::{Janus, KvCache, SpecialIds};

/// A model and what it needs to read a trajectory.
#[derive(Clone)]
pub(crate) struct Scorer {
    pub(crate) model: Janus,
    pub(crate) ids: SpecialIds,
    pub(crate) shown: Shown,
}

impl Scorer {
    /// The same with another model.
    pub(crate) fn with(&self, model: Janus) -> Self {
        Self { model, ..self.clone() }
    }

    /// Answers. The first id of a context is the number of the image that it is about, 0 for none.
    pub(crate) fn text(&self, chunk: &[Replay<'_>]) -> Result<LogProbs> {
        let temperature = common(chunk, "temperature", |s| s.temperature)?;
        let (contexts, of) = distinct(chunk.iter().map(|replay| &replay.segment().context[..]));
        let (mut questions, mut images, mut shown) = (Vec::new(), Vec::new(), Vec::new());
        for (row, context) in contexts.iter().enumerate() {
            let Some((&image, question)) = context.split_first().filter(|(_, question)| !question.is_empty()) else {
                return Err(Error::contract("expected an image's number and a question before an answer, got less"));
            };
            if image > 0 {
                images.push(image);
                shown.push(row);
            }
            questions.push(question);
        }
        let images = self.read(&images)?.map(|images| (images, &shown[..]));
        let prompts = Prompts::new(&questions, of, self.ids.pad)?;
        let embedded = self.model.embed_text(&prompts.rows, images)?;
        let hidden = match written(chunk, self.ids.pad) {
            Some(tokens) => self.states(prompts, embedded, Some(self.model.embed_text(&tokens, None)?)),
            None => self.states(prompts, embedded, None),
        };
        let logits = self.model.text_logits(at(hidden, chunk));
        Ok(score(logits / temperature, chunk))
    }

    /// Images: code j is predicted where code j - 1 stands, the first one at the token that begins the image.
    pub(crate) fn images(&self, chunk: &[Replay<'_>]) -> Result<LogProbs> {
        let guidance = common(chunk, "guidance", |s| s.guidance)?;
        let temperature = common(chunk, "temperature", |s| s.temperature)?;
        let (contexts, of) = distinct(chunk.iter().map(|replay| &replay.segment().context[..]));
        let prompts = Prompts::new(&contexts, of, self.ids.pad)?;
        let prompts = if guidance > 0.0 { prompts.with_unconditional(&self.ids) } else { prompts };
        let embedded = self.model.embed_text(&prompts.rows, None)?;
        let codes = written(chunk, 0).map(|codes| {
            let codes = self.model.embed_codes(to_tensor(&codes, &self.model.device()));
            if guidance > 0.0 { codes.repeat_dim(0, 2) } else { codes }
        });
        let hidden = self.states(prompts, embedded, codes);
        let count = chunk.len();
        let logits = match guidance > 0.0 {
            false => self.model.code_logits(at(hidden, chunk)),
            true => {
                let half = |from| self.model.code_logits(at(hidden.clone().narrow(0, from, count), chunk));
                half(0) * (1.0 + guidance) - half(count) * guidance
            }
        };
        Ok(score(logits / temperature, chunk))
    }

    /// States where each decision is predicted: of the last token of the prompt, then of what was written after it. Each prompt is read once.
    ///
    /// # Shapes
    /// `embedded` `[prompts, P, H]`, `written` `[B, L, H]` or none; output `[B, 1 + L, H]`.
    fn states(&self, prompts: Prompts, embedded: Tensor<3>, written: Option<Tensor<3>>) -> Tensor<3> {
        let device = embedded.device();
        let mut past = KvCache::default();
        let hidden = self.model.forward(embedded, &prompts.attended, &mut past);
        let last = hidden.narrow(1, past.len() - 1, 1).select(0, index(&prompts.of, &device));
        let Some(written) = written else { return last };
        let all = past.len() + written.dims()[1];
        let follow = |&prompt: &usize| {
            let mut row = prompts.attended[prompt].clone();
            row.resize(all, true);
            row
        };
        let attended: Vec<Vec<bool>> = prompts.of.iter().map(follow).collect();
        let hidden = self.model.states(written, &attended, &past.select(&prompts.of, &device));
        Tensor::cat(vec![last, hidden], 1)
    }

    /// What the decoder reads of the images of these numbers, each looked at once.
    pub(crate) fn read(&self, numbers: &[u32]) -> Result<Option<Tensor<3>>> {
        if numbers.is_empty() {
            return Ok(None);
        }
        let mut distinct: Vec<u32> = numbers.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let device = self.model.device();
        // They may have been seen by a copy on another device.
        let pixels = |&number: &u32| Ok(self.shown.get(number)?.to_device(&device));
        let pixels = distinct.iter().map(pixels).collect::<Result<Vec<_>>>()?;
        let features = self.model.read(constant(Tensor::cat(pixels, 0), &device))?;
        let place = |number: &u32| distinct.binary_search(number).unwrap_or(0);
        let order: Vec<usize> = numbers.iter().map(place).collect();
        Ok(Some(features.select(0, index(&order, &device))))
    }
}

/// Different prompts, filled up on the left.
pub(crate) struct Prompts {
    pub(crate) rows: Vec<Vec<u32>>,
    /// Which of their tokens may be attended.
    pub(crate) attended: Vec<Vec<bool>>,
    /// Which of them each sequence follows.
    pub(crate) of: Vec<usize>,
}

impl Prompts {
    pub(crate) fn new(contexts: &[&[u32]], of: Vec<usize>, pad: u32) -> Result<Self> {
        if contexts.iter().any(|context| context.is_empty()) {
            return Err(Error::contract("expected a prompt that ends with the token that begins an image, got none"));
        }
        let longest = contexts.iter().map(|context| context.len()).max().unwrap_or(0);
        let fill = |context: &&[u32]| longest - context.len();
        Ok(Self {
            rows: contexts.iter().map(|context| [&vec![pad; fill(context)], *context].concat()).collect(),
            attended: contexts.iter().map(|context| (0..longest).map(|i| i >= fill(context)).collect()).collect(),
            of,
        })
    }

    /// The same, and after them as many with nothing said, for as many sequences more: what begins them and what begins the image stay,
    /// all else is padding (attended as before, as in the original).
    pub(crate) fn with_unconditional(mut self, ids: &SpecialIds) -> Self {
        let said = |&id: &u32| if id == ids.bos || id == ids.boi { id } else { ids.pad };
        let unsaid: Vec<Vec<u32>> = self.rows.iter().map(|row| row.iter().map(said).collect()).collect();
        let count = self.rows.len();
        self.rows.extend(unsaid);
        self.attended.extend_from_within(..);
        self.of = self.of.iter().copied().chain(self.of.iter().map(|prompt| count + prompt)).collect();
        self
    }
}

/// What was written before the last decision of each replay, filled up to the longest; none where the first one is the last.
fn written(chunk: &[Replay<'_>], pad: u32) -> Option<Vec<Vec<u32>>> {
    let longest = chunk.iter().map(|replay| replay.steps.end - 1).max().unwrap_or(0);
    let row = |replay: &Replay<'_>| {
        let mut row = replay.segment().chosen[..replay.steps.end - 1].to_vec();
        row.resize(longest, pad);
        row
    };
    (longest > 0).then(|| chunk.iter().map(row).collect())
}

/// States where the decisions of each replay are predicted, as many as the longest has, the last one repeated.
///
/// # Shapes
/// `[B, L, H]` to `[B, longest, H]`.
fn at(hidden: Tensor<3>, chunk: &[Replay<'_>]) -> Tensor<3> {
    let [batch, length, width] = hidden.dims();
    if chunk.iter().all(|replay| replay.steps == (0..length)) {
        return hidden;
    }
    let longest = chunk.iter().map(|replay| replay.steps.len()).max().unwrap_or(0);
    let places = chunk.iter().flat_map(|replay| (0..longest).map(|j| (replay.steps.start + j).min(length - 1) as i32));
    let places = TensorData::new(places.collect::<Vec<_>>(), [batch, longest]);
    let places = Tensor::<2, Int>::from_data(places, &hidden.device());
    hidden.gather(1, places.unsqueeze_dim::<3>(2).expand([batch, longest, width]))
}
