//! Image files of a concept: found by number, decoded when they are needed.

use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use counterpoint::{Error, Result};
use counterpoint_pictures::is_cut_off;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Rgb, RgbImage};

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
    /// Decodes the file to RGB of 8 bits, at its own size, as PIL's `convert("RGB")` does: PNG and JPEG of any kind, by
    /// their content, not their ending.
    ///
    /// - Alpha is dropped, not composited: where an image is transparent, its hidden colour shows.
    /// - Of 16 bits the upper 8 are taken. (PIL does the same but for grey without alpha, which it clips at 255 instead, so
    ///   that nearly all of such an image is white.)
    /// - CMYK and YCCK are converted without a colour profile; profiles and gamma of other images are not looked at either.
    /// - The EXIF orientation is applied, as viewers do: a photograph that a camera stored on its side stands upright. (The
    ///   originals do not look at it.)
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
        if bytes.is_empty() {
            return Err(bad("the file is empty".into()));
        }
        let format = image::guess_format(&bytes).map_err(|e| bad(e.into()))?;
        if format == ImageFormat::Jpeg && is_cut_off(&bytes) {
            return Err(bad("the file is cut off: its data do not end".into()));
        }
        let reader = ImageReader::with_format(Cursor::new(&bytes), format);
        let mut decoder = reader.into_decoder().map_err(|e| bad(e.into()))?;
        let orientation = decoder.orientation().map_err(|e| bad(e.into()))?;
        let mut decoded = DynamicImage::from_decoder(decoder).map_err(|e| bad(e.into()))?;
        decoded.apply_orientation(orientation);
        Ok(Arc::new(rgb8(decoded)))
    }
}

/// Without alpha, the upper 8 of 16 bits.
fn rgb8(image: DynamicImage) -> RgbImage {
    let upper = |v: u16| (v >> 8) as u8;
    let (width, height) = (image.width(), image.height());
    match image {
        DynamicImage::ImageLuma16(image) => {
            RgbImage::from_fn(width, height, |x, y| Rgb([upper(image.get_pixel(x, y).0[0]); 3]))
        }
        DynamicImage::ImageLumaA16(image) => {
            RgbImage::from_fn(width, height, |x, y| Rgb([upper(image.get_pixel(x, y).0[0]); 3]))
        }
        DynamicImage::ImageRgb16(image) => {
            RgbImage::from_fn(width, height, |x, y| Rgb(image.get_pixel(x, y).0.map(upper)))
        }
        DynamicImage::ImageRgba16(image) => RgbImage::from_fn(width, height, |x, y| {
            let [r, g, b, _] = image.get_pixel(x, y).0;
            Rgb([r, g, b].map(upper))
        }),
        other => other.into_rgb8(),
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
