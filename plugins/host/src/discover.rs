//! The plugins of a folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::{Error, ErrorKind, ExpertManifest, Result, Sidecar};

/// A plugin that was found, by its sidecar: nothing of it has run.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// The plugin's file, absolute.
    pub path: PathBuf,
    /// What its sidecar says.
    pub sidecar: Sidecar,
}

/// The plugins of `folder`, by file name: every file beside which is a sidecar.
///
/// A shared library without a sidecar is passed over, with a warning: it may be one that a plugin needs.
///
/// # Errors
/// [`ErrorKind::Io`] when the folder cannot be read; [`ErrorKind::Manifest`] when a sidecar is damaged;
/// [`ErrorKind::Config`] when two plugins have an expert of the same name.
pub fn discover(folder: &Path) -> Result<Vec<Found>> {
    let unreadable = |e| Error::io("cannot read the plugin folder", folder, e);
    let folder = folder.canonicalize().map_err(unreadable)?;
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if !path.is_file() || path.extension().is_some_and(|e| e == "json") {
            continue;
        }
        if Sidecar::path(&path).is_file() {
            let sidecar = Sidecar::read(&path)?;
            found.push(Found { path, sidecar });
        } else if path.extension().is_some_and(|e| e == std::env::consts::DLL_EXTENSION) {
            tracing::warn!(
                library = %path.display(),
                "no sidecar manifest beside it: not taken for a plugin (counterpoint-validator --sidecar writes one)"
            );
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    let mut owners: BTreeMap<&str, &Path> = BTreeMap::new();
    for plugin in &found {
        for expert in &plugin.sidecar.manifest.experts {
            if let Some(other) = owners.insert(&expert.name, &plugin.path) {
                let message = format!(
                    "{}: expected one plugin with an expert `{}`, got {} and {}; move one of them away",
                    folder.display(),
                    expert.name,
                    other.display(),
                    plugin.path.display()
                );
                return Err(Error::new(ErrorKind::Config, message));
            }
        }
    }
    Ok(found)
}

impl Found {
    /// The names of its experts.
    pub fn experts(&self) -> impl Iterator<Item = &ExpertManifest> {
        self.sidecar.manifest.experts.iter()
    }
}
