//! Writing a checkpoint so that it appears complete or not at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::folder::{checkpoints, entries, name, remove, rename, set_aside, sync};
use super::lock::Lock;
use super::manifest::Manifest;
use crate::{Error, Result};

const TEMPORARY: &str = ".tmp-";

/// Which checkpoints are kept when a new one is complete; the new one always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// How many of the newest.
    pub last: usize,
    /// Whether the one with the highest [`metric`](Writer::metric) is kept besides.
    pub best: bool,
}

/// A checkpoint in the making. Dropped without [`commit`](Writer::commit) it leaves nothing behind.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    step: u64,
    metric: Option<f64>,
    /// Held while writing: whatever temporary folder another writer finds under its own lock is a dead writer's.
    lock: Arc<Lock>,
}

impl Writer {
    /// Begins the checkpoint after `step` steps in `root`, which is made when it does not exist. What dead writers left
    /// behind is removed. Until it is committed or dropped, nobody else may write there.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`](crate::ErrorKind::Checkpoint) naming the process, when another writer or trainer is
    /// at work in `root`; [`ErrorKind::Io`](crate::ErrorKind::Io) when the folder cannot be made.
    pub fn begin(root: &Path, step: u64) -> Result<Self> {
        Self::under(Arc::new(Lock::acquire(root)?), step)
    }

    /// Begins a checkpoint in the folder of a lock that is held already.
    pub(crate) fn under(lock: Arc<Lock>, step: u64) -> Result<Self> {
        let root = lock.root();
        for path in entries(root)? {
            if path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(TEMPORARY)) {
                remove(&path)?;
            }
        }
        let dir = root.join(format!("{TEMPORARY}{step}-{}", std::process::id()));
        fs::create_dir(&dir).map_err(|e| Error::io("cannot create", &dir, e))?;
        Ok(Self { dir, step, metric: None, lock })
    }

    /// The folder into which the files of the checkpoint are written; `manifest.json` is the writer's own.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Sets what "best" is judged by; higher is better. Non-finite values are as good as none.
    pub fn metric(&mut self, value: f64) {
        self.metric = Some(value).filter(|v| v.is_finite());
    }

    /// Writes the manifest, makes everything durable, gives the checkpoint its name, and then removes those that `keep`
    /// does not keep. Returns the checkpoint's folder.
    ///
    /// Those of the same step and of later ones belong to a run that was wound back: they are renamed to `superseded-<step>`
    /// and no longer count.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io); the checkpoints that were there before are then still there.
    pub fn commit(self, keep: Keep) -> Result<PathBuf> {
        let manifest = Manifest::of(&self.dir, self.step, self.metric)?;
        manifest.write(&self.dir)?;
        sync_all(&self.dir)?;
        let root = self.lock.root();
        set_aside(root, self.step)?;
        let target = root.join(name(self.step));
        // What is there now has no manifest, or it would have been set aside: it is no checkpoint.
        remove(&target)?;
        rename(&self.dir, &target)?;
        sync(root)?;
        prune(root, keep)?;
        Ok(target)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // After a commit there is nothing under this name; what cannot be removed now, the next writer removes.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Syncs every file and folder below `dir`, and `dir` itself.
fn sync_all(dir: &Path) -> Result<()> {
    for path in entries(dir)? {
        if path.is_dir() { sync_all(&path)? } else { sync(&path)? }
    }
    sync(dir)
}

fn prune(root: &Path, keep: Keep) -> Result<()> {
    let all = checkpoints(root)?;
    let best = all
        .iter()
        .filter_map(|(step, path)| Some((Manifest::read(path).ok()?.metric?, *step)))
        .max_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)))
        .filter(|_| keep.best);
    let old = all.len().saturating_sub(keep.last.max(1));
    for (step, path) in &all[..old] {
        if best.is_none_or(|(_, kept)| kept != *step) {
            // Renamed first: what a kill leaves of the folder is then no checkpoint, and the next writer removes it.
            let going = root.join(format!("{TEMPORARY}pruned-{step}"));
            rename(path, &going)?;
            remove(&going)?;
        }
    }
    Ok(())
}
