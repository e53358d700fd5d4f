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
    /// A device does not answer.
    Device,
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
///
/// It displays its own message; `{:#}` displays the causes too, which is what a person should read:
///
/// ```
/// use counterpoint::Error;
///
/// let cause = std::io::Error::other("no such disk");
/// let error = Error::data("cannot read ada.png").with_source(cause);
/// assert_eq!(error.to_string(), "cannot read ada.png");
/// assert_eq!(format!("{error:#}"), "cannot read ada.png: no such disk");
/// ```
#[derive(thiserror::Error)]
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

    /// The same error with its cause attached, which [`source`](std::error::Error::source) returns.
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error, its message preceded by where it happened.
    pub fn at(mut self, place: impl fmt::Display) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// The same error of a component that calls its section of a config `own`, where that is called `section`.
    pub(crate) fn of_section(mut self, own: &str, section: &str) -> Self {
        match self.message.strip_prefix(own).filter(|rest| rest.starts_with(['.', ':'])) {
            Some(rest) => self.message = format!("{section}{rest}"),
            None => self = self.at(section),
        }
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

    /// [`ErrorKind::Device`].
    pub fn device(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Device, message)
    }

    /// [`ErrorKind::Device`] of a panic, which is how burn tells of a device that is lost: what it said.
    pub fn panicked(panic: &(dyn std::any::Any + Send)) -> Self {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Self::device(text.unwrap_or("a panic without a text"))
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

/// The message; with `{:#}`, that of the causes too, from the outermost to the first.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if f.alternate() { write_causes(self, f) } else { Ok(()) }
    }
}

/// The kind, the message and those of the causes: what `fn main() -> Result<()>` shows.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} error: {self:#}", self.kind)
    }
}

/// Writes the causes of `error`, except those that the message above already ends with: some libraries put them there.
fn write_causes(error: &dyn std::error::Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut above = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let message = cause.to_string();
        if !above.ends_with(&message) {
            write!(f, ": {message}")?;
        }
        (above, next) = (message, cause.source());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three_levels() -> Error {
        let middle = Error::new(ErrorKind::Io, "cannot open the disk").with_source(std::io::Error::other("no power"));
        Error::new(ErrorKind::Config, "cannot read run.toml").with_source(middle)
    }

    #[test]
    fn a_printer_of_chains_shows_each_message_once() {
        let error = three_levels();
        let first: &dyn std::error::Error = &error;
        let chain = std::iter::successors(Some(first), |&error| error.source());
        let messages: Vec<String> = chain.map(ToString::to_string).collect();
        assert_eq!(messages, ["cannot read run.toml", "cannot open the disk", "no power"]);
    }

    #[test]
    fn the_alternate_form_and_debug_show_the_whole_chain() {
        let error = three_levels();
        assert_eq!(format!("{error:#}"), "cannot read run.toml: cannot open the disk: no power");
        assert_eq!(format!("{error:?}"), "Config error: cannot read run.toml: cannot open the disk: no power");
        assert_eq!(format!("{:#}", error.at("here")), "here: cannot read run.toml: cannot open the disk: no power");
    }

    /// As libraries write them that append a cause and return it too.
    #[derive(Debug, thiserror::Error)]
    #[error("cannot fetch: {0}")]
    struct Appends(#[source] std::io::Error);

    #[test]
    fn a_cause_that_the_message_ends_with_is_not_said_again() {
        let error = Error::new(ErrorKind::Io, "no weights").with_source(Appends(std::io::Error::other("no power")));
        assert_eq!(format!("{error:#}"), "no weights: cannot fetch: no power");
    }
}
