//! Reading a checkpoint, all of which is verified first.

use std::path::{Path, PathBuf};

use super::folder::{checkpoints, step_of};
use super::manifest::Manifest;
use crate::file::folder_of;
use crate::{Error, ErrorKind, Result};

/// A checkpoint whose files are all what its manifest says.
#[derive(Debug)]
pub struct Reader {
    dir: PathBuf,
    manifest: Manifest,
}

impl Reader {
    /// Verifies the checkpoint in `dir`: its manifest, its version, the size and SHA-256 of every file, and that none is
    /// missing or extra.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`](crate::ErrorKind::Checkpoint) naming the file, what was expected of it, what it is, and
    /// the previous intact checkpoint if there is one, and how to go on from that.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::verified(dir).map_err(|error| {
            if error.kind() != ErrorKind::Checkpoint {
                return error;
            }
            let advice = match previous_intact(dir) {
                Some(previous) => format!(
                    "the previous intact checkpoint is {}; to go on from it, move the other away and resume again",
                    previous.display()
                ),
                None => "there is no earlier intact checkpoint beside it".to_owned(),
            };
            Error::checkpoint(format!("{error:#}; {advice}"))
        })
    }

    fn verified(dir: &Path) -> Result<Self> {
        let manifest = Manifest::read(dir)?;
        manifest.verify(dir)?;
        Ok(Self { dir: dir.to_owned(), manifest })
    }

    /// Steps that were complete when it was written.
    pub fn step(&self) -> u64 {
        self.manifest.step
    }

    /// What "best" is judged by, if it was set.
    pub fn metric(&self) -> Option<f64> {
        self.manifest.metric
    }

    /// The checkpoint's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Path of the file that was written as `file` (with `/` between folders).
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`](crate::ErrorKind::Checkpoint) when the checkpoint has no such file.
    pub fn path(&self, file: &str) -> Result<PathBuf> {
        if self.manifest.files.iter().any(|entry| entry.name == file) {
            return Ok(self.dir.join(file));
        }
        let known: Vec<_> = self.manifest.files.iter().map(|entry| entry.name.as_str()).collect();
        Err(Error::checkpoint(format!(
            "expected a file `{file}` in {}, got {}; it was written by another program",
            self.dir.display(),
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        )))
    }
}

/// The newest intact checkpoint beside `dir` that is older than it.
fn previous_intact(dir: &Path) -> Option<PathBuf> {
    let this = step_of(dir).unwrap_or(u64::MAX);
    let older = checkpoints(folder_of(dir)).ok()?.into_iter().rev().filter(|(step, _)| *step < this);
    older.map(|(_, path)| path).find(|path| Reader::verified(path).is_ok())
}
