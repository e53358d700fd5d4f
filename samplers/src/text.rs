//! Autoregressive text: one token after the other, batched over the candidates of one context.

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData, Transaction};
use counterpoint::{Candidate, Error, Result};
use serde::{Deserialize, Serialize};

use crate::invert::invert_cdf;

/// A model that continues text.
pub trait TextModel {
    /// What it keeps of the tokens so far.
    type Cache;

    /// Reads `context` once and gives `copies` sequences that share it.
    ///
    /// # Shapes
    /// The scores of the next token, `[copies, vocab]`, f32.
    ///
    /// # Errors
    /// When the context does not fit the model.
    fn prefill(&self, context: &[u32], copies: usize) -> Result<(Self::Cache, Tensor<2>)>;

    /// Appends one token to every sequence.
    ///
    /// # Shapes
    /// `tokens` `[B, 1]`; the scores of the next token, `[B, vocab]`, f32.
    fn advance(&self, cache: &mut Self::Cache, tokens: Tensor<2, Int>) -> Tensor<2>;

    /// Goes on with the sequences `rows` alone, in that order: the others have ended.
    fn keep(&self, cache: &mut Self::Cache, rows: &[usize]);

    /// Where the model computes.
    fn text_device(&self) -> Device;

    /// Tokens that end a text.
    fn stop_tokens(&self) -> &[u32];
}

/// Settings of [`Autoregressive`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AutoregressiveConfig {
    /// Most tokens to write, at least 1.
    pub max_new_tokens: usize,
    /// Temperature, at least 0; 0 takes the most probable token.
    pub temperature: f32,
    /// Only the k most probable tokens are drawn; 0 means all.
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
    /// Log-probability of each under the temperature-scaled distribution over the whole vocabulary.
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
        let mut texts = vec![Continuation::default(); candidates.len()];
        if candidates.is_empty() {
            return Ok(texts);
        }
        let device = model.text_device();
        let mut streams: Vec<_> = candidates.iter().map(|c| c.stream("text.token", 0)).collect();
        // The candidates that still write, one row each.
        let mut writing: Vec<usize> = (0..candidates.len()).collect();
        let (mut cache, mut logits) = model.prefill(context, candidates.len())?;
        for position in 1..=self.config.max_new_tokens {
            let uniforms: Vec<f32> = writing.iter().map(|&candidate| streams[candidate].uniform()).collect();
            let uniforms = Tensor::from_data(TensorData::new(uniforms, [writing.len(), 1]), &device);
            let log_probs = log_softmax(logits / self.scoring_temperature(), 1);
            let mut tokens = self.draw(log_probs.clone(), uniforms);
            let chosen = log_probs.gather(1, tokens.clone());
            let (ids, values) = fetch(tokens.clone(), chosen)?;
            let mut going = Vec::with_capacity(writing.len());
            for (row, &candidate) in writing.iter().enumerate() {
                texts[candidate].tokens.push(ids[row]);
                texts[candidate].log_probs.push(values[row]);
                if !model.stop_tokens().contains(&ids[row]) {
                    going.push(row);
                }
            }
            if going.is_empty() || position == self.config.max_new_tokens {
                break;
            }
            if going.len() < writing.len() {
                let rows: Vec<i32> = going.iter().map(|&row| row as i32).collect();
                tokens = tokens.select(0, Tensor::<1, Int>::from_ints(&rows[..], &device));
                model.keep(&mut cache, &going);
                writing = going.into_iter().map(|row| writing[row]).collect();
            }
            logits = model.advance(&mut cache, tokens);
        }
        Ok(texts)
    }

    /// One token per row of `log_probs` `[B, vocab]`.
    fn draw(&self, log_probs: Tensor<2>, uniforms: Tensor<2>) -> Tensor<2, Int> {
        let vocab = log_probs.dims()[1];
        if self.config.temperature == 0.0 {
            return log_probs.argmax(1);
        }
        let top_k = if self.config.top_k == 0 { vocab } else { self.config.top_k.min(vocab) };
        if top_k == vocab && self.config.top_p >= 1.0 {
            return invert_cdf(log_probs.exp(), uniforms);
        }
        let (sorted, order) = log_probs.sort_descending_with_indices(1);
        let sorted = sorted.narrow(1, 0, top_k).exp();
        let order = order.narrow(1, 0, top_k);
        // A token stays when those before it have not reached top_p yet (of the k kept, renormalised); the first always.
        let mass = sorted.clone().sum_dim(1) * self.config.top_p;
        let before = sorted.clone().cumsum(1) - sorted.clone();
        let dropped = before.greater_equal(mass.expand([-1, top_k as i64]));
        let place = invert_cdf(sorted.mask_fill(dropped, 0.0), uniforms);
        order.gather(1, place)
    }
}

/// Tokens and their log-probabilities on the host.
fn fetch(tokens: Tensor<2, Int>, log_probs: Tensor<2>) -> Result<(Vec<u32>, Vec<f32>)> {
    let failed = |e: String| Error::contract("cannot read the sampled text from the device").with_source(e);
    let fetched =
        Transaction::default().register(tokens).register(log_probs).try_execute().map_err(|e| failed(e.to_string()))?;
    let mut fetched = fetched.into_iter();
    let mut next = || fetched.next().ok_or_else(|| failed("a transaction of two returned fewer".into()));
    let ids = next()?.convert::<i64>().try_into_vec::<i64>().map_err(|e| failed(format!("{e:?}")))?;
    let values = next()?.convert::<f32>().try_into_vec::<f32>().map_err(|e| failed(format!("{e:?}")))?;
    Ok((ids.into_iter().map(|id| id as u32).collect(), values))
}
