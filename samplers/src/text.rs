//! Autoregressive text: one token after the other, batched over the candidates of one context.

use burn::tensor::activation::log_softmax;
use burn::tensor::{DType, Device, Int, Tensor, TensorData, Transaction};
use counterpoint::device::is_cpu;
use counterpoint::{Candidate, Error, Result};
use serde::{Deserialize, Serialize};

use crate::invert::invert_cdf;

/// Tokens that are written between two looks at which texts have ended, where a look is dear.
const TOKENS_BETWEEN_READS: usize = 8;

/// A model that continues text.
pub trait TextModel {
    /// What it keeps of the tokens so far.
    type Cache;

    /// Reads `context` once and gives `copies` sequences that share it.
    ///
    /// # Shapes
    /// The scores of the next token, `[copies, ids]`, f32: of every id that may be written, from id 0 on.
    ///
    /// # Errors
    /// When the context does not fit the model.
    fn prefill(&self, context: &[u32], copies: usize) -> Result<(Self::Cache, Tensor<2>)>;

    /// Appends one token to every sequence.
    ///
    /// # Shapes
    /// `tokens` `[B, 1]`; the scores of the next token, `[B, ids]`, f32.
    fn advance(&self, cache: &mut Self::Cache, tokens: Tensor<2, Int>) -> Tensor<2>;

    /// Goes on with the sequences `rows` alone, in that order: the others have ended.
    fn keep(&self, cache: &mut Self::Cache, rows: &[usize]);

    /// Where the model computes.
    fn text_device(&self) -> Device;

    /// Tokens that end a text.
    fn stop_tokens(&self) -> &[u32];
}

/// Settings of [`Autoregressive`]. The public release of Show-o answers with at most 100 tokens at temperature 1 and `top_k = 1`,
/// which is `temperature = 0` here: it takes the most probable token. That leaves nothing to learn from, so a rollout draws.
///
/// Log-probabilities are recorded, and scored again in updates, over all ids that the model gives a score, at `temperature` but
/// before `top_k` and `top_p`: both need an order of all ids at every token, which an update would have to repeat, and what
/// they leave out could not come back. With either, rollouts are somewhat more peaked than what is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AutoregressiveConfig {
    /// Most tokens to write, at least 1.
    pub max_new_tokens: usize,
    /// Temperature, at least 0; 0 takes the most probable token.
    pub temperature: f32,
    /// Only the k most probable tokens are drawn, of the ids that the model gives a score; 0 means all.
    pub top_k: usize,
    /// Only the most probable tokens that together reach this probability are drawn; in (0, 1].
    pub top_p: f32,
}

impl Default for AutoregressiveConfig {
    fn default() -> Self {
        Self { max_new_tokens: 64, temperature: 1.0, top_k: 0, top_p: 1.0 }
    }
}

impl AutoregressiveConfig {
    /// The sampler with these settings.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) naming the key, its range and the value.
    pub fn init(self) -> Result<Autoregressive> {
        if self.max_new_tokens == 0 {
            return Err(Error::config("sampler.text.max_new_tokens: expected at least 1, got 0"));
        }
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            return Err(Error::config(format!(
                "sampler.text.temperature: expected a number of at least 0, got {}",
                self.temperature
            )));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(Error::config(format!("sampler.text.top_p: expected a number in (0, 1], got {}", self.top_p)));
        }
        Ok(Autoregressive { config: self })
    }
}

/// What a candidate wrote.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Continuation {
    /// Its tokens, the stop token included if one came.
    pub tokens: Vec<u32>,
    /// Log-probability of each under the temperature-scaled distribution over all ids that the model gives a score.
    pub log_probs: Vec<f32>,
}

/// The text sampler.
#[derive(Debug, Clone, PartialEq)]
pub struct Autoregressive {
    config: AutoregressiveConfig,
}

impl Autoregressive {
    /// Its settings.
    pub fn config(&self) -> &AutoregressiveConfig {
        &self.config
    }

    /// The temperature at which log-probabilities are recorded: 1 for greedy decoding.
    pub fn scoring_temperature(&self) -> f32 {
        if self.config.temperature == 0.0 { 1.0 } else { self.config.temperature }
    }

