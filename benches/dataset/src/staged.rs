//! Files that are written apart and then moved to their place, so that nothing is ever there in half.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tempfile::TempDir;

use crate::{Error, Result};

/// A temporary folder beside the place that its files are for. It is removed when it is dropped.
pub(crate) struct Staged {
    folder: TempDir,
    root: PathBuf,
}

impl Staged {
    /// A temporary folder in `parent`, which is made where it is not there.
    pub fn within(parent: &Path) -> Result<Self> {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let failed = |e| Error::io("cannot write to", parent, e);
        fs::create_dir_all(parent).map_err(failed)?;
        let folder = tempfile::Builder::new().prefix(".unifybench-").tempdir_in(parent).map_err(failed)?;
        // The temporary folder is its owner's alone; one inside of it has the usual rights.
        let root = folder.path().join("set");
        fs::create_dir(&root).map_err(failed)?;
        Ok(Self { folder, root })
    }

    /// The folder in which the files are.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes a folder.
    pub fn folder(&self, path: &str) -> Result<()> {
        let path = self.root.join(path);
        fs::create_dir_all(&path).map_err(|e| Error::io("cannot make the folder", &path, e))
    }

    /// Writes a file, and the folder that it is in.
    pub fn write(&self, path: &str, bytes: &[u8]) -> Result<()> {
        if let Some((folder, _)) = path.rsplit_once('/') {
            self.folder(folder)?;
        }
        let path = self.root.join(path);
        fs::write(&path, bytes).map_err(|e| Error::io("cannot write", &path, e))
    }

    /// Writes a file of JSON.
    pub fn json(&self, path: &str, value: &impl Serialize) -> Result<()> {
        let mut text = serde_json::to_string_pretty(value).map_err(|e| Error::data(format!("{path}: {e}")))?;
        text.push('\n');
        self.write(path, text.as_bytes())
    }

    /// Moves files and folders, given by their path in here, to their places, all or none: a move that fails undoes those before
    /// it. The last place may be that of a file which is then replaced, `replaces`.
    pub fn publish(self, moves: &[(String, PathBuf)], replaces: bool) -> Result<()> {
        let fixed = moves.len() - usize::from(replaces);
        if let Some((_, place)) = moves[..fixed].iter().find(|(_, place)| place.exists()) {
            return Err(Error::exists(place, "choose another place or name, or move it away"));
        }
        let mut done: Vec<(PathBuf, &PathBuf)> = Vec::new();
        for (path, place) in moves {
            let path = if path.is_empty() { self.root.clone() } else { self.root.join(path) };
            let parent = place.parent().filter(|parent| !parent.as_os_str().is_empty());
            let moved = parent.map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::rename(&path, place));
            if let Err(e) = moved {
                for (path, place) in done.iter().rev() {
                    // Nothing more can be done about one that does not go back.
                    let _ = fs::rename(place, path);
                }
                return Err(Error::io("cannot move files to", place, e));
            }
            done.push((path, place));
        }
        drop(self.folder);
        Ok(())
    }
}
