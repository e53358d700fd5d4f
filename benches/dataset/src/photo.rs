//! Photographs: which files of a folder are read, and whether one can be decoded.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::path::Path;

use counterpoint_pictures::{fits, is_cut_off};
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader, RgbImage};

use crate::{Error, Result};

/// Endings that are read, in the order in which one of several of the same number is chosen.
pub(crate) const ENDINGS: [&str; 3] = ["png", "jpg", "jpeg"];

/// Endings of pictures that nobody reads.
const OTHERS: [&str; 11] = ["webp", "gif", "bmp", "tif", "tiff", "heic", "heif", "avif", "jfif", "jxl", "jp2"];

/// The ending of `file`, in lower case.
pub(crate) fn ending(file: &str) -> Option<String> {
    Path::new(file).extension().and_then(|e| e.to_str()).map(str::to_lowercase)
}

/// `file` without its ending.
pub(crate) fn stem(file: &str) -> &str {
    Path::new(file).file_stem().and_then(|s| s.to_str()).unwrap_or(file)
}

/// Whether `file` ends as a PNG or JPEG does.
pub(crate) fn is_photograph(file: &str) -> bool {
    ending(file).is_some_and(|e| ENDINGS.contains(&e.as_str()))
}

/// Whether `file` is a picture of a kind that nobody reads.
pub(crate) fn is_other_picture(file: &str) -> bool {
    ending(file).is_some_and(|e| OTHERS.contains(&e.as_str()))
}

/// Whether `file` is a mask of a photograph, as `0_mask.png`.
pub(crate) fn is_mask(file: &str) -> bool {
    is_photograph(file) && stem(file).ends_with("_mask")
}

/// The photographs among `files` that are read, and those that are not, which have no number where others have one or whose number
/// another has. The first are in order: by number, or by name where none has a number.
pub(crate) fn sort(files: &[String]) -> (Vec<String>, Vec<String>) {
    let (mut numbered, mut named, mut unread) = (BTreeMap::new(), Vec::new(), Vec::new());
    let rank = |file: &str| ENDINGS.iter().position(|e| Some(*e) == ending(file).as_deref());
    let mut candidates: Vec<&String> = files.iter().filter(|f| is_photograph(f) && !is_mask(f)).collect();
    candidates.sort_by_key(|file| (rank(file), (*file).clone()));
    for file in candidates {
        match stem(file).parse::<u64>() {
            Ok(number) if numbered.contains_key(&number) => unread.push(file.clone()),
            Ok(number) => {
                numbered.insert(number, file.clone());
            }
            Err(_) => named.push(file.clone()),
        }
    }
    if numbered.is_empty() {
        named.sort();
        return (named, unread);
    }
    unread.append(&mut named);
    (numbered.into_values().collect(), unread)
}

/// What is wrong with a picture: what came, and what to do.
pub(crate) struct Fault {
    pub got: String,
    pub fix: &'static str,
}

/// Decodes all of a picture.
pub(crate) fn decode(bytes: &[u8]) -> Result<(ImageFormat, DynamicImage), Fault> {
    let again = "replace it by an undamaged copy";
    let fault = |got: String, fix| Fault { got, fix };
    if bytes.is_empty() {
        return Err(fault("an empty file".into(), again));
    }
    let format = format(bytes).ok_or_else(|| {
        let kind = image::guess_format(bytes).map(|format| format!("a picture of the format {format:?}"));
        fault(kind.unwrap_or_else(|_| "a file that is no picture".into()), "convert it to PNG or JPEG")
    })?;
    if format == ImageFormat::Jpeg && is_cut_off(bytes) {
        return Err(fault("a JPEG that is cut off: its data do not end".into(), again));
    }
    let unreadable = |e: image::ImageError| fault(format!("a picture that cannot be decoded: {e}"), again);
    let mut decoder = ImageReader::with_format(Cursor::new(bytes), format).into_decoder().map_err(unreadable)?;
    fits(decoder.dimensions(), bytes.len()).map_err(|e| fault(format!("a picture that is damaged: {e}"), again))?;
    decoder.orientation().map_err(unreadable)?;
    let picture = DynamicImage::from_decoder(decoder).map_err(unreadable)?;
    Ok((format, picture))
}

/// The format of a picture, by its first bytes, where it is one that is read.
pub(crate) fn format(bytes: &[u8]) -> Option<ImageFormat> {
    image::guess_format(bytes).ok().filter(|format| matches!(format, ImageFormat::Png | ImageFormat::Jpeg))
}

/// Whether `file` ends as pictures of `format` do.
pub(crate) fn ends_as(file: &str, format: ImageFormat) -> bool {
    ending(file).is_some_and(|e| format.extensions_str().contains(&e.as_str()))
}

/// The ending that `file` should have, being of `format`: its own, in lower case, where that is right.
pub(crate) fn right_ending(file: &str, format: ImageFormat) -> String {
    let own = ending(file).filter(|_| ends_as(file, format));
    own.unwrap_or_else(|| format.extensions_str().first().copied().unwrap_or_default().to_owned())
}

/// A black PNG of `side` x `side` pixels.
pub(crate) fn black(side: u32) -> Result<Vec<u8>> {
    let mut bytes = Cursor::new(Vec::new());
    let written = RgbImage::new(side, side).write_to(&mut bytes, ImageFormat::Png);
    written.map_err(|e| Error::data(format!("cannot write a black picture: {e}")))?;
    Ok(bytes.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_that_claims_more_than_its_bytes_can_hold_is_damaged() {
        let bomb = include_bytes!("../../../fuzz/corpus/picture/claims_too_many_pixels.png");
        assert!(decode(bomb).is_err_and(|fault| fault.got.contains("of 95 bytes, got 919808 x ")));
    }

    #[test]
    fn photographs_are_read_by_number_or_by_name() {
        let files = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        let (read, unread) = sort(&files(&["10.png", "9.jpg", "9.png", "9_mask.png", "cat.jpg", "info.json"]));
        assert_eq!((read, unread), (files(&["9.png", "10.png"]), files(&["9.jpg", "cat.jpg"])));
        let (read, unread) = sort(&files(&["b.JPG", "a.jpeg", "a_mask.png"]));
        assert_eq!((read, unread), (files(&["a.jpeg", "b.JPG"]), files(&[])));
    }
}
