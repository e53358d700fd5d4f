//! One writer per folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use crate::{Error, Result};

const LOCK: &str = ".lock";

/// The right to write to a folder, until it is dropped. It is the operating system's: a kill gives it back. The file
/// `.lock` stays behind and means nothing; what it says of its last holder is for messages only.
#[derive(Debug)]
pub(crate) struct Lock {
    root: PathBuf,
    file: File,
}

impl Lock {
    /// Takes the lock of `root`, which is made when it does not exist.
    pub(crate) fn acquire(root: &Path) -> Result<Self> {
        fs::create_dir_all(root).map_err(|e| Error::io("cannot create", root, e))?;
        let path = root.join(LOCK);
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| Error::io("cannot open", &path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(held(root, &path)),
            // Some network file systems have no locks.
            Err(TryLockError::Error(e)) if e.kind() == ErrorKind::Unsupported => {}
            Err(TryLockError::Error(e)) => return Err(Error::io("cannot lock", &path, e)),
        }
        let note = format!("{} since {}\n", holder(), now());
        file.set_len(0)
            .and_then(|()| file.write_all(note.as_bytes()))
            .map_err(|e| Error::io("cannot write", &path, e))?;
        Ok(Self { root: root.to_owned(), file })
    }

    /// The folder that it is the lock of.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file would do, if no child process that is just being started had a copy of it.
        let _ = self.file.unlock();
    }
}

fn held(root: &Path, path: &Path) -> Error {
    let note = fs::read_to_string(path).unwrap_or_default();
    let (by, advice) = match note.trim_end() {
        "" => ("another process".to_owned(), "stop it"),
        ours if ours.starts_with(&holder()) => {
            (format!("{ours}, which is this one"), "drop its other trainer or writer")
        }
        other => (other.to_owned(), "stop it"),
    };
    Error::checkpoint(format!(
        "{} is in use by {by}; {advice} first, or give each run a folder of its own",
        root.display()
    ))
}

/// This process, as the lock file has it.
fn holder() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname")
        .or_else(|_| std::env::var("HOSTNAME"))
        .or_else(|_| std::env::var("COMPUTERNAME"));
    match host.as_deref().map(str::trim) {
        Ok(host) if !host.is_empty() => format!("process {} on {host}", std::process::id()),
        _ => format!("process {}", std::process::id()),
    }
}

/// The wall clock in UTC, wherever it stands: a clock before 1970 or after 9999 has no such text.
fn now() -> String {
    let latest = SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_799);
    humantime::format_rfc3339_seconds(SystemTime::now().clamp(SystemTime::UNIX_EPOCH, latest)).to_string()
}
