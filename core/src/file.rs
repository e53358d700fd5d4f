//! Where a file lies, and files that are there whole or not at all.

use std::fs;
use std::io::Write;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

use crate::checkpoint::sync;
use crate::{Error, Result};

/// The folder that the file at `path` lies in: `.` for a bare name. [`Path::parent`] gives the empty path there, which is
/// the name of no folder and which most calls refuse.
///
/// ```
/// use std::path::Path;
///
/// use counterpoint::file::folder_of;
///
/// assert_eq!(folder_of(Path::new("runs/a.toml")), Path::new("runs"));
/// assert_eq!(folder_of(Path::new("a.toml")), Path::new("."));
/// ```
pub fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => path,
    }
}

/// Writes `bytes` to `path` in one go, in place of a file that may be there.
///
/// # Errors
/// As [`atomically`].
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    atomically(path, true, |file| file.write_all(bytes).map_err(|e| Error::io("cannot write", path, e)))
}

/// Lets `write` fill a new file beside `path` and moves it there when it is complete and on the disk, and makes the
/// folder. `overwrite` says whether there may be a file at `path`.
///
/// # Errors
/// Those of `write`, and [`ErrorKind::Io`](crate::ErrorKind::Io). What was at `path` is then unchanged.
pub fn atomically(path: &Path, overwrite: bool, write: impl FnOnce(&mut NamedTempFile) -> Result<()>) -> Result<()> {
    let cannot_write = |e| Error::io("cannot write", path, e);
    let folder = folder_of(path);
    fs::create_dir_all(folder).map_err(cannot_write)?;
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(path.file_name().ok_or_else(|| cannot_write(std::io::ErrorKind::InvalidFilename.into()))?);
    let mut builder = Builder::new();
    builder.prefix(&prefix).suffix(".new");
    // A temporary file is its owner's alone by default; this one is to be as readable as any other.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut new = builder.tempfile_in(folder).map_err(cannot_write)?;
    write(&mut new)?;
    new.as_file().sync_all().map_err(cannot_write)?;
    let moved = if overwrite { new.persist(path) } else { new.persist_noclobber(path) };
    moved.map_err(|e| cannot_write(e.error))?;
    sync(folder)
}
