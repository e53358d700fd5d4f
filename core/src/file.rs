//! Where a file lies, and files that are there whole or not at all.

use std::ffi::{OsStr, OsString};
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

/// The text of the file at `path`, in UTF-8, without the mark that some editors begin it with.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) when it cannot be read; [`ErrorKind::Data`](crate::ErrorKind::Data) when it is in another
/// encoding.
pub fn text(path: &Path) -> Result<String> {
    let bytes = fs::read(path).map_err(|e| Error::io("cannot read", path, e))?;
    decoded(&bytes).map(str::to_owned).map_err(|e| e.at(path.display()))
}

/// The same of a file's bytes.
///
/// # Errors
/// As [`text`].
pub fn decoded(bytes: &[u8]) -> Result<&str> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    // By its mark, or by the zeros that it has in ASCII text.
    if matches!(bytes, [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0, _, ..] | [_, 0, ..]) {
        return Err(Error::data("expected text in UTF-8, got UTF-16; save the file as UTF-8"));
    }
    std::str::from_utf8(bytes).map_err(|e| {
        Error::data(format!(
            "expected text in UTF-8, got other bytes from byte {} on; save the file as UTF-8",
            e.valid_up_to()
        ))
    })
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
    let name = path.file_name().ok_or_else(|| cannot_write(std::io::ErrorKind::InvalidFilename.into()))?;
    let prefix = begun(name);
    let mut builder = Builder::new();
    builder.prefix(&prefix).suffix(NEW);
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

/// End of the name of a file that is not complete yet.
const NEW: &str = ".new";

/// How the name of a file begins that is to be `name` when it is complete.
fn begun(name: &OsStr) -> OsString {
    let mut begun = OsString::from(".");
    begun.push(name);
    begun
}

/// Removes what processes that were killed while they wrote the file at `path` left beside it: for who alone writes it.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io).
pub(crate) fn remove_unfinished(path: &Path) -> Result<()> {
    let begun = path.file_name().map(begun).unwrap_or_default();
    let unfinished = |name: &OsStr| {
        let (name, begun) = (name.as_encoded_bytes(), begun.as_encoded_bytes());
        name.strip_prefix(begun).is_some_and(|rest| rest.ends_with(NEW.as_bytes()))
    };
    // Without a folder there is nothing to remove.
    for entry in fs::read_dir(folder_of(path)).into_iter().flatten().flatten() {
        if unfinished(&entry.file_name()) {
            fs::remove_file(entry.path()).map_err(|e| Error::io("cannot remove", &entry.path(), e))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_a_killed_writer_left_is_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            [".log.jsonlx4Yz.new", ".log.jsonl.new", "log.jsonl", ".other.jsonla.new", "log.jsonla.new", ".log.jsonl"]
        {
            fs::write(folder.path().join(name), "").unwrap();
        }
        remove_unfinished(&folder.path().join("log.jsonl")).unwrap();
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".log.jsonl", ".other.jsonla.new", "log.jsonl", "log.jsonla.new"]);
        remove_unfinished(&folder.path().join("none/log.jsonl")).unwrap();
    }

    #[test]
    fn text_may_begin_with_a_mark_and_other_encodings_are_named() {
        for bytes in [&b"a = 1"[..], b"\xEF\xBB\xBFa = 1"] {
            assert_eq!(decoded(bytes).ok(), Some("a = 1"));
        }
        for (bytes, name) in [(&b"\xFF\xFEa\0"[..], "UTF-16"), (b"\0a\0 ", "UTF-16"), (b"caf\xE9", "from byte 3")] {
            assert!(decoded(bytes).is_err_and(|e| e.to_string().contains(name)), "{name}");
        }
    }
}
