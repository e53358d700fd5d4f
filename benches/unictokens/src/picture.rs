//! Image files of a concept: found by number, decoded when they are needed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use counterpoint::{Error, Result};
use counterpoint_pictures::decode;
use image::RgbImage;

use crate::Exchange;

/// The endings of images, in the order in which they are tried.
const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

/// An image file with the questions that were written about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// The file.
    pub path: PathBuf,
    /// Questions about it with their answers; may be empty.
    pub questions: Vec<Exchange>,
}

impl Picture {
    /// Decodes the file as [`counterpoint_pictures::decode`] does.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when the file is missing, empty, damaged or cut off, or is not an image
    /// that can be decoded.
    pub fn load(&self) -> Result<Arc<RgbImage>> {
        let bytes = std::fs::read(&self.path).map_err(|e| missing(&self.path, e))?;
        let bad = |why: Box<dyn std::error::Error + Send + Sync>| {
            let message = format!(
                "cannot decode {}: expected a PNG, or a baseline or progressive JPEG of 8 bits (no arithmetic coding); \
                 convert it to PNG",
                self.path.display()
            );
            Error::data(message).with_source(why)
        };
        decode(&bytes).map(Arc::new).map_err(bad)
    }
}

/// The images `0.png`, `1.jpg`, ... of `folder`, by number; of several endings of one number, the first of png, jpg, jpeg.
/// Where no image has a number, all of them by name, but for masks.
pub(crate) fn numbered(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .map_err(|e| Error::data(format!("cannot read the folder {}", folder.display())).with_source(e))?;
    let (mut found, mut named) = (Vec::new(), Vec::new());
    for entry in entries {
        let path = entry.map_err(|e| Error::io("cannot read the folder", folder, e))?.path();
        let number = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse::<u64>().ok());
        let ending = path.extension().and_then(|e| e.to_str()).map(str::to_lowercase);
        let rank = ending.and_then(|e| ENDINGS.iter().position(|known| *known == e));
        match (number, rank) {
            (Some(number), Some(rank)) => found.push((number, rank, path)),
            // `0_mask.png` is no photograph.
            (None, Some(_)) if !is_mask(&path) => named.push(path),
            _ => {}
        }
    }
    if found.is_empty() {
        named.sort();
        return Ok(named);
    }
    found.sort();
    found.dedup_by_key(|f| f.0);
    Ok(found.into_iter().map(|f| f.2).collect())
}

fn is_mask(path: &Path) -> bool {
    path.file_stem().and_then(|stem| stem.to_str()).is_some_and(|stem| stem.ends_with("_mask"))
}

fn missing(path: &Path, source: std::io::Error) -> Error {
    Error::data(format!("missing image {}", path.display())).with_source(source)
}
