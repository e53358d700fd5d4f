//! What is scored.

use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::host::Host;
use crate::{Error, Image, Level, Score};

/// What [`Expert::score`](crate::Expert::score) is asked. Everything in it is borrowed for the call.
pub struct Batch<'a> {
    pub(crate) host: Host<'a>,
    pub(crate) items: &'a [Item<'a>],
    pub(crate) seed: u64,
    pub(crate) deadline: Option<Duration>,
}

impl<'a> Batch<'a> {
    /// The items, 1 or more.
    pub fn items(&self) -> &'a [Item<'a>] {
        self.items
    }

    /// The seed of everything random in the call.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The time that the call may take, counted from its start.
    pub fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// Whether the call should end soon, with [`Error::cancelled`]. Cheap; ask it between items.
    pub fn cancelled(&self) -> bool {
        self.host.cancelled()
    }

    /// Writes a line into the host's log.
    pub fn log(&self, level: Level, message: &str) {
        self.host.log(level, message);
    }

    /// Scores item by item: an error of one item becomes its [`Score::Fail`].
    ///
    /// # Errors
    /// [`Error::cancelled`] when the host asks for an early end, looked at before each item.
    pub fn each(&self, mut score: impl FnMut(&Item<'a>) -> Result<Score, Error>) -> Result<Vec<Score>, Error> {
        let mut scores = Vec::with_capacity(self.items.len());
        for item in self.items {
            if self.cancelled() {
                return Err(Error::cancelled());
            }
            match score(item) {
                Ok(score) => scores.push(score),
                Err(error) if error.is_cancelled() => return Err(error),
                Err(error) => scores.push(Score::Fail(error.to_string())),
            }
        }
        Ok(scores)
    }
}

/// One sample.
#[derive(Debug, Clone, Copy)]
pub struct Item<'a> {
    pub(crate) prompt: &'a str,
    pub(crate) response: &'a str,
    pub(crate) class: &'a str,
    pub(crate) params: &'a str,
    pub(crate) image: Option<Image<'a>>,
    pub(crate) references: &'a [Image<'a>],
    pub(crate) candidate: u64,
}

impl<'a> Item<'a> {
    /// What the image was generated from.
    pub fn prompt(&self) -> &'a str {
        self.prompt
    }

    /// What the policy wrote.
    pub fn response(&self) -> &'a str {
        self.response
    }

    /// The concept class, such as `person`.
    pub fn class(&self) -> &'a str {
        self.class
    }

    /// The task's parameters, as JSON; empty when there are none.
    pub fn params_json(&self) -> &'a str {
        self.params
    }

    /// The task's parameters; none are read as `{}`.
    ///
    /// # Errors
    /// When they do not fit `T`.
    pub fn params<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let params = if self.params.is_empty() { "{}" } else { self.params };
        serde_json::from_str(params).map_err(|e| Error::from(e).at("params"))
    }

    /// What the policy generated. An expert that [needs](crate::Need) an image always has one.
    pub fn image(&self) -> Option<Image<'a>> {
        self.image
    }

    /// Images of the concept. An expert that [needs](crate::Need) a reference always has 1 or more.
    pub fn references(&self) -> &'a [Image<'a>] {
        self.references
    }

    /// Number of the candidate within its group.
    pub fn candidate(&self) -> u64 {
        self.candidate
    }
}
