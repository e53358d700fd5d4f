//! Published tokenizers, read and applied by the `tokenizers` library.

use std::path::Path;

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use counterpoint::{Error, Result};
use tokenizers::{PaddingParams, PaddingStrategy, PostProcessor, Tokenizer, TruncationParams};

mod vocabulary;

/// File name of a tokenizer that is described in full.
const FILE: &str = "tokenizer.json";

/// Texts as token ids, padded on the right to the longest.
#[derive(Debug, Clone)]
pub struct TextBatch {
    /// Token ids, `[b, l]`.
    pub ids: Tensor<2, Int>,
    /// True at real tokens, false at padding, `[b, l]`.
    pub keep: Tensor<2, Bool>,
}

/// A tokenizer with the truncation and padding that a tower needs.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    inner: Tokenizer,
}

impl TextTokenizer {
    /// The tokenizer in `dir`; texts are cut to `max_length` tokens, special tokens included and kept.
    ///
    /// What is there decides: `tokenizer.json`, else `vocab.txt` (WordPiece, as BERT and ERNIE publish it), else
    /// `vocab.json` with `merges.txt` (CLIP's byte pairs). For the last two `tokenizer_config.json` is heeded when it is
    /// there: `do_lower_case`, `strip_accents`, `tokenize_chinese_chars`, and the names of the special tokens.
    ///
    /// # Errors
    /// When no file is there or one is damaged, a special token is not in the vocabulary, or `max_length` has no room
    /// for the special tokens and one more.
    pub fn load(dir: &Path, max_length: usize) -> Result<Self> {
        let path = dir.join(FILE);
        if !path.is_file() {
            let described = vocabulary::read(dir)?.to_string();
            return Self::from_bytes(described.as_bytes(), max_length).map_err(|e| e.at(dir.display()));
        }
        let bytes = std::fs::read(&path).map_err(|e| Error::io("cannot read", &path, e))?;
        Self::from_bytes(&bytes, max_length).map_err(|e| e.at(path.display()))
    }

    /// The same from the text of a `tokenizer.json`.
    ///
    /// # Errors
    /// When it is not a tokenizer, or `max_length` has no room for the special tokens and one more.
    pub fn from_bytes(json: &[u8], max_length: usize) -> Result<Self> {
        let bad = |e: tokenizers::Error| Error::data("expected a tokenizer.json, got something else").with_source(e);
        let mut inner = Tokenizer::from_bytes(json).map_err(bad)?;
        let special = inner.get_post_processor().map_or(0, |p| p.added_tokens(false));
        if max_length <= special {
            return Err(Error::config(format!(
                "expected a max_length above the {special} special tokens of every text, got {max_length}"
            )));
        }
        let pad = inner.get_padding().cloned().unwrap_or_else(|| guessed_padding(&inner));
        inner.with_padding(Some(PaddingParams { strategy: PaddingStrategy::BatchLongest, ..pad }));
        let cut = TruncationParams { max_length, ..Default::default() };
        inner.with_truncation(Some(cut)).map_err(|e| Error::config("cannot cut texts").with_source(e))?;
        Ok(Self { inner })
    }

    /// One more than the greatest id, added tokens included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1)
    }

    /// Checks that a tower of `size` tokens knows every one of them; `dir` is where both are from.
    ///
    /// # Errors
    /// When it does not.
    pub fn check_fits(&self, size: usize, dir: &Path) -> Result<()> {
        match self.vocab_size() {
            got if got <= size => Ok(()),
            got => Err(Error::weights(format!(
                "expected a tokenizer of at most {size} tokens in {}, got {got}; the files do not belong together",
                dir.display()
            ))),
        }
    }

    /// The id of one token.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The id that pads.
    pub fn pad_id(&self) -> u32 {
        self.inner.get_padding().map_or(0, |padding| padding.pad_id)
    }

    /// The ids of one text with special tokens, cut, not padded.
    ///
    /// # Errors
    /// When the text cannot be encoded or has no token at all.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>> {
        let encoded = self.inner.encode(text, true);
        let encoded = encoded.map_err(|e| Error::data(format!("cannot tokenize {text:?}")).with_source(e))?;
        match encoded.get_ids() {
            [] => Err(Error::data(format!("expected a text of at least one token, got {text:?}"))),
            ids => Ok(ids.to_vec()),
        }
    }

    /// The text of `ids`, special tokens left out.
    ///
    /// # Errors
    /// When an id is unknown to the decoder.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.inner.decode(ids, true).map_err(|e| Error::data("cannot turn token ids into text").with_source(e))
    }

    /// Encodes `texts` with special tokens.
    ///
    /// # Errors
    /// When a text cannot be encoded or has no token at all, or there are no texts.
    pub fn encode<S: AsRef<str>>(&self, texts: &[S], device: &Device) -> Result<TextBatch> {
        let inputs: Vec<&str> = texts.iter().map(AsRef::as_ref).collect();
        let encoded = self
            .inner
            .encode_batch(inputs, true)
            .map_err(|e| Error::data("cannot tokenize the texts of a batch").with_source(e))?;
        let length = encoded.first().map_or(0, |e| e.get_ids().len());
        let mut ids = Vec::with_capacity(encoded.len() * length);
        let mut keep = Vec::with_capacity(encoded.len() * length);
        for (text, encoding) in texts.iter().zip(&encoded) {
            if !encoding.get_attention_mask().contains(&1) {
                return Err(Error::data(format!("expected a text of at least one token, got {:?}", text.as_ref())));
            }
            ids.extend(encoding.get_ids().iter().map(|&id| i64::from(id)));
            keep.extend(encoding.get_attention_mask().iter().map(|&m| m == 1));
        }
        if length == 0 {
            return Err(Error::data("expected at least one text, got none"));
        }
        let shape = [encoded.len(), length];
        Ok(TextBatch {
            ids: Tensor::from_data(TensorData::new(ids, shape), device),
            keep: Tensor::from_data(TensorData::new(keep, shape), device),
        })
    }
}

/// Padding for a file that names none: the usual names of the token, else id 0 (masked, so any id will do).
fn guessed_padding(tokenizer: &Tokenizer) -> PaddingParams {
    let found = ["[PAD]", "<pad>"].into_iter().find_map(|t| Some((t, tokenizer.token_to_id(t)?)));
    let (token, id) = found.unwrap_or(("[PAD]", 0));
    PaddingParams { pad_token: token.into(), pad_id: id, ..Default::default() }
}
