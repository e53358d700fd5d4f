//! What an instance is made from.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, IgnoredAny};

use crate::host::Host;
use crate::{Error, Level};

/// What [`Expert::create`](crate::Expert::create) is given.
pub struct Setup<'a> {
    host: Host<'a>,
    settings: &'a str,
    base: &'a Path,
    /// Whether somebody looked at the settings.
    read: Cell<bool>,
}

impl<'a> Setup<'a> {
    /// `settings` is what the host sent; nothing stands for `{}`.
    ///
    /// # Errors
    /// When they are no JSON object.
    pub(crate) fn new(host: Host<'a>, settings: &'a str, base: &'a str) -> Result<Self, Error> {
        let settings = if settings.is_empty() { "{}" } else { settings };
        let setup = Self { host, settings, base: Path::new(base), read: Cell::new(false) };
        setup.keys()?;
        Ok(setup)
    }

    /// The settings of the config.
    ///
    /// Let `T` deny unknown fields, so that a misspelt setting is found.
    ///
    /// # Errors
    /// When they do not fit `T`; the message says which one and where.
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(self.settings_json()).map_err(|e| Error::from(e).at("settings"))
    }

    /// The settings of the config, as a JSON object.
    pub fn settings_json(&self) -> &'a str {
        self.read.set(true);
        self.settings
    }

    /// The folder that relative paths in the settings are relative to.
    pub fn base(&self) -> &'a Path {
        self.base
    }

    /// `path`, seen from [`base`](Self::base) when it is relative.
    pub fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        self.base.join(path)
    }

    /// Writes a line into the host's log.
    pub fn log(&self, level: Level, message: &str) {
        self.host.log(level, message);
    }

    fn keys(&self) -> Result<Vec<String>, Error> {
        let settings: std::collections::BTreeMap<String, IgnoredAny> =
            serde_json::from_str(self.settings).map_err(|e| Error::from(e).at("settings: expected a JSON object"))?;
        Ok(settings.into_keys().collect())
    }

    /// An error when there are settings and nobody looked at them.
    pub(crate) fn check_read(&self) -> Result<(), Error> {
        let keys = self.keys()?;
        if self.read.get() || keys.is_empty() {
            return Ok(());
        }
        Err(Error::new(format!("settings: expected none, for this expert has no settings, got {}", keys.join(", "))))
    }
}
