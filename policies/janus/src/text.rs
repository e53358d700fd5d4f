//! Text to token ids and back, and the chat that the model was trained on.

use std::path::Path;

use counterpoint::{Error, Result};
use serde::{Deserialize, Serialize};
use tokenizers::Tokenizer;

use crate::{JanusConfig, SpecialIds};

/// The names of the special tokens of Janus-Pro.
const BOS: &str = "<\u{ff5c}begin\u{2581}of\u{2581}sentence\u{ff5c}>";
const EOS: &str = "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>";
pub(crate) const PAD: &str = "<\u{ff5c}\u{2581}pad\u{2581}\u{ff5c}>";
/// What stands for an embedding of an image that is read.
pub(crate) const IMAGE: &str = "<image_placeholder>";
const BOI: &str = "<begin_of_image>";
const EOI: &str = "<end_of_image>";

/// How questions and prompts are put, `{image}`, `{question}` and `{prompt}` standing for themselves. Defaults: Janus-Pro's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Chat {
    /// A question about an image.
    pub about_image: String,
    /// A question about none.
    pub question: String,
    /// A prompt, after which an image begins.
    pub prompt: String,
}

const SYSTEM: &str = "You are a helpful language and vision assistant. You are able to understand the visual content that the user \
                      provides, and assist the user with a variety of tasks using natural language.\n\n";

impl Default for Chat {
    fn default() -> Self {
        Self {
            about_image: format!("{SYSTEM}<|User|>: {{image}}\n{{question}}\n\n<|Assistant|>:"),
            question: format!("{SYSTEM}<|User|>: {{question}}\n\n<|Assistant|>:"),
            prompt: "<|User|>: {prompt}\n\n<|Assistant|>:".to_owned(),
        }
    }
}

/// The text tokenizer of one model.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    chat: Chat,
    ids: SpecialIds,
    image_token: u32,
    /// Embeddings of an image that is read.
    image_embeddings: usize,
}

impl TextTokenizer {
    /// Reads a `tokenizer.json`, or the one of a folder.
    ///
    /// # Errors
    /// [`Weights`](counterpoint::ErrorKind::Weights) when it cannot be read, [`Config`](counterpoint::ErrorKind::Config) when it lacks
    /// a special token or has more tokens than the model.
    pub fn load(path: &Path, config: &JanusConfig, chat: Chat) -> Result<Self> {
        let file = if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() };
        let tokenizer = Tokenizer::from_file(&file)
            .map_err(|e| Error::weights(format!("cannot read the tokenizer {}", file.display())).with_source(e))?;
        Self::new(tokenizer, config, chat).map_err(|e| e.at(file.display()))
    }

    /// Wraps a tokenizer that is already in memory.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) as [`load`](Self::load).
    pub fn new(tokenizer: Tokenizer, config: &JanusConfig, chat: Chat) -> Result<Self> {
        let id = |name: &str| {
            let id = tokenizer.token_to_id(name);
            id.ok_or_else(|| Error::config(format!("expected the special token {name} in the tokenizer, got none")))
        };
        let ids = SpecialIds { bos: id(BOS)?, eos: id(EOS)?, pad: id(PAD)?, boi: id(BOI)?, eoi: id(EOI)? };
        let (size, room) = (tokenizer.get_vocab_size(true), config.text_config.vocab_size);
        if size > room {
            return Err(Error::config(format!("expected at most {room} tokens (text_config.vocab_size), got {size}")));
        }
        for (text, wanted) in [
            (&chat.about_image, &["{image}", "{question}"][..]),
            (&chat.question, &["{question}"]),
            (&chat.prompt, &["{prompt}"]),
        ] {
            if let Some(missing) = wanted.iter().find(|name| !text.contains(**name)) {
                return Err(Error::config(format!("policy.chat: expected {missing} in it, got {text:?}")));
            }
        }
        let (image_token, image_embeddings) = (config.image_token_id, config.image_embeddings());
        Ok(Self { tokenizer, chat, ids, image_token, image_embeddings })
    }

    /// Writes `tokenizer.json`.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.tokenizer
            .save(path, true)
            .map_err(|e| Error::io("cannot write", path, std::io::Error::other(e.to_string())))
    }

    /// Ids of a text that the model is to write, up to the token that ends it.
    ///
    /// # Errors
    /// As [`question`](Self::question).
    pub fn answer(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.encode(text)?;
        ids.push(self.ids.eos);
        Ok(ids)
    }

    /// The special tokens.
    pub fn ids(&self) -> SpecialIds {
        self.ids
    }

    /// Ids of a question, with room for the image that it is about.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when the tokenizer refuses the text.
    pub fn question(&self, question: &str, about_image: bool) -> Result<Vec<u32>> {
        if !about_image {
            return self.begun(&self.chat.question.replace("{question}", question));
        }
        let (before, after) = self.chat.about_image.split_once("{image}").unwrap_or_default();
        let mut ids = self.begun(before)?;
        ids.push(self.ids.boi);
        ids.extend(std::iter::repeat_n(self.image_token, self.image_embeddings));
        ids.push(self.ids.eoi);
        ids.extend(self.encode(&after.replace("{question}", question))?);
        Ok(ids)
    }

    /// Ids of a prompt, up to the token that begins an image.
    ///
    /// # Errors
    /// As [`question`](Self::question).
    pub fn prompt(&self, prompt: &str) -> Result<Vec<u32>> {
        let mut ids = self.begun(&self.chat.prompt.replace("{prompt}", prompt))?;
        ids.push(self.ids.boi);
        Ok(ids)
    }

    /// Text of ids, special tokens left out.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when an id is not in the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        self.tokenizer
            .decode(ids, true)
            .map_err(|e| Error::data(format!("cannot make text of the ids {ids:?}")).with_source(e))
    }

    fn begun(&self, text: &str) -> Result<Vec<u32>> {
        Ok([vec![self.ids.bos], self.encode(text)?].concat())
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode(text, false);
        Ok(encoding.map_err(|e| Error::data(format!("cannot tokenise {text:?}")).with_source(e))?.get_ids().to_vec())
    }
}
