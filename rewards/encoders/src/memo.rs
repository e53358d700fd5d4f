//! Embeddings of texts, each distinct text embedded once.
//!
//! An embedding is a function of its text alone, to the last bit, whatever else was embedded before or beside it: a text is
//! padded to the next multiple of a few tokens and goes through the tower in a batch of a fixed number of rows. That is what
//! lets embeddings be kept while a resumed run, which has kept none, stays equal to the uninterrupted one.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use counterpoint::{Error, Result};

use crate::tokenizer::{TextBatch, TextTokenizer};

/// A text's tokens are padded to a multiple of this many.
const STRIDE: usize = 16;

/// How many embeddings are kept by default.
const KEPT: usize = 1 << 16;

/// A tokenizer with the embeddings that a tower made of its texts.
#[derive(Debug)]
pub struct TextMemo {
    tokenizer: TextTokenizer,
    longest: usize,
    rows: usize,
    device: Device,
    kept: usize,
    known: HashMap<String, Arc<[f32]>>,
}

impl TextMemo {
    /// Texts are cut to `longest` tokens (what the tokenizer cuts to) and embedded `rows` at a time; both at least 1.
    pub fn new(tokenizer: TextTokenizer, longest: usize, rows: usize, device: Device) -> Self {
        Self { tokenizer, longest, rows: rows.max(1), device, kept: KEPT, known: HashMap::new() }
    }

    /// The same that keeps at most `most` embeddings from one call to the next: when they are more, all are forgotten. 65,536 by
    /// default; 0 for embeddings that are too large to be kept.
    pub fn keeping(self, most: usize) -> Self {
        Self { kept: most, ..self }
    }

    /// One embedding per text. Those that are not known are made by `embed`, which gets `rows` texts and gives `[rows, d]`.
    ///
    /// # Errors
    /// When a text has no token, and those of `embed`.
    pub fn embed<S: AsRef<str>>(
        &mut self,
        texts: &[S],
        embed: impl Fn(TextBatch) -> Result<Tensor<2>>,
    ) -> Result<Vec<Arc<[f32]>>> {
        if self.known.len() > self.kept {
            self.known.clear();
        }
        let mut by_length: BTreeMap<usize, Vec<(&str, Vec<u32>)>> = BTreeMap::new();
        let mut seen = std::collections::HashSet::new();
        for text in texts.iter().map(AsRef::as_ref) {
            if !self.known.contains_key(text) && seen.insert(text) {
                let ids = self.tokenizer.ids(text)?;
                let length = ids.len().next_multiple_of(STRIDE).min(self.longest.max(ids.len()));
                by_length.entry(length).or_default().push((text, ids));
            }
        }
        for (length, texts) in by_length {
            for texts in texts.chunks(self.rows) {
                let rows = embed(self.batch(texts, length))?;
                let width = rows.dims()[1];
                let values: Vec<f32> = rows.into_data().iter::<f32>().collect();
                for ((text, _), row) in texts.iter().zip(values.chunks(width)) {
                    self.known.insert((*text).to_owned(), row.into());
                }
            }
        }
        let lost = || Error::contract("expected an embedding per text, got fewer");
        texts.iter().map(|text| self.known.get(text.as_ref()).cloned().ok_or_else(lost)).collect()
    }

    /// `texts`, 1 or more, as a whole batch of `rows`: the first one stands in for those that lack.
    fn batch(&self, texts: &[(&str, Vec<u32>)], length: usize) -> TextBatch {
        let pad = i64::from(self.tokenizer.pad_id());
        let (mut ids, mut keep) = (Vec::with_capacity(self.rows * length), Vec::with_capacity(self.rows * length));
        for row in 0..self.rows {
            let own = &texts[if row < texts.len() { row } else { 0 }].1;
            ids.extend((0..length).map(|i| own.get(i).map_or(pad, |&id| i64::from(id))));
            keep.extend((0..length).map(|i| i < own.len()));
        }
        let shape = [self.rows, length];
        TextBatch {
            ids: Tensor::<2, Int>::from_data(TensorData::new(ids, shape), &self.device),
            keep: Tensor::<2, Bool>::from_data(TensorData::new(keep, shape), &self.device),
        }
    }
}
