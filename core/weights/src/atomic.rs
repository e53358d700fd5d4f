//! Files that appear complete or not at all.

use std::path::Path;

use counterpoint::{Error, Result};
use tempfile::{Builder, NamedTempFile};

/// Lets `write` fill a new file beside `path` and moves it there when it is complete and on the disk.
pub(crate) fn atomically(
    path: &Path,
    overwrite: bool,
    write: impl FnOnce(&mut NamedTempFile) -> Result<()>,
) -> Result<()> {
    let io = |e| Error::io("cannot write", path, e);
    let mut file = beside(path).map_err(io)?;
    write(&mut file)?;
    file.as_file().sync_all().map_err(io)?;
    if overwrite { file.persist(path) } else { file.persist_noclobber(path) }.map_err(|e| io(e.error))?;
    Ok(())
}

fn beside(path: &Path) -> std::io::Result<NamedTempFile> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".");
    let mut builder = Builder::new();
    builder.prefix(&name).suffix(".tmp");
    // As any other new file; the library's own are for their owner alone.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder.tempfile_in(folder)
}
