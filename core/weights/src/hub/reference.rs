//! Settings that name files.

use std::path::Path;

use counterpoint::{Error, Result};

use crate::hub::files::Files;
use crate::hub::listed::listed;
use crate::hub::locate::{Found, Place, locate};
use crate::hub::source::Source;

/// A setting that names files, and which: for programs that look for all files of a config before they build it.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// The setting's dotted key in the config, such as `rewards.ber.weights`.
    pub key: String,
    /// What it says.
    pub source: Source,
    /// What is needed of it.
    pub files: Files,
}

impl Reference {
    /// The setting `key` with the value `text`.
    ///
    /// # Errors
    /// As [`Source::parse`], with the key.
    pub fn new(key: impl Into<String>, text: impl AsRef<Path>, files: Files) -> Result<Self> {
        let key = key.into();
        let source = Source::parse(text).map_err(|e| e.at(&key))?;
        Ok(Self { key, source, files })
    }

    /// As [`locate`], and looks whether a path has the files: a folder must, a file speaks for itself.
    ///
    /// # Errors
    /// As [`locate`], also where the files of a path are missing.
    pub fn locate(&self, base: &Path) -> Result<Found> {
        let found = locate(&self.source, &self.files, base)?;
        if found.place != Place::Path || found.folder.is_file() {
            return Ok(found);
        }
        let missing = self.files.missing_in(&found.folder);
        if missing.is_empty() {
            return Ok(found);
        }
        let origin = self.files.origin().map(|origin| format!(" ({origin})")).unwrap_or_default();
        let place = found.folder.display();
        let what = if found.folder.exists() { "is incomplete" } else { "is not there" };
        Err(Error::weights(format!("{place} {what}: put {}{origin} into {place}", listed(&missing))))
    }
}
