//! `manifest.json`: which files a checkpoint has, and what they must be.

use std::fs;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::folder::{MANIFEST, entries};
use crate::{Error, Result};

/// Version of the checkpoint format that this crate writes, and the only one that it reads.
pub const FORMAT: u64 = 2;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    pub(super) format: u64,
    pub(super) crate_version: String,
    pub(super) step: u64,
    /// What "best" is judged by; higher is better.
    pub(super) metric: Option<f64>,
    pub(super) files: Vec<FileEntry>,
    /// Of the manifest's text with this field empty, so that every byte of the file counts.
    pub(super) sha256: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileEntry {
    /// Path below the checkpoint, with `/` between folders.
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

impl Manifest {
    /// The manifest of the files that are in `dir`.
    pub(super) fn of(dir: &Path, step: u64, metric: Option<f64>) -> Result<Self> {
        let files = files(dir)?
            .into_iter()
            .map(|name| {
                let (bytes, sha256) = digest(&dir.join(&name))?;
                Ok(FileEntry { name, bytes, sha256 })
            })
            .collect::<Result<_>>()?;
        let crate_version = env!("CARGO_PKG_VERSION").to_owned();
        let mut manifest = Self { format: FORMAT, crate_version, step, metric, files, sha256: String::new() };
        manifest.sha256 = checksum(&manifest.text(dir)?, "");
        Ok(manifest)
    }

    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(MANIFEST);
        fs::write(&path, self.text(dir)?).map_err(|e| Error::io("cannot write", &path, e))
    }

    /// Reads the manifest in `dir` and checks its version and its own checksum.
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(MANIFEST);
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                return Err(Error::checkpoint(format!("{} is missing; {} is no checkpoint", MANIFEST, dir.display())));
            }
            Err(e) if e.kind() == io::ErrorKind::InvalidData => {
                return Err(Error::checkpoint(format!("{} is damaged: expected UTF-8 text", path.display())));
            }
            other => other.map_err(|e| Error::io("cannot read", &path, e))?,
        };
        let damaged = |e| Error::checkpoint(format!("{} is damaged", path.display())).with_source(e);
        // The version first: a manifest of another one may have other fields.
        let any: serde_json::Value = serde_json::from_str(&text).map_err(damaged)?;
        if let Some(format) = any["format"].as_u64().filter(|&f| f != FORMAT) {
            let by = any["crate_version"].as_str().unwrap_or("unknown");
            let which = if format > FORMAT { "the newer one" } else { "the one that wrote it, or begin a new run" };
            return Err(Error::checkpoint(format!(
                "{}: expected format version {FORMAT}, got {format}, written by counterpoint {by}; this is counterpoint \
                 {}, use {which}",
                path.display(),
                env!("CARGO_PKG_VERSION")
            )));
        }
        let manifest: Self = serde_json::from_value(any).map_err(damaged)?;
        let sha256 = checksum(&text, &manifest.sha256);
        if sha256 != manifest.sha256 {
            return Err(mismatch(&path, "sha256", &manifest.sha256, &sha256));
        }
        Ok(manifest)
    }

    fn text(&self, dir: &Path) -> Result<String> {
        let text = serde_json::to_string_pretty(self);
        Ok(text.map_err(|e| Error::io("cannot write", &dir.join(MANIFEST), e.into()))? + "\n")
    }

    /// Compares every file in `dir` with what it must be.
    pub(super) fn verify(&self, dir: &Path) -> Result<()> {
        let present = files(dir)?;
        for entry in &self.files {
            let path = dir.join(&entry.name);
            if !present.contains(&entry.name) {
                return Err(Error::checkpoint(format!("{} is missing", path.display())));
            }
            // The size first: it is free, and says truncation in so many words.
            let bytes = fs::metadata(&path).map_err(|e| Error::io("cannot read", &path, e))?.len();
            if bytes != entry.bytes {
                return Err(mismatch(&path, "bytes", entry.bytes, bytes));
            }
            let (_, sha256) = digest(&path)?;
            if sha256 != entry.sha256 {
                return Err(mismatch(&path, "sha256", &entry.sha256, &sha256));
            }
        }
        match present.iter().find(|name| self.files.iter().all(|entry| entry.name != **name)) {
            Some(extra) => Err(Error::checkpoint(format!(
                "{} is not in {MANIFEST}; a checkpoint holds nothing else, move it away",
                dir.join(extra).display()
            ))),
            None => Ok(()),
        }
    }
}

/// SHA-256 of a manifest's text with its last `sha256` taken out.
fn checksum(text: &str, sha256: &str) -> String {
    let (before, after) = text.rsplit_once(sha256).unwrap_or((text, ""));
    hex::encode(Sha256::new().chain_update(before).chain_update(after).finalize())
}

fn mismatch(path: &Path, what: &str, expected: impl std::fmt::Display, got: impl std::fmt::Display) -> Error {
    Error::checkpoint(format!("{} is damaged: expected {what} {expected}, got {got}", path.display()))
}

/// Paths of the files below `dir` except the manifest, sorted.
fn files(dir: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    collect(dir, "", &mut found)?;
    found.retain(|name| name != MANIFEST);
    found.sort();
    Ok(found)
}

fn collect(dir: &Path, prefix: &str, found: &mut Vec<String>) -> Result<()> {
    for path in entries(dir)? {
        let Some(name) = path.file_name().and_then(|n| n.to_str()) else {
            return Err(Error::checkpoint(format!("{}: expected a file name in UTF-8", path.display())));
        };
        let name = format!("{prefix}{name}");
        if path.is_dir() {
            collect(&path, &format!("{name}/"), found)?;
        } else {
            found.push(name);
        }
    }
    Ok(())
}

/// Size and SHA-256 of a file.
fn digest(path: &Path) -> Result<(u64, String)> {
    let unreadable = |e| Error::io("cannot read", path, e);
    let mut file = fs::File::open(path).map_err(unreadable)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer).map_err(unreadable)? {
            0 => return Ok((bytes, hex::encode(hash.finalize()))),
            n => {
                hash.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
}
