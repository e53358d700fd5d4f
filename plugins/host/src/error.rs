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
/// underlying cause where there is one.
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
