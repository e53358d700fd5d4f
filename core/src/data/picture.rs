//! Image files of a concept: found by number, decoded when they are needed.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::{ImageReader, RgbImage};

use super::Exchange;
use crate::{Error, Result};

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
    /// Decodes the file to sRGB, at its own size.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](crate::ErrorKind::Data) when the file is missing, or is not an image that can be decoded.
    pub fn load(&self) -> Result<Arc<RgbImage>> {
        let bad = |e: image::ImageError| {
            let message = format!(
                "cannot decode {}: expected a PNG, or a baseline or progressive JPEG of 8 bits (no arithmetic coding); \
                 convert it to PNG",
                self.path.display()
            );
            Error::data(message).with_source(e)
        };
        let reader = ImageReader::open(&self.path).map_err(|e| missing(&self.path, e))?;
        let reader = reader.with_guessed_format().map_err(|e| missing(&self.path, e))?;
        Ok(Arc::new(reader.decode().map_err(bad)?.into_rgb8()))
    }
}

/// The images `0.png`, `1.jpg`, ... of `folder`, by number; of several endings of one number, the first of png, jpg, jpeg.
pub(super) fn numbered(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder)
        .map_err(|e| Error::data(format!("cannot read the folder {}", folder.display())).with_source(e))?;
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io("cannot read the folder", folder, e))?.path();
        let number = path.file_stem().and_then(|s| s.to_str()).and_then(|s| s.parse::<u64>().ok());
        let ending = path.extension().and_then(|e| e.to_str()).map(str::to_lowercase);
        let rank = ending.and_then(|e| ENDINGS.iter().position(|known| *known == e));
        if let (Some(number), Some(rank)) = (number, rank) {
            found.push((number, rank, path));
        }
    }
    found.sort();
    found.dedup_by_key(|f| f.0);
    Ok(found.into_iter().map(|f| f.2).collect())
}

fn missing(path: &Path, source: std::io::Error) -> Error {
    Error::data(format!("missing image {}", path.display())).with_source(source)
}
