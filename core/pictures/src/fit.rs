//! A photograph of any size as a square.

use image::RgbImage;

use crate::{Filter, Pixels, resize};

/// `image` with its short side resized to `side` pixels (bicubic, anti-aliased) and its middle cut out: `side` x `side`. As
/// torchvision's `Resize(side, BICUBIC)` and `CenterCrop(side)` do on Pillow's images, which is how Show-o and UniCTokens
/// prepare what the model understands; an image of that size is returned as it is. The long side is rounded down, the odd
/// pixel of a crop to even, as there.
///
/// An image without pixels, and `side` 0, give `image` as it is.
pub fn fit(image: &RgbImage, side: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    if (width, height) == (side, side) || width == 0 || height == 0 || side == 0 {
        return image.clone();
    }
    let (short, long) = (width.min(height), width.max(height));
    let other = (u64::from(side) * u64::from(long) / u64::from(short)) as usize;
    let side = side as usize;
    let resized = if width <= height { [side, other] } else { [other, side] };
    let window = resized.map(|length| {
        let start = half_even(length - side);
        start..start + side
    });
    let source = Pixels { bytes: image.as_raw(), width: width as usize, height: height as usize };
    let bytes = resize(source, resized, window, Filter::Bicubic).into_owned();
    RgbImage::from_raw(side as u32, side as u32, bytes).unwrap_or_else(|| image.clone())
}

/// Half of `n`, as Python's `round` rounds it.
fn half_even(n: usize) -> usize {
    let half = n / 2;
    if n.is_multiple_of(2) || half.is_multiple_of(2) { half } else { half + 1 }
}
