//! The file beside a plugin that says what it is, so that nothing of it runs before its hash is known.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{ErrorKind as Cause, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, ErrorKind, MANIFEST_LIMIT, Manifest, Result, Sealed};

/// What stands in `libNAME.so.json` beside `libNAME.so`: the manifest's keys and the hash of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Sidecar {
    /// SHA-256 of the plugin's file, in lower case hexadecimal digits.
    pub sha256: String,
    /// How the plugin is started when it is no library: program and arguments, in which `{file}` is the plugin's file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Vec<String>>,
    /// What the plugin says of itself.
    #[serde(flatten)]
    pub manifest: Manifest,
}

impl Sidecar {
    /// Where the sidecar of the plugin at `plugin` is.
    pub fn path(plugin: &Path) -> PathBuf {
        let mut name = OsString::from(plugin);
        name.push(".json");
        name.into()
    }

    /// The sidecar of the file at `plugin`, which says `manifest` of itself.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when the file cannot be read.
    pub fn of(plugin: &Path, manifest: &Manifest) -> Result<Self> {
        Ok(Self { sha256: Sealed::of(plugin)?.sha256().to_owned(), command: None, manifest: manifest.clone() })
    }

    /// The same of a file that was read already.
    pub fn of_bytes(bytes: &[u8], manifest: &Manifest) -> Self {
        Self { sha256: hex::encode(Sha256::digest(bytes)), command: None, manifest: manifest.clone() }
    }

    /// Reads and checks the sidecar of the plugin at `plugin`.
    ///
    /// # Errors
    /// [`ErrorKind::Manifest`] when there is none, or it is damaged.
    pub fn read(plugin: &Path) -> Result<Self> {
        let path = Self::path(plugin);
        let advice = "expected a sidecar manifest; counterpoint-validator --sidecar writes it after its checks";
        let missing = |e| Error::new(ErrorKind::Manifest, format!("{}: {advice}", path.display())).with_source(e);
        let mut text = Vec::new();
        let limit = 2 * MANIFEST_LIMIT as u64;
        File::open(&path).and_then(|f| f.take(limit).read_to_end(&mut text)).map_err(missing)?;
        let place = path.display().to_string();
        // The manifest's own keys are checked apart, with their own messages.
        let manifest = Manifest::parse(&text, &place)?;
        let damaged = |e: serde_json::Error| {
            Error::new(ErrorKind::Manifest, format!("{place}: expected a sidecar manifest")).with_source(e)
        };
        let sidecar: Self = serde_json::from_slice(&text).map_err(damaged)?;
        let is_hash =
            sidecar.sha256.len() == 64 && sidecar.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !is_hash {
            let message =
                format!("{place}: sha256: expected 64 hexadecimal digits in lower case, got {:?}", sidecar.sha256);
            return Err(Error::new(ErrorKind::Manifest, message));
        }
        if sidecar.command.as_ref().is_some_and(Vec::is_empty) {
            let message = format!("{place}: command: expected a program and its arguments, got an empty array");
            return Err(Error::new(ErrorKind::Manifest, message));
        }
        Ok(Self { manifest, ..sidecar })
    }

    /// Writes it beside the plugin at `plugin`, complete or not at all. Where its name is a link, the link is replaced and what it leads to
    /// left alone.
    ///
    /// # Errors
    /// [`ErrorKind::Io`].
    pub fn write(&self, plugin: &Path) -> Result<()> {
        let path = Self::path(plugin);
        let part = path.with_extension("part");
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::new(ErrorKind::Manifest, "cannot write a sidecar manifest as JSON").with_source(e))?;
        // Made anew: what another process may have left or put there, a link for instance, is not written to.
        let fresh = || match fs::remove_file(&part) {
            Err(e) if e.kind() != Cause::NotFound => Err(e),
            _ => File::create_new(&part),
        };
        fresh()
            .and_then(|mut file| file.write_all((text + "\n").as_bytes()))
            .and_then(|()| fs::rename(&part, &path))
            .map_err(|e| Error::io("cannot write", &path, e))
    }

    /// Reads the file at `plugin`, which must be the one whose hash this sidecar has.
    ///
    /// # Errors
    /// [`ErrorKind::Hash`] with both hashes when it is another; [`ErrorKind::Io`].
    pub fn verify(&self, plugin: &Path) -> Result<Sealed> {
        let sealed = Sealed::of(plugin)?;
        if sealed.sha256() == self.sha256 {
            return Ok(sealed);
        }
        let message = format!(
            "{}: expected the SHA-256 of its sidecar manifest, {}, got {}; the file was changed or damaged: build or fetch it \
             again, or check it with counterpoint-validator and write the sidecar anew (--sidecar)",
            plugin.display(),
            self.sha256,
            sealed.sha256()
        );
        Err(Error::new(ErrorKind::Hash, message))
    }

    /// The command that starts the plugin at `plugin`, when it is no library.
    pub fn command_for(&self, plugin: &Path) -> Option<Vec<String>> {
        let file = plugin.display().to_string();
        let command = self.command.as_ref()?;
        Some(command.iter().map(|argument| argument.replace("{file}", &file)).collect())
    }
}
