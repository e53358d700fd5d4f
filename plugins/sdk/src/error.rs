//! The one error type of the crate.

use std::fmt;

/// Why a call failed as a whole.
///
/// Every [`std::error::Error`] becomes one, its causes included, so `?` works on what other crates return. For that reason it is
/// no [`std::error::Error`] itself.
pub struct Error {
    message: String,
    cancelled: bool,
}

impl Error {
    /// An error that reads `message`: what was expected, what came instead, and what to do.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), cancelled: false }
    }

    /// The call ended early because [`Batch::cancelled`](crate::Batch::cancelled) said so.
    pub fn cancelled() -> Self {
        Self { message: "cancelled".to_owned(), cancelled: true }
    }

    /// Whether it is [`Error::cancelled`].
    pub fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    /// The same error, its message preceded by where it happened.
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Self::new(message)
    }
}
