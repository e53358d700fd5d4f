//! Every answer that was ever given, under the hash of its question.

use std::fs;
use std::path::{Path, PathBuf};

use counterpoint::{Error, Result, file};
use serde::{Deserialize, Serialize};

/// A folder of answers, one file each, which several runs may share. A question that is in it is not asked again, so that a repeated
/// evaluation costs nothing and says the same.
#[derive(Debug, Clone)]
pub struct Ledger {
    folder: PathBuf,
}

/// One answer and how it came about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The model that was asked for.
    pub model: String,
    /// The instructions.
    pub system: String,
    /// The question.
    pub text: String,
    /// How many images came with it.
    pub images: usize,
    /// What was answered.
    pub answer: String,
    /// What the endpoint says that it took.
    #[serde(default)]
    pub usage: Usage,
}

/// Tokens of a call, as the endpoint counts them; 0 where it does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Of the question.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Of the answer.
    #[serde(default)]
    pub completion_tokens: u64,
}

impl Ledger {
    /// The ledger in `folder`, which is made with its first entry.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The entry under `key`, if there is one.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when it cannot be read, [`Data`](counterpoint::ErrorKind::Data) when it is damaged; the message says
    /// that it may be removed.
    pub fn get(&self, key: &str) -> Result<Option<Entry>> {
        let path = self.path(key);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("cannot read", &path, e)),
        };
        let entry = serde_json::from_str(&text).map_err(|e| {
            Error::data(format!("{}: damaged ({e}); remove it, and its question is asked again", path.display()))
        })?;
        Ok(Some(entry))
    }

    /// Keeps `entry` under `key`.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when it cannot be written.
    pub fn put(&self, key: &str, entry: &Entry) -> Result<()> {
        let text = serde_json::to_string_pretty(entry)
            .map_err(|e| Error::contract("an answer cannot be written as JSON").with_source(e.to_string()))?;
        file::replace(&self.path(key), text.as_bytes())
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn path(&self, key: &str) -> PathBuf {
        let (start, rest) = key.split_at(key.len().min(2));
        self.folder.join(start).join(format!("{rest}.json"))
    }
}
