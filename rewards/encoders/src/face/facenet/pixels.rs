//! Faces to the pixel values of the tower.

use burn::tensor::{Device, Tensor};
use counterpoint::{Error, Result};
use image::RgbImage;

use super::{FaceNetConfig, Standardisation};
use crate::preprocess::{ImageProcessorConfig, Size};

/// Side of the smallest image that every convolution still finds a pixel in.
pub(super) const SMALLEST: usize = 75;

pub(super) fn check([_, channels, height, width]: [usize; 4]) -> Result<()> {
    if channels == 3 && height >= SMALLEST && width >= SMALLEST {
        return Ok(());
    }
    Err(Error::contract(format!(
        "facenet: expected images of 3 channels and at least {SMALLEST}x{SMALLEST} pixels, got {channels} channels and \
         {height}x{width}; resize them"
    )))
}

impl FaceNetConfig {
    /// Faces at the tower's size (bilinear, as Pillow resizes), standardised.
    ///
    /// # Shapes
    /// - result: `[faces, 3, image_size, image_size]`
    ///
    /// # Errors
    /// When there is no face or one has no pixels.
    pub fn pixels(&self, faces: &[&RgbImage], device: &Device) -> Result<Tensor<4>> {
        let side = self.image_size as u32;
        let processor = ImageProcessorConfig {
            size: Size::Exact { height: side, width: side },
            resample: 2,
            do_rescale: false,
            do_normalize: self.standardisation == Standardisation::Fixed,
            image_mean: [127.5; 3],
            image_std: [128.0; 3],
            ..ImageProcessorConfig::default()
        };
        let pixels = processor.init()?.forward(faces, device)?;
        Ok(match self.standardisation {
            Standardisation::Fixed => pixels,
            Standardisation::PerImage => per_image(pixels),
        })
    }
}

/// # Shapes
/// - pixels: `[b, c, h, w]`, bytes; result: mean 0 and deviation 1 over each image, less where it is nearly flat
fn per_image(pixels: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = pixels.dims();
    let count = channels * height * width;
    let rows: Tensor<2> = pixels.reshape([batch, count]);
    let rows = rows.clone() - rows.mean_dim(1);
    let deviation = rows.clone().square().mean_dim(1).sqrt().clamp_min(1.0 / (count as f64).sqrt());
    (rows / deviation).reshape([batch, channels, height, width])
}
