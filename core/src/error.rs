//! The one error type of the crate.

use std::fmt;
use std::path::Path;

/// What went wrong, for programs that react to it. The message is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A configuration key is unknown, missing or out of range.
    Config,
    /// A data set, image or annotation cannot be used.
    Data,
    /// Weights are missing, damaged or of another shape.
    Weights,
    /// A policy, sampler, reward, filter or objective broke its contract.
    Contract,
    /// A reward expert failed, again after its retries.
    Reward,
    /// A reward expert asks for the end of the run: it is not called again.
    Stopped,
    /// Non-finite numbers, several steps in a row.
    NonFinite,
    /// Nothing to learn from, many steps in a row.
    Idle,
    /// A stop was asked for in the middle of a step, which was given up.
    Cancelled,
    /// A checkpoint is damaged, foreign or from a newer version.
    Checkpoint,
    /// Reading or writing failed.
    Io,
}

/// An error with its [`ErrorKind`], a message that says what was expected, what came, where and what to do,
/// and the underlying cause where there is one.
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of `kind` that reads `message`.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The same error with its cause attached; the cause's text is appended to the message.
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error, its message preceded by where it happened.
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// Which kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// [`ErrorKind::Config`].
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// [`ErrorKind::Data`].
    pub fn data(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Data, message)
    }

    /// [`ErrorKind::Weights`].
    pub fn weights(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Weights, message)
    }

    /// [`ErrorKind::Contract`].
    pub fn contract(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Contract, message)
    }

    /// [`ErrorKind::Checkpoint`].
    pub fn checkpoint(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Checkpoint, message)
    }

    /// [`ErrorKind::Io`]: `doing` (a verb phrase such as "cannot read") the file at `path`.
    pub fn io(doing: &str, path: &Path, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("{doing} {}", path.display())).with_source(source)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} error: {self}", self.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|s| s as _)
    }
}
