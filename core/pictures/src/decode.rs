//! Image files.

use std::error::Error;
use std::io::Cursor;

use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, Rgb, RgbImage};

use crate::is_cut_off;

/// Most pixels of an image, as PIL has it: more are taken for an attack.
const LARGEST: u64 = 178_956_970;
/// Most pixels that a byte of a file can stand for: of PNG's one bit for each, packed to the limit of its compression.
const OF_A_BYTE: u64 = 8 * 1032;
/// What any file may have besides.
const SMALL: u64 = 1 << 16;

/// Decodes a file to RGB of 8 bits, at its own size, as PIL's `convert("RGB")` does: PNG and JPEG of any kind, by their content.
///
/// - Alpha is dropped, not composited: where an image is transparent, its hidden colour shows.
/// - Of 16 bits the upper 8 are taken. (PIL does the same but for grey without alpha, which it clips at 255 instead, so
///   that nearly all of such an image is white.)
/// - CMYK and YCCK are converted without a colour profile; profiles and gamma of other images are not looked at either.
/// - The EXIF orientation is applied, as viewers do: a photograph that a camera stored on its side stands upright. (The
///   originals do not look at it.)
///
/// # Errors
/// When the file is empty, damaged or cut off, is not an image that can be decoded, or claims more pixels than 178,956,970 or than its bytes
/// can hold.
pub fn decode(bytes: &[u8]) -> Result<RgbImage, Box<dyn Error + Send + Sync>> {
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    let format = image::guess_format(bytes)?;
    if format == ImageFormat::Jpeg && is_cut_off(bytes) {
        return Err("the file is cut off: its data do not end".into());
    }
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder()?;
    fits(decoder.dimensions(), bytes.len())?;
    let orientation = decoder.orientation()?;
    let mut decoded = DynamicImage::from_decoder(decoder)?;
    decoded.apply_orientation(orientation);
    Ok(rgb8(decoded))
}

/// Whether a file of `size` bytes can be a picture of so many pixels, asked before there is memory for them.
///
/// # Errors
/// Both sizes in words, when it cannot, or when they are more than 178,956,970.
pub fn fits((width, height): (u32, u32), size: usize) -> Result<(), String> {
    let most = LARGEST.min(size as u64 * OF_A_BYTE + SMALL);
    if u64::from(width) * u64::from(height) <= most {
        return Ok(());
    }
    Err(format!("expected at most {most} pixels in a file of {size} bytes, got {width} x {height}"))
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
