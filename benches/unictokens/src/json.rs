//! JSON files into types, with errors that say file, line, column and key.

use std::path::Path;

use counterpoint::file::decoded;
use counterpoint::{Error, Result};
use serde::de::DeserializeOwned;

/// Reads `path` as a `T`.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes =
        std::fs::read(path).map_err(|e| Error::data(format!("cannot read {}", path.display())).with_source(e))?;
    let text = decoded(&bytes).map_err(|e| e.at(path.display()))?;
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|e| {
        let key = e.path().to_string();
        problem(path, &key, e.into_inner())
    })?;
    deserializer.end().map_err(|e| problem(path, ".", e))?;
    Ok(value)
}

/// As [`read`]; `None` when there is no such file.
pub(crate) fn read_if_present<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    if path.exists() { read(path).map(Some) } else { Ok(None) }
}

fn problem(path: &Path, key: &str, error: serde_json::Error) -> Error {
    let key = if key == "." { String::new() } else { format!(", key `{key}`") };
    let place = format!("{}:{}:{}{key}", path.display(), error.line(), error.column());
    let text = error.to_string();
    let what = text.rsplit_once(" at line ").map_or(text.as_str(), |(what, _)| what);
    Error::data(format!("{place}: malformed JSON: {what}"))
}
