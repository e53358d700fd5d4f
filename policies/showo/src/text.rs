//! Text to token ids and back: a `tokenizer.json` checked against the model's config.

use std::collections::HashMap;
use std::path::Path;

use counterpoint::{Error, Result};
use tokenizers::Tokenizer;

use crate::config::ShowoConfig;

/// The text tokenizer of one model.
///
/// A concept such as `<ada>` is expanded to its own tokens wherever it is encoded: `<ada_0> <ada_1> .. <ada>`, as many as
/// the vocabulary has, in the order of UniCTokens (soft tokens first, the name last).
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    /// Soft tokens by the id of their concept.
    soft: HashMap<u32, Vec<u32>>,
}

impl TextTokenizer {
    /// Reads `tokenizer.json` and checks that it is the one `config` was made for.
    ///
    /// # Errors
    /// [`Weights`](counterpoint::ErrorKind::Weights) when the file cannot be read, [`Config`](counterpoint::ErrorKind::Config)
    /// when a special token is missing or has another id than in `config`, or the vocabulary is too large.
    pub fn load(path: &Path, config: &ShowoConfig) -> Result<Self> {
        let tokenizer = Tokenizer::from_file(path)
            .map_err(|e| Error::weights("cannot read the tokenizer").at(path.display()).with_source(e))?;
        Self::new(tokenizer, config).map_err(|e| e.at(path.display()))
    }

    /// Wraps a tokenizer that is already in memory.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) as in [`load`](Self::load).
    pub fn new(tokenizer: Tokenizer, config: &ShowoConfig) -> Result<Self> {
        for (name, expected) in config.special_token_ids.named() {
            match tokenizer.token_to_id(name) {
                Some(id) if id == expected => {}
                got => {
                    let got = got.map_or("no such token".into(), |id| format!("id {id}"));
                    return Err(Error::config(format!(
                        "special token {name}: expected id {expected} as in the config, got {got}; config.json and \
                         tokenizer.json belong to different models"
                    )));
                }
            }
        }
        let size = tokenizer.get_vocab_size(true);
        if size > config.text_vocab_size {
            return Err(Error::config(format!(
                "expected at most {} text tokens (text_vocab_size), got {size} in the tokenizer",
                config.text_vocab_size
            )));
        }
        let mut this = Self { tokenizer, soft: HashMap::new() };
        this.soft = this.find_soft_tokens()?;
        Ok(this)
    }

    /// Every concept that has a token `<name_0>`, with `<name_0>`, `<name_1>`, ..
    fn find_soft_tokens(&self) -> Result<HashMap<u32, Vec<u32>>> {
        let vocabulary = self.tokenizer.get_vocab(true);
        let mut found = HashMap::new();
        for name in vocabulary.keys().filter_map(|token| token.strip_prefix('<')?.strip_suffix("_0>")) {
            let soft = (0..).map_while(|k| vocabulary.get(&format!("<{name}_{k}>")).copied()).collect();
            found.insert(self.concept_id(&format!("<{name}>"))?, soft);
        }
        Ok(found)
    }

    /// Token ids of `text`, concepts expanded, without begin or end of text.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when the tokenizer refuses the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.pieces(text)?;
        Ok(match self.soft.is_empty() {
            true => ids,
            false => ids.iter().flat_map(|id| self.soft.get(id).into_iter().flatten().chain([id])).copied().collect(),
        })
    }

    fn pieces(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self
            .tokenizer
            .encode(text, false)
            .map_err(|e| Error::data(format!("cannot tokenise {text:?}")).with_source(e))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of `ids`; special tokens and ids outside of the text vocabulary are left out.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when the tokenizer cannot put the tokens together.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let text =
            self.tokenizer.decode(ids, true).map_err(|e| Error::data("cannot decode token ids").with_source(e))?;
        Ok(text.trim().to_owned())
    }

    /// The one token that stands for a concept such as `<ada>`.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when the name is not one token of the vocabulary.
    pub fn concept_id(&self, name: &str) -> Result<u32> {
        match self.pieces(name)?[..] {
            [id] => Ok(id),
            ref pieces => Err(Error::data(format!(
                "concept {name}: expected one token of its own, got {} pieces; add it to tokenizer.json",
                pieces.len()
            ))),
        }
    }
}
