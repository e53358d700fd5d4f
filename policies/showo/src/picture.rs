//! Pictures as pixels and codes.

use burn::tensor::Device;
use counterpoint::Result;
use counterpoint_pictures::fit;
pub use counterpoint_policy_common::picture::{images, pixels};
use image::RgbImage;

use crate::{MagvitV2, tokens};

/// Image codes `[images][N]` of sRGB images of any size: short side resized to `side`, middle cut out, as the originals do ([`fit`]).
///
/// # Errors
/// [`Data`](counterpoint::ErrorKind::Data) when an image has no pixels.
pub fn codes(tokenizer: &MagvitV2, images: &[RgbImage], side: usize, device: &Device) -> Result<Vec<Vec<u32>>> {
    let fitted: Vec<RgbImage> = images.iter().map(|image| fit(image, side as u32)).collect();
    tokens::to_rows(tokenizer.encode(pixels(&fitted, side, device)?)?)
}
