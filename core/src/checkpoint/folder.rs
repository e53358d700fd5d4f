//! The folder that holds a run's checkpoints.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// File that makes a folder a checkpoint.
pub(super) const MANIFEST: &str = "manifest.json";

/// Name of the checkpoint after `step` steps.
pub(super) fn name(step: u64) -> String {
    format!("step-{step:06}")
}

/// The step that a checkpoint's folder is named for.
pub(super) fn step_of(dir: &Path) -> Option<u64> {
    let file_name = dir.file_name()?.to_str()?;
    let step = file_name.strip_prefix("step-")?.parse().ok()?;
    (file_name == name(step)).then_some(step)
}

/// The checkpoints in `root` by step, oldest first; those without a manifest, and what is no checkpoint, left out. None
/// when `root` does not exist.
pub(crate) fn checkpoints(root: &Path) -> Result<Vec<(u64, PathBuf)>> {
    if !root.exists() {
        return Ok(Vec::new());
    }
    let mut found: Vec<(u64, PathBuf)> = entries(root)?
        .into_iter()
        .filter_map(|path| {
            let step = step_of(&path)?;
            path.join(MANIFEST).is_file().then_some((step, path))
        })
        .collect();
    found.sort();
    Ok(found)
}

/// The newest complete checkpoint in `root`, if there is one. Temporary folders are passed over; whether its files are
/// intact is for [`Reader::open`](super::Reader::open) to say.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) when `root` exists and cannot be read.
pub fn latest(root: &Path) -> Result<Option<PathBuf>> {
    Ok(checkpoints(root)?.pop().map(|(_, path)| path))
}

/// Renames the checkpoints of step `from` and later to `superseded-<step>`: they are of a history that is abandoned, and
/// no longer count. What was put aside earlier stays.
pub(crate) fn set_aside(root: &Path, from: u64) -> Result<()> {
    let mut abandoned = checkpoints(root)?;
    abandoned.retain(|(step, _)| *step >= from);
    for (step, path) in &abandoned {
        rename(path, &unused(root, &format!("superseded-{step:06}")))?;
    }
    if abandoned.is_empty() { Ok(()) } else { sync(root) }
}

/// The first of `name`, `name-2`, `name-3`... that is not in `root`.
pub(crate) fn unused(root: &Path, name: &str) -> PathBuf {
    let numbered = (2_u64..).map(|n| root.join(format!("{name}-{n}")));
    let mut names = std::iter::once(root.join(name)).chain(numbered);
    names.find(|path| !path.exists()).unwrap_or_else(|| root.join(name))
}

/// Removes a folder, if it is there.
pub(super) fn remove(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io("cannot remove", dir, e)),
        _ => Ok(()),
    }
}

pub(crate) fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|e| Error::io("cannot rename to", to, e))
}

/// What is directly in `dir`, sorted.
pub(crate) fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = |e| Error::io("cannot list", dir, e);
    let mut paths = fs::read_dir(dir)
        .map_err(unreadable)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(unreadable)?;
    paths.sort();
    Ok(paths)
}

/// Makes what was written to the file or folder durable.
pub(crate) fn sync(path: &Path) -> Result<()> {
    // Only Unix lets a folder be opened and synced.
    if cfg!(not(unix)) && path.is_dir() {
        return Ok(());
    }
    // Windows syncs only files that were opened for writing.
    let file = if cfg!(unix) { fs::File::open(path) } else { fs::OpenOptions::new().append(true).open(path) };
    file.and_then(|f| f.sync_all()).map_err(|e| Error::io("cannot sync", path, e))
}
