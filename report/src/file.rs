//! Files that are there whole or not at all.

use std::fs;
use std::io::Write;
use std::path::Path;

use counterpoint::{Error, Result, folder_of};

/// Writes `bytes` to `path` in one go, in place of a file that may be there, and makes the folder it is in.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let cannot_write = |e| Error::io("cannot write", path, e);
    let folder = folder_of(path);
    fs::create_dir_all(folder).map_err(cannot_write)?;
    let builder = &mut tempfile::Builder::new();
    // A temporary file is private by default; this one is to be as readable as any other file of the run.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut new = builder.tempfile_in(folder).map_err(cannot_write)?;
    new.write_all(bytes).map_err(cannot_write)?;
    new.persist(path).map_err(|e| cannot_write(e.error))?;
    Ok(())
}
