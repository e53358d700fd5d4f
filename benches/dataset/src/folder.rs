//! Folders of a data set: what is in them, by names relative to the data set.

use std::path::Path;

use crate::{Error, Result};

/// The names in a folder, sorted.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub folders: Vec<String>,
    pub files: Vec<String>,
    /// Names that are not UTF-8, as far as they can be written.
    pub unreadable: Vec<String>,
}

impl Listing {
    pub fn has(&self, file: &str) -> bool {
        self.files.iter().any(|f| f == file)
    }

    pub fn has_folder(&self, folder: &str) -> bool {
        self.folders.iter().any(|f| f == folder)
    }
}

/// What is in the folder `path`; hidden files and folders are left out.
pub(crate) fn list(path: &Path) -> Result<Listing> {
    let failed = |e| Error::io("cannot read the folder", path, e);
    let mut listing = Listing::default();
    for entry in std::fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        match entry.file_name().into_string() {
            Ok(name) if name.starts_with('.') => {}
            Ok(name) if entry.path().is_dir() => listing.folders.push(name),
            Ok(name) => listing.files.push(name),
            Err(name) => listing.unreadable.push(name.to_string_lossy().into_owned()),
        }
    }
    listing.folders.sort();
    listing.files.sort();
    listing.unreadable.sort();
    Ok(listing)
}

/// As [`list`]; empty where there is no such folder.
pub(crate) fn list_if_present(path: &Path) -> Result<Listing> {
    if path.is_dir() { list(path) } else { Ok(Listing::default()) }
}

/// The path of `name` in the folder `parent`, both relative to the data set.
pub(crate) fn within(parent: &str, name: &str) -> String {
    if parent.is_empty() { name.to_owned() } else { format!("{parent}/{name}") }
}
