//! Files for the constructor of a component.

use std::path::{Path, PathBuf};

use counterpoint::Result;
use counterpoint::registry::BuildContext;

use crate::hub::files::Files;
use crate::hub::locate::locate;
use crate::hub::source::Source;

/// What [`BuildContext`] knows of published files.
pub trait Locate {
    /// The folder that has `files` of `source`, which is a path or `hf:OWNER/NAME`: for the constructor of a component that
    /// reads published files. A path is only resolved, as by [`BuildContext::resolve`]. See [`hub`](crate::hub).
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when what follows `hf:` is no repository's name;
    /// [`Weights`](counterpoint::ErrorKind::Weights) with the files that are missing, where they are published and the
    /// folder to put them into.
    fn locate(&self, source: impl AsRef<Path>, files: &Files) -> Result<PathBuf>;
}

impl Locate for BuildContext {
    fn locate(&self, source: impl AsRef<Path>, files: &Files) -> Result<PathBuf> {
        Ok(locate(&Source::parse(source)?, files, &self.base)?.folder)
    }
}
