//! BERTScore: how alike two texts are by the hidden states of BERT, word by word.

use burn::tensor::{Device, FloatDType, Tensor};
use counterpoint::{Error, Result};
use counterpoint_encoders::bert::TokenTypes;
use counterpoint_encoders::{BertConfig, BertEncoder, TextMemo, dot, l2_normalise};
use counterpoint_weights::Precision;

use crate::CaptionPart;
use crate::words::{word_pieces, words};

/// Texts of one forward pass.
const TEXTS: usize = 16;

/// BERTScore-F1. Every word of one text looks for the word of the other that is most like it, by the cosine of their hidden states:
///
/// ```text
/// P = mean over words c of the candidate of max over words r of the reference of cos(h_c, h_r)
/// R = mean over words r of the reference of max over words c of the candidate of cos(h_r, h_c)
/// F1 = 2 P R / (P + R)
/// ```
///
/// Words are tokens but `[CLS]` and `[SEP]`. torchmetrics makes those two zeros, so that no maximum is below 0; in the package
/// `bert-score` they are not counted, and may still be what a word is most like (`match_special`).
#[derive(Debug)]
pub struct BertScore {
    tower: BertEncoder,
    layer: usize,
    width: usize,
    texts: TextMemo,
    match_special: bool,
    baseline: f64,
}

impl BertScore {
    /// The score as `part` says, computed on `device`.
    ///
    /// # Errors
    /// When a file is missing or damaged, the files do not belong together, or a setting is out of range.
    pub fn load(part: &CaptionPart, precision: Precision, device: &Device) -> Result<Self> {
        let config = BertConfig::read(&part.bert)?;
        let (depth, longest) = (config.num_hidden_layers, config.max_position_embeddings);
        let layer = part.layer.unwrap_or(depth);
        if layer > depth {
            return Err(Error::config(format!(
                "caption.layer: expected a layer up to {depth}, which is the last one of {}, got {layer}",
                part.bert.display()
            )));
        }
        let baseline = part.baseline.unwrap_or(0.0);
        if !baseline.is_finite() || baseline >= 1.0 {
            return Err(Error::config(format!("caption.baseline: expected a number below 1, got {baseline}")));
        }
        let tokenizer = word_pieces(&part.bert, longest, config.vocab_size).map_err(|e| e.at("caption.bert"))?;
        Ok(Self {
            tower: BertConfig::load(&part.bert, precision, device)?,
            layer,
            width: config.hidden_size,
            texts: TextMemo::new(tokenizer, longest, TEXTS, device.clone()).keeping(0),
            match_special: part.match_special,
            baseline,
        })
    }

    /// F1 of every pair of a candidate and a reference: at most 1, and 0 where one of them has no word. Texts are cut to the longest that
    /// the tower reads.
    ///
    /// # Errors
    /// When a text cannot be encoded.
    pub fn f1(&mut self, pairs: &[(&str, &str)]) -> Result<Vec<f64>> {
        let (tower, layer) = (&self.tower, self.layer);
        let texts: Vec<&str> = pairs.iter().flat_map(|(candidate, reference)| [*candidate, *reference]).collect();
        let embedded = self.texts.embed(&texts, |batch| {
            let [rows, length] = batch.ids.dims();
            let states = tower.forward_to(layer, batch.ids, &batch.keep, TokenTypes::default());
            let width = states.dims()[2];
            // One number more for each token says whether it is real.
            let real: Tensor<3> = batch.keep.cast(FloatDType::F32).unsqueeze_dim(2);
            Ok(Tensor::cat(vec![l2_normalise(states), real], 2).reshape([rows, length * (width + 1)]))
        })?;
        let tokens: Vec<Vec<&[f32]>> = embedded.iter().map(|text| real_tokens(text, self.width)).collect();
        let f1 = |pair: &[Vec<&[f32]>]| match pair {
            [candidate, reference] => (self.raw(candidate, reference) - self.baseline) / (1.0 - self.baseline),
            _ => f64::NAN,
        };
        Ok(tokens.chunks(2).map(f1).collect())
    }

    /// F1 before the baseline, of the tokens of two texts, special ones included.
    fn raw(&self, candidate: &[&[f32]], reference: &[&[f32]]) -> f64 {
        let (own, other) = (words(candidate), words(reference));
        if own.is_empty() || other.is_empty() {
            return 0.0;
        }
        let (precision, recall) = match self.match_special {
            true => (likeness(own, reference, f64::NEG_INFINITY), likeness(other, candidate, f64::NEG_INFINITY)),
            false => (likeness(own, other, 0.0), likeness(other, own, 0.0)),
        };
        let sum = precision + recall;
        if sum == 0.0 { 0.0 } else { 2.0 * precision * recall / sum }
    }
}

/// The states of the tokens that are no padding.
fn real_tokens(text: &[f32], width: usize) -> Vec<&[f32]> {
    let tokens = text.chunks_exact(width + 1).map(|token| token.split_at(width));
    tokens.filter(|(_, real)| real == &[1.0]).map(|(state, _)| state).collect()
}

/// The mean over `words` of the greatest cosine with one of `others`, which is `least` or more.
fn likeness(words: &[&[f32]], others: &[&[f32]], least: f64) -> f64 {
    let greatest = |word: &&[f32]| others.iter().map(|other| dot(word, other)).fold(least, f64::max);
    words.iter().map(greatest).sum::<f64>() / words.len() as f64
}