    /// Continues `context` once per candidate, until each has stopped.
    ///
    /// # Errors
    /// When the context does not fit the model or the device fails.
    pub fn generate<M: TextModel>(
        &self,
        model: &M,
        context: &[u32],
        candidates: &[Candidate],
    ) -> Result<Vec<Continuation>> {
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let device = model.text_device();
        // Reading tokens back stops a GPU's queue: there, some tokens after a text's end are written for nothing.
        let stride = if is_cpu(&device) { 1 } else { TOKENS_BETWEEN_READS };
        self.generate_in(stride, model, context, candidates)
    }

    /// The same with `stride` tokens between two looks at which texts have ended.
    fn generate_in<M: TextModel>(
        &self,
        stride: usize,
        model: &M,
        context: &[u32],
        candidates: &[Candidate],
    ) -> Result<Vec<Continuation>> {
        let mut texts = vec![Continuation::default(); candidates.len()];
        let device = model.text_device();
        let mut streams: Vec<_> = candidates.iter().map(|c| c.stream("text.token", 0)).collect();
        // The candidates that still write, one row each.
        let mut writing: Vec<usize> = (0..candidates.len()).collect();
        let (mut cache, mut logits) = model.prefill(context, candidates.len())?;
        let mut unread = Vec::with_capacity(stride);
        for position in 1..=self.config.max_new_tokens {
            let uniforms: Vec<f32> = writing.iter().map(|&candidate| streams[candidate].uniform()).collect();
            let uniforms = Tensor::from_data(TensorData::new(uniforms, [writing.len(), 1]), (&device, DType::F32));
            let log_probs = log_softmax(logits / self.scoring_temperature(), 1);
            let AutoregressiveConfig { temperature, top_k, top_p, .. } = self.config;
            let mut tokens = draw(log_probs.clone(), uniforms, temperature, top_k, top_p);
            unread.push((tokens.clone(), log_probs.gather(1, tokens.clone())));
            let last = position == self.config.max_new_tokens;
            if last || unread.len() == stride {
                let going = read(&mut unread, &writing, &mut texts, model.stop_tokens())?;
                if last || going.is_empty() {
                    break;
                }
                if going.len() < writing.len() {
                    let rows: Vec<i32> = going.iter().map(|&row| row as i32).collect();
                    tokens = tokens.select(0, Tensor::<1, Int>::from_ints(&rows[..], &device));
                    model.keep(&mut cache, &going);
                    writing = going.into_iter().map(|row| writing[row]).collect();
                }
            }
            logits = model.advance(&mut cache, tokens);
        }
        Ok(texts)
    }
}

/// One id per row of `log_probs` `[B, ids]`, `[B, 1]`: the most probable one at temperature 0, otherwise one that a uniform of its own
/// `[B, 1]` draws, of the `top_k` (0: all) most probable ones, and of these of those that together reach `top_p`.
pub(crate) fn draw(
    log_probs: Tensor<2>,
    uniforms: Tensor<2>,
    temperature: f32,
    top_k: usize,
    top_p: f32,
) -> Tensor<2, Int> {
    let ids = log_probs.dims()[1];
    if temperature == 0.0 {
        return log_probs.argmax(1);
    }
    let top_k = if top_k == 0 { ids } else { top_k.min(ids) };
    if top_k == ids && top_p >= 1.0 {
        return invert_cdf(log_probs.exp(), uniforms);
    }
    let (sorted, order) = log_probs.sort_descending_with_indices(1);
    let sorted = sorted.narrow(1, 0, top_k).exp();
    let order = order.narrow(1, 0, top_k);
    // An id stays when those before it have not reached top_p yet (of the k kept, renormalised); the first always.
    let mass = sorted.clone().sum_dim(1) * top_p;
    let before = sorted.clone().cumsum(1) - sorted.clone();
    let dropped = before.greater_equal(mass.expand([-1, top_k as i64]));
    let place = invert_cdf(sorted.mask_fill(dropped, 0.0), uniforms);
    order.gather(1, place)
}

