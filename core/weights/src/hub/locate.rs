//! Where files are.

use std::path::{Path, PathBuf};

use counterpoint::{Error, Result};
use hf_hub::Cache;

use crate::hub::files::Files;
use crate::hub::listed::listed;
use crate::hub::source::Source;
use crate::hub::{cache, network};

/// Where files were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// At the path that was given.
    Path,
    /// In `weights/OWNER/NAME` (`weights/OWNER/NAME@REVISION` of one that is pinned) under the config's folder.
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
/// [`Weights`](counterpoint::ErrorKind::Weights) with the files that are missing, where they are published and the folder to
/// put them into.
pub fn locate(source: &Source, files: &Files, base: &Path) -> Result<Found> {
    locate_in(cache::shared(), source, files, base)
}

fn locate_in(cache: Option<Cache>, source: &Source, files: &Files, base: &Path) -> Result<Found> {
    let repository = match source {
        Source::Path(path) => return Ok(Found { folder: base.join(path), place: Place::Path }),
        Source::Hub(repository) => repository,
    };
    // A folder that says no revision is of none that can be told.
    let beside = base.join("weights").join(repository.to_string());
    let missing = files.missing_in(&beside);
    if missing.is_empty() {
        return Ok(Found { folder: beside, place: Place::Beside });
    }
    if let Some(folder) = cache.as_ref().and_then(|cache| cache::snapshot(cache, repository))
        && files.missing_in(&folder).is_empty()
    {
        return Ok(Found { folder, place: Place::Cache });
    }
    network::fetched(cache, repository, files).map(|folder| Found { folder, place: Place::Network }).map_err(|why| {
        Error::weights(format!(
            "{repository} is not on this machine and {why}: put its {} (from {}) into {}",
            listed(&missing),
            address(&repository.name),
            beside.display()
        ))
    })
}

/// Where people find a repository.
fn address(name: &str) -> String {
    format!("https://huggingface.co/{name}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::hub::files::Need;

    const FILES: Files = Files::new(&[Need::CONFIG, Need::file(&[&["vocab.txt"]])]);

    #[test]
    fn the_cache_is_looked_into_after_the_folder_beside_the_config() {
        let (base, cache) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let source = Source::parse("hf:owner/name").unwrap();
        let locate = || locate_in(Some(Cache::new(cache.path().into())), &source, &FILES, base.path());
        let repository = cache.path().join("models--owner--name");
        let snapshot = repository.join("snapshots/abc");
        for folder in [repository.join("refs"), snapshot.clone(), base.path().join("weights/owner/name")] {
            std::fs::create_dir_all(folder).unwrap();
        }
        std::fs::write(repository.join("refs/main"), "abc").unwrap();
        for name in ["config.json", "vocab.txt"] {
            std::fs::write(snapshot.join(name), "").unwrap();
        }
        assert_eq!(locate().unwrap(), Found { folder: snapshot, place: Place::Cache });
        for name in ["config.json", "vocab.txt"] {
            std::fs::write(base.path().join("weights/owner/name").join(name), "").unwrap();
        }
        assert_eq!(locate().unwrap().place, Place::Beside);
        let pinned = |revision: &str| {
            let source = Source::parse(format!("hf:owner/name@{revision}")).unwrap();
            locate_in(Some(Cache::new(cache.path().into())), &source, &FILES, base.path())
        };
        assert_eq!(pinned("abc").unwrap().place, Place::Cache, "a commit that is in the cache");
        assert!(pinned("def").unwrap_err().to_string().contains("owner/name@def is not on this machine"));
    }
}
