//! Pictures as the vision tower sees them.

use burn::tensor::{Device, Tensor};
use counterpoint::{Error, Result};
use counterpoint_pictures::{Filter, Pixels, resize};
use counterpoint_policy_common::picture::pixels;
use image::{Rgb, RgbImage};

/// What a picture that is no square is filled up with: the mean of Janus-Pro's `image_mean`, 0.5.
const BACKGROUND: Rgb<u8> = Rgb([127, 127, 127]);
/// The least that a side is resized to.
const LEAST: u32 = 14;

/// A picture of any size for the tower: the long side resized to `side` pixels (bicubic, as Pillow), grey beside the short one.
///
/// # Shapes
/// `[1, 3, side, side]`, f32 in [-1, 1].
///
/// # Errors
/// [`Data`](counterpoint::ErrorKind::Data) when the picture has no pixels.
pub fn seen(image: &RgbImage, side: usize, device: &Device) -> Result<Tensor<4>> {
    let (width, height) = image.dimensions();
    if width == 0 || height == 0 {
        return Err(Error::data("expected a picture, got one without pixels"));
    }
    let target = side as u32;
    let scale = f64::from(target) / f64::from(width.max(height));
    // Halves to even, as in Python.
    let scaled = |length: u32| ((f64::from(length) * scale).round_ties_even() as u32).max(LEAST).min(target.max(LEAST));
    let (new_width, new_height) = (scaled(width), scaled(height));
    let (columns, rows) = (new_width as usize, new_height as usize);
    let source = Pixels { bytes: image.as_raw(), width: width as usize, height: height as usize };
    let bytes = resize(source, [columns, rows], [0..columns, 0..rows], Filter::Bicubic).into_owned();
    let resized = RgbImage::from_raw(new_width, new_height, bytes)
        .ok_or_else(|| Error::contract("a resized picture has too few pixels"))?;
    let mut square = RgbImage::from_pixel(target, target, BACKGROUND);
    let (x, y) = ((target.saturating_sub(new_width)) / 2, (target.saturating_sub(new_height)) / 2);
    image::imageops::overlay(&mut square, &resized, i64::from(x), i64::from(y));
    pixels(&[square], side, device)
}