/// Appends the tokens of some positions, `[B, 1]` with their log-probabilities, to the texts of the candidates `writing`;
/// which rows have not ended.
fn read(
    unread: &mut Vec<(Tensor<2, Int>, Tensor<2>)>,
    writing: &[usize],
    texts: &mut [Continuation],
    stop: &[u32],
) -> Result<Vec<usize>> {
    let (tokens, log_probs): (Vec<_>, Vec<_>) = unread.drain(..).unzip();
    let positions = tokens.len();
    // In this order: the other one is fused wrongly by burn 0.22 (docs/upstream.md).
    let log_probs = Tensor::cat(log_probs, 1);
    let (ids, values) = fetch(Tensor::cat(tokens, 1), log_probs)?;
    let mut going = Vec::with_capacity(writing.len());
    for (row, &candidate) in writing.iter().enumerate() {
        let range = row * positions..(row + 1) * positions;
        let end = ids[range.clone()].iter().position(|id| stop.contains(id));
        let range = range.start..end.map_or(range.end, |end| range.start + end + 1);
        texts[candidate].tokens.extend(&ids[range.clone()]);
        texts[candidate].log_probs.extend(&values[range]);
        if end.is_none() {
            going.push(row);
        }
    }
    Ok(going)
}

/// Tokens and their log-probabilities on the host.
fn fetch(tokens: Tensor<2, Int>, log_probs: Tensor<2>) -> Result<(Vec<u32>, Vec<f32>)> {
    let failed = |e: String| Error::device("cannot read the sampled text from the device").with_source(e);
    let fetched =
        Transaction::default().register(tokens).register(log_probs).try_execute().map_err(|e| failed(e.to_string()))?;
    let mut fetched = fetched.into_iter();
    let mut next = || fetched.next().ok_or_else(|| failed("a transaction of two returned fewer".into()));
    let ids = next()?.convert::<i64>().try_into_vec::<i64>().map_err(|e| failed(format!("{e:?}")))?;
    let values = next()?.convert::<f32>().try_into_vec::<f32>().map_err(|e| failed(format!("{e:?}")))?;
    Ok((ids.into_iter().map(|id| id as u32).collect(), values))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use counterpoint::{Key, Streams};

    use super::*;

    /// Every token as probable as any other; token 0 ends a text.
    struct Even;

    impl TextModel for Even {
        type Cache = usize;

        fn prefill(&self, _context: &[u32], copies: usize) -> Result<(usize, Tensor<2>)> {
            Ok((copies, Tensor::zeros([copies, 5], &self.text_device())))
        }

        fn advance(&self, rows: &mut usize, tokens: Tensor<2, Int>) -> Tensor<2> {
            assert_eq!(tokens.dims(), [*rows, 1]);
            Tensor::zeros([*rows, 5], &self.text_device())
        }

        fn keep(&self, cache: &mut usize, rows: &[usize]) {
            *cache = rows.len();
        }

        fn text_device(&self) -> Device {
            Device::flex()
        }

        fn stop_tokens(&self) -> &[u32] {
            &[0]
        }
    }

    #[test]
    fn texts_do_not_depend_on_how_often_they_are_looked_at() {
        let sampler = AutoregressiveConfig { max_new_tokens: 14, ..Default::default() }.init().unwrap();
        let candidate = |candidate| Candidate::new(Streams::new(1), Key { step: 0, task: 0, candidate });
        let candidates: Vec<Candidate> = (0..12).map(candidate).collect();
        let expected = sampler.generate(&Even, &[1], &candidates).unwrap();
        let lengths: Vec<usize> = expected.iter().map(|text| text.tokens.len()).collect();
        assert!(lengths.contains(&14) && lengths.iter().any(|&length| length < 5), "{lengths:?}");
        for text in &expected {
            assert!(text.tokens.split_last().unwrap().1.iter().all(|&id| id != 0));
        }
        for stride in [2, 8, 50] {
            assert_eq!(sampler.generate_in(stride, &Even, &[1], &candidates).unwrap(), expected, "{stride}");
        }
    }
}
