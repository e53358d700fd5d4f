//! The bytes of a plugin's file, read once: what is hashed is what is loaded.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// A plugin's file as it was read, with its hash.
///
/// On Linux it is a copy in memory that nobody can change (a memory file with all seals on it), which processes of this one load too;
/// so a file that is replaced or written to afterwards changes nothing. Elsewhere, and for a file that has the system's loader look
/// for libraries beside it (`$ORIGIN`), it is the file itself, which may be another by the time it is loaded; what lies beside it
/// is not hashed in any case.
#[derive(Debug)]
pub struct Sealed {
    path: PathBuf,
    sha256: String,
    #[cfg(target_os = "linux")]
    copy: Option<fs::File>,
}

impl Sealed {
    /// Reads the plugin's file at `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when it cannot be read, or there can be no copy of it in memory.
    pub fn of(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).map_err(|e| Error::io("cannot read", path, e))?;
        Ok(Self {
            path: path.to_owned(),
            sha256: hex::encode(Sha256::digest(&bytes)),
            #[cfg(target_os = "linux")]
            copy: copy(path, &bytes).map_err(|e| Error::io("cannot copy into memory", path, e))?,
        })
    }

    /// Where the file is, as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// SHA-256 of its bytes, in lower case hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// What the system's loader is given. Holds as long as this does.
    pub fn loadable(&self) -> PathBuf {
        match self.descriptor() {
            Some(descriptor) => of_descriptor(descriptor),
            None => self.path.clone(),
        }
    }

    /// The number under which processes started from now on have the copy, if there is one: the last argument of a child's work.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when it cannot be passed on.
    pub fn pass_on(&self) -> Result<Option<i32>> {
        #[cfg(target_os = "linux")]
        if let Some(copy) = &self.copy {
            rustix::io::fcntl_setfd(copy, rustix::io::FdFlags::empty())
                .map_err(|e| Error::io("cannot pass on", &self.path, e.into()))?;
        }
        Ok(self.descriptor())
    }

    fn descriptor(&self) -> Option<i32> {
        #[cfg(target_os = "linux")]
        return self.copy.as_ref().map(std::os::fd::AsRawFd::as_raw_fd);
        #[cfg(not(target_os = "linux"))]
        None
    }
}

/// What the system's loader is given for a descriptor that this process has.
pub(crate) fn of_descriptor(descriptor: i32) -> PathBuf {
    format!("/proc/self/fd/{descriptor}").into()
}

/// The copy, unless the loader would not find what the library wants from beside it.
#[cfg(target_os = "linux")]
fn copy(path: &Path, bytes: &[u8]) -> std::io::Result<Option<fs::File>> {
    use std::io::Write;

    use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

    let has = |words: &[u8]| bytes.windows(words.len()).any(|part| part == words);
    if has(b"$ORIGIN") || has(b"${ORIGIN}") {
        tracing::debug!(plugin = %path.display(), "it wants libraries from beside it: loaded from its place, not from a copy");
        return Ok(None);
    }
    // The name is for those who look into /proc.
    let name = path.file_name().unwrap_or_default();
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = fs::File::from(memfd_create(name.as_encoded_bytes(), flags)?);
    copy.write_all(bytes)?;
    fcntl_add_seals(&copy, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
    Ok(Some(copy))
}
