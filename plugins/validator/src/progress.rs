//! What a child tells its parent: lines of JSON in a file, so that a plugin that prints, exits or dies does not disturb it.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::OnceLock;

use counterpoint_host::Manifest;
use serde::{Deserialize, Serialize};

use crate::Verdict;

/// A line.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Line {
    /// What the child does from now on.
    Step(String),
    /// What the plugin says of itself.
    Manifest(Manifest),
    /// The end.
    Verdict(Verdict),
}

static ANSWER: OnceLock<File> = OnceLock::new();

/// From now on lines go into the file at `path`.
pub(crate) fn open(path: &Path) -> std::io::Result<()> {
    let _ = ANSWER.set(File::options().append(true).open(path)?);
    Ok(())
}

/// Says what is done from now on, for when it is never finished.
pub(crate) fn step(what: &str) {
    send(&Line::Step(what.to_owned()));
}

/// Sends a line.
pub(crate) fn send(line: &Line) {
    let Some(mut file) = ANSWER.get() else { return };
    let Ok(mut text) = serde_json::to_vec(line) else { return };
    text.push(b'\n');
    // A line that is not written is missed by the parent, which says so.
    let _ = file.write_all(&text);
}
