//! The one error type of the crate.

use std::path::Path;

/// What went wrong, for programs that react to it. The message is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was given cannot be used: a folder without a known layout, a file of facts with a bad line.
    Data,
    /// It would have overwritten something.
    Exists,
    /// Reading or writing failed.
    Io,
    /// A schema of this crate is wrong.
    Schema,
}

/// An error with its [`ErrorKind`] and a message that says what was expected, what came and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    kind: ErrorKind,
    message: String,
    source: Option<std::io::Error>,
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Which kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn data(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Data, message: message.into(), source: None }
    }

    pub(crate) fn exists(path: &Path, what_to_do: &str) -> Self {
        let message = format!("{} is already there and is not overwritten; {what_to_do}", path.display());
        Self { kind: ErrorKind::Exists, message, source: None }
    }

    pub(crate) fn schema(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Schema, message: message.into(), source: None }
    }

    /// `doing` (a verb phrase such as "cannot read") the file at `path`.
    pub(crate) fn io(doing: &str, path: &Path, source: std::io::Error) -> Self {
        let message = format!("{doing} {}: {source}", path.display());
        Self { kind: ErrorKind::Io, message, source: Some(source) }
    }
}
