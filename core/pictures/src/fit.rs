//! A photograph of any size as a square.

use std::borrow::Cow;

use image::RgbImage;

use crate::{Filter, Pixels, resize};

/// `image` with its short side resized to `side` pixels (bicubic, anti-aliased) and its middle cut out: `side` x `side`. As
/// torchvision's `Resize(side, BICUBIC)` and `CenterCrop(side)` do on Pillow's images, which is how Show-o and UniCTokens
/// prepare what the model understands; an image of that size is returned as it is. The long side is rounded down, the odd
/// pixel of a crop to even, as there.
///
/// An image without pixels, and `side` 0, give `image` as it is.
pub fn fit(image: &RgbImage, side: u32) -> RgbImage {
    if image.dimensions() == (side, side) {
        return image.clone();
    }
    cut_out(image, side, side, [half_even, half_even])
}

/// `image` with its long side resized to at most `side` pixels (bilinear, anti-aliased); one that is no larger as it is.
///
/// An image without pixels, and `side` 0, give `image` as it is.
pub fn within(image: &RgbImage, side: u32) -> Cow<'_, RgbImage> {
    let (width, height) = image.dimensions();
    let long = width.max(height);
    if long <= side || side == 0 || width.min(height) == 0 {
        return Cow::Borrowed(image);
    }
    let scaled = |length: u32| (f64::from(length) * f64::from(side) / f64::from(long)).round().max(1.0) as usize;
    let [w, h] = [scaled(width), scaled(height)];
    let source = Pixels { bytes: image.as_raw(), width: width as usize, height: height as usize };
    let bytes = resize(source, [w, h], [0..w, 0..h], Filter::Bilinear).into_owned();
    RgbImage::from_raw(w as u32, h as u32, bytes).map_or(Cow::Borrowed(image), Cow::Owned)
}

/// `image` with its short side resized to `short` pixels, of which `side` x `side` are cut out at the place `at`: shares in [0, 1]
/// of what is left over across and down. As torchvision's `Resize(short, BICUBIC)` and `RandomCrop(side)`, whose place is
/// uniform.
///
/// An image without pixels, a `side` of 0 and one larger than `short` give `image` as it is.
pub fn cut(image: &RgbImage, side: u32, short: u32, at: [f32; 2]) -> RgbImage {
    let place = |share: f32| move |left: usize| ((share * (left + 1) as f32) as usize).min(left);
    cut_out(image, side, short, at.map(place))
}

fn cut_out(image: &RgbImage, side: u32, short: u32, place: [impl Fn(usize) -> usize; 2]) -> RgbImage {
    let (width, height) = image.dimensions();
    if width == 0 || height == 0 || side == 0 || side > short {
        return image.clone();
    }
    let long = (u64::from(short) * u64::from(width.max(height)) / u64::from(width.min(height))) as usize;
    let (side, short) = (side as usize, short as usize);
    let resized = if width <= height { [short, long] } else { [long, short] };
    let window = [0, 1].map(|axis: usize| {
        let start = place[axis](resized[axis] - side);
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
