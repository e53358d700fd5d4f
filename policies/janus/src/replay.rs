//! Recorded decisions scored again: each sequence in one pass, as every token is predicted where the one before it stands.

use burn::tensor::{Int, Tensor, TensorData};
use counterpoint::device::constant;
use counterpoint::{Error, LogProbs, Replay, Result, Segment};
use counterpoint_policy_common::replay::{common, score};
use counterpoint_policy_common::tokens::to_tensor;

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
        let (mut rows, mut images, mut starts) = (Vec::new(), Vec::new(), Vec::new());
        let mut shown = Vec::new();
        for (row, replay) in chunk.iter().enumerate() {
            let Segment { context, chosen, .. } = replay.segment();
            let Some((&image, question)) = context.split_first().filter(|(_, question)| !question.is_empty()) else {
                return Err(Error::contract("expected an image's number and a question before an answer, got less"));
            };
            if image > 0 {
                images.push(image);
                shown.push(row);
            }
            starts.push(question.len() - 1 + replay.steps.start);
            rows.push([question, &chosen[..replay.steps.end - 1]].concat());
        }
        let longest = rows.iter().map(Vec::len).max().unwrap_or(0);
        let attended: Vec<Vec<bool>> = rows.iter().map(|row| (0..longest).map(|i| i < row.len()).collect()).collect();
        rows.iter_mut().for_each(|row| row.resize(longest, self.ids.pad));
        let images = self.read(&images)?.map(|images| (images, &shown[..]));
        let embedded = self.model.embed_text(&rows, images)?;
        let hidden = self.model.forward(embedded, &attended, &mut KvCache::default());
        let logits = self.model.text_logits(at(hidden, chunk, &starts));
        Ok(score(logits / temperature, chunk))
    }

    /// Images: code j is predicted where code j - 1 stands, the first one at the token that begins the image.
    pub(crate) fn images(&self, chunk: &[Replay<'_>]) -> Result<LogProbs> {
        let guidance = common(chunk, "guidance", |s| s.guidance)?;
        let temperature = common(chunk, "temperature", |s| s.temperature)?;
        let contexts: Vec<&[u32]> = chunk.iter().map(|r| &r.segment().context[..]).collect();
        let mut prompts = Prompts::new(&contexts, self.ids.pad)?;
        let begun: usize = chunk.iter().map(|r| r.steps.end - 1).max().unwrap_or(0);
        let written = chunk.iter().map(|replay| {
            let mut row = replay.segment().chosen[..replay.steps.end - 1].to_vec();
            row.resize(begun, 0);
            row
        });
        let mut codes: Vec<Vec<u32>> = written.collect();
        if guidance > 0.0 {
            prompts = prompts.with_unconditional(&self.ids);
            codes.extend_from_within(..);
        }
        let Prompts { rows, mut attended } = prompts;
        attended.iter_mut().for_each(|row| row.extend(vec![true; begun]));
        let width = rows[0].len();
        let mut embedded = self.model.embed_text(&rows, None)?;
        if begun > 0 {
            embedded = Tensor::cat(vec![embedded, self.model.embed_codes(to_tensor(&codes, &self.model.device()))], 1);
        }
        let hidden = self.model.forward(embedded, &attended, &mut KvCache::default());
        let starts: Vec<usize> = chunk.iter().map(|replay| width - 1 + replay.steps.start).collect();
        let logits = |hidden| self.model.code_logits(at(hidden, chunk, &starts));
        let count = chunk.len();
        let logits = match guidance > 0.0 {
            false => logits(hidden),
            true => {
                let conditional = logits(hidden.clone().narrow(0, 0, count));
                let unconditional = logits(hidden.narrow(0, count, count));
                conditional * (1.0 + guidance) - unconditional * guidance
            }
        };
        Ok(score(logits / temperature, chunk))
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
        let place = |number: &u32| distinct.binary_search(number).unwrap_or(0) as i32;
        let order: Vec<i32> = numbers.iter().map(place).collect();
        Ok(Some(features.select(0, Tensor::<1, Int>::from_ints(&order[..], &device))))
    }
}

/// Prompts filled up on the left.
pub(crate) struct Prompts {
    pub(crate) rows: Vec<Vec<u32>>,
    /// Which of their tokens may be attended.
    pub(crate) attended: Vec<Vec<bool>>,
}

impl Prompts {
    pub(crate) fn new(contexts: &[&[u32]], pad: u32) -> Result<Self> {
        if contexts.iter().any(|context| context.is_empty()) {
            return Err(Error::contract("expected a prompt that ends with the token that begins an image, got none"));
        }
        let longest = contexts.iter().map(|context| context.len()).max().unwrap_or(0);
        let fill = |context: &&[u32]| longest - context.len();
        Ok(Self {
            rows: contexts.iter().map(|context| [&vec![pad; fill(context)], *context].concat()).collect(),
            attended: contexts.iter().map(|context| (0..longest).map(|i| i >= fill(context)).collect()).collect(),
        })
    }

    /// The same, and after them as many with nothing said: what begins them and what begins the image stay, all else is padding
    /// (attended as before, as in the original).
    pub(crate) fn with_unconditional(mut self, ids: &SpecialIds) -> Self {
        let said = |&id: &u32| if id == ids.bos || id == ids.boi { id } else { ids.pad };
        let unsaid: Vec<Vec<u32>> = self.rows.iter().map(|row| row.iter().map(said).collect()).collect();
        self.rows.extend(unsaid);
        self.attended.extend_from_within(..);
        self
    }
}

/// States from `starts` on, as many as the longest replay has decisions, the last one repeated.
///
/// # Shapes
/// `[B, L, H]` to `[B, longest, H]`.
fn at(hidden: Tensor<3>, chunk: &[Replay<'_>], starts: &[usize]) -> Tensor<3> {
    let [batch, length, width] = hidden.dims();
    let longest = longest(chunk);
    let places: Vec<i32> =
        starts.iter().flat_map(|&start| (0..longest).map(move |j| (start + j).min(length - 1) as i32)).collect();
    let places = Tensor::<2, Int>::from_data(TensorData::new(places, [batch, longest]), &hidden.device());
    hidden.gather(1, places.unsqueeze_dim::<3>(2).expand([batch, longest, width]))
}

fn longest(chunk: &[Replay<'_>]) -> usize {
    chunk.iter().map(|replay| replay.steps.len()).max().unwrap_or(0)
}
