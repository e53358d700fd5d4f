//! The one error type of the crate, which the bridge shares.

use std::fmt;
use std::path::Path;

/// What went wrong, for programs that react to it. The message is for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting of the host, the bridge or the plugin is unknown, missing or out of range.
    Config,
    /// The sidecar manifest is missing or damaged, or does not describe the library beside it.
    Manifest,
    /// The library's bytes are not those whose SHA-256 the sidecar manifest has.
    Hash,
    /// The file cannot be loaded: no shared library, no symbol, a damaged table, or a program that cannot load libraries.
    Load,
    /// The plugin was built for another major version of the interface.
    Version,
    /// The first look at the plugin, in a child process, ended badly.
    Probe,
    /// The plugin refused to make an instance.
    Create,
    /// A call failed as a whole.
    Call,
    /// A call panicked; the instance was given up.
    Panic,
    /// A call was stopped because it was asked to.
    Cancelled,
    /// A call took longer than it may.
    Deadline,
    /// The plugin broke the contract: wrote outside its buffers, answered with another number of scores, left the range it
    /// declares, sent a malformed frame.
    Contract,
    /// The child process ended.
    Died,
    /// The child process ended so often in a row that it is not started again: every further call fails.
    GivenUp,
    /// Reading or writing failed.
    Io,
}

/// An error with its [`ErrorKind`], a message that says what was expected, what came, where and what to do, and the
/// underlying cause where there is one. It displays its own message; `{:#}` displays the causes too.
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

    /// [`ErrorKind::Io`]: `doing` (a verb phrase such as "cannot read") the file at `path`.
    pub fn io(doing: &str, path: &Path, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, format!("{doing} {}", path.display())).with_source(source)
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

    /// Which kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
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
