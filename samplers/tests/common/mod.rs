//! Models whose distributions are known exactly.
#![allow(dead_code)]

use burn::tensor::{Device, Int, Tensor, TensorData};
use counterpoint::{Candidate, Key, Result, Streams};
use counterpoint_samplers::{ImageModel, ImageScores, TextModel};

pub fn candidates(range: std::ops::Range<u64>) -> Vec<Candidate> {
    range.map(|candidate| Candidate::new(Streams::new(7), Key { step: 0, task: 0, candidate })).collect()
}

/// Scores of every position are the same, whatever the image; `tokens` positions.
pub struct Painter {
    pub tokens: usize,
    pub logits: Vec<f32>,
}

impl ImageModel for Painter {
    type Prompts = usize;

    fn image_tokens(&self) -> usize {
        self.tokens
    }

    fn codebook_size(&self) -> usize {
        self.logits.len()
    }

    fn device(&self) -> Device {
        Device::flex()
    }

    fn prepare(&self, prompts: &[&[u32]], _guidance: f32) -> Result<usize> {
        Ok(prompts.len())
    }

    fn image_scores(&self, batch: &usize, codes: Tensor<2, Int>) -> ImageScores {
        assert_eq!(codes.dims(), [*batch, self.tokens]);
        let one = Tensor::<1>::from_floats(&self.logits[..], &Device::flex()).reshape([1, 1, self.logits.len()]);
        one.expand([*batch, self.tokens, self.logits.len()]).into()
    }
}

/// The next token's scores depend on the last token alone: row `last` of a table.
pub struct Writer {
    pub table: Vec<Vec<f32>>,
    pub stop: Vec<u32>,
}

impl Writer {
    fn rows(&self, last: &[u32]) -> Tensor<2> {
        let flat: Vec<f32> = last.iter().flat_map(|&id| self.table[id as usize].clone()).collect();
        Tensor::from_data(TensorData::new(flat, [last.len(), self.table.len()]), &Device::flex())
    }
}

impl TextModel for Writer {
    type Cache = ();

    fn prefill(&self, context: &[u32], copies: usize) -> Result<((), Tensor<2>)> {
        let last = *context.last().unwrap();
        Ok(((), self.rows(&vec![last; copies])))
    }

    fn advance(&self, (): &mut (), tokens: Tensor<2, Int>) -> Tensor<2> {
        let last: Vec<u32> = tokens.into_data().iter::<i64>().map(|id| id as u32).collect();
        self.rows(&last)
    }

    fn keep(&self, (): &mut (), _rows: &[usize]) {}

    fn text_device(&self) -> Device {
        Device::flex()
    }

    fn stop_tokens(&self) -> &[u32] {
        &self.stop
    }
}

/// Softmax in f64.
pub fn softmax(logits: &[f32], temperature: f64) -> Vec<f64> {
    let exp: Vec<f64> = logits.iter().map(|&l| (f64::from(l) / temperature).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.iter().map(|e| e / sum).collect()
}

/// Pearson's statistic of `counts` against `probs`; about chi-square with (classes - 1) degrees of freedom.
pub fn chi_square(counts: &[usize], probs: &[f64]) -> f64 {
    let n = counts.iter().sum::<usize>() as f64;
    counts.iter().zip(probs).filter(|(_, p)| **p > 0.0).map(|(&c, p)| (c as f64 - n * p).powi(2) / (n * p)).sum()
}
