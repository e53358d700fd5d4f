//! Files of published models: where a setting says that they are, which of them a component needs, and where they lie.
//!
//! A setting such as `weights` is a path, or `hf:OWNER/NAME`: a repository of the Hugging Face hub. The component says
//! which [`Files`] it needs and gets the folder that has them ([`locate`]):
//!
//! 1. `weights/OWNER/NAME` under the config's folder,
//! 2. the cache of the hub's clients: `HF_HUB_CACHE`, `HF_HOME/hub` or `~/.cache/huggingface/hub`,
//! 3. with the feature `hf-hub` the network (`HF_ENDPOINT`), from where they go into that cache;
//!
//! else an error that names every file that is missing, where it is published and the folder to put it into.
//!
//! ```
//! use counterpoint::hub::{Files, Need, Source, locate};
//!
//! const TOWER: Files = Files::new(&[Need::CONFIG, Need::WEIGHTS, Need::optional(&[&["vocab.txt"]])]);
//!
//! let base = std::env::temp_dir().join("counterpoint-hub-example");
//! let folder = base.join("weights/some-owner/tower");
//! std::fs::create_dir_all(&folder)?;
//! std::fs::write(folder.join("config.json"), "{}")?;
//! assert!(TOWER.missing_in(&folder)[0].starts_with("model.safetensors (or "));
//!
//! std::fs::write(folder.join("pytorch_model.bin"), "")?;
//! let found = locate(&Source::parse("hf:some-owner/tower")?, &TOWER, &base)?;
//! assert_eq!(found.folder, folder);
//! # std::fs::remove_dir_all(&base)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod cache;
mod files;
mod network;

pub use files::{Files, Need};

use std::fmt;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// Where part of a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file or folder.
    Path(PathBuf),
    /// A repository, `OWNER/NAME`.
    Hub(String),
}

impl Source {
    /// Reads `hf:OWNER/NAME`, or a path.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) when what follows `hf:` is not the name of a repository.
    pub fn parse(text: impl AsRef<Path>) -> Result<Self> {
        let path = text.as_ref();
        let Some(text) = path.to_str() else { return Ok(Self::Path(path.to_owned())) };
        let Some(name) = text.strip_prefix("hf:") else { return Ok(Self::Path(path.to_owned())) };
        let part = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
        };
        match name.split_once('/') {
            Some((owner, name)) if part(owner) && part(name) => Ok(Self::Hub(format!("{owner}/{name}"))),
            _ => Err(Error::config(format!("expected hf:OWNER/NAME such as hf:showlab/show-o-512x512, got {text:?}"))),
        }
    }
}

/// As it is written in a config.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Hub(name) => write!(f, "hf:{name}"),
        }
    }
}

/// Where files were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// At the path that was given.
    Path,
    /// In `weights/OWNER/NAME` under the config's folder.
    Beside,
    /// In the cache of the hub's clients.
    Cache,
    /// On the network, from where they are in the cache now.
    Network,
}

/// A folder with the files that were asked for; or the file or folder that a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The folder.
    pub folder: PathBuf,
    /// What kind of place it is.
    pub place: Place,
}

/// The folder that has `files` of `source`. A path is only resolved against `base`: whether the files are there shows
/// when they are read.
///
/// # Errors
/// [`Weights`](crate::ErrorKind::Weights) with the files that are missing, where they are published and the folder to
/// put them into.
pub fn locate(source: &Source, files: &Files, base: &Path) -> Result<Found> {
    let name = match source {
        Source::Path(path) => return Ok(Found { folder: base.join(path), place: Place::Path }),
        Source::Hub(name) => name,
    };
    let beside = base.join("weights").join(name);
    let missing = files.missing_in(&beside);
    if missing.is_empty() {
        return Ok(Found { folder: beside, place: Place::Beside });
    }
    if let Some(folder) = cache::snapshot(name)
        && files.missing_in(&folder).is_empty()
    {
        return Ok(Found { folder, place: Place::Cache });
    }
    network::fetched(name, files).map(|folder| Found { folder, place: Place::Network }).map_err(|why| {
        Error::weights(format!(
            "{name} is not on this machine and {why}: put its {} (from {}) into {}",
            listed(&missing),
            address(name),
            beside.display()
        ))
    })
}

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

/// Where people find a repository.
fn address(name: &str) -> String {
    format!("https://huggingface.co/{name}")
}

/// `a`, `a and b`, `a, b and c`.
fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn names_of_repositories_stay_inside_the_folder() {
        assert_eq!(Source::parse("hf:showlab/show-o").unwrap(), Source::Hub("showlab/show-o".into()));
        assert_eq!(Source::parse("some/folder").unwrap(), Source::Path("some/folder".into()));
        for bad in ["hf:", "hf:show-o", "hf:../show-o", "hf:a/../b", "hf:a/..", "hf:a/b/c", "hf:a/b c"] {
            assert!(Source::parse(bad).unwrap_err().to_string().contains("hf:OWNER/NAME"), "{bad}");
        }
    }

    #[test]
    fn a_source_is_written_as_it_was_read() {
        for text in ["hf:showlab/show-o", "some/folder"] {
            assert_eq!(Source::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn items_are_listed_in_english() {
        let listed = |items: &[&str]| super::listed(&items.iter().map(|i| (*i).to_owned()).collect::<Vec<_>>());
        assert_eq!((listed(&["a"]), listed(&["a", "b"])), ("a".into(), "a and b".into()));
        assert_eq!(listed(&["a", "b", "c"]), "a, b and c");
    }
}
