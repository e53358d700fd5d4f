//! Pictures as pixels and pixels as pictures.

use burn::tensor::{DType, Device, Tensor, TensorData};
use counterpoint::{Error, Result};
use image::RgbImage;

/// Pictures of `side` x `side` sRGB pixels as a tensor.
///
/// # Shapes
/// `[B, 3, side, side]`, f32 in [-1, 1].
///
/// # Errors
/// [`Data`](counterpoint::ErrorKind::Data) when a picture has another size.
pub fn pixels(images: &[RgbImage], side: usize, device: &Device) -> Result<Tensor<4>> {
    let size = side as u32;
    let mut values = Vec::with_capacity(images.len() * 3 * side * side);
    for image in images {
        if image.dimensions() != (size, size) {
            return Err(Error::data(format!(
                "expected an image of {size}x{size} pixels, got {}x{}; resize it",
                image.width(),
                image.height()
            )));
        }
        for channel in 0..3 {
            values.extend(image.pixels().map(|p| f32::from(p.0[channel]) / 127.5 - 1.0));
        }
    }
    Ok(Tensor::from_data(TensorData::new(values, [images.len(), 3, side, side]), (device, DType::F32)))
}

/// Pixels `[B, 3, height, width]` as sRGB pictures: [-1, 1] to [0, 255], clamped and truncated as the public code does.
///
/// # Errors
/// [`Contract`](counterpoint::ErrorKind::Contract) when the pixels cannot be read from their device.
pub fn images(pixels: Tensor<4>) -> Result<Vec<RgbImage>> {
    let [_, _, height, width] = pixels.dims();
    let bytes = ((pixels.permute([0, 2, 3, 1]) + 1.0) * 127.5).clamp(0.0, 255.0);
    let values = bytes
        .try_into_vec_as::<f32>()
        .map_err(|e| Error::device("cannot read decoded images from the device").with_source(e.to_string()))?;
    values
        .chunks(height * width * 3)
        .map(|image| {
            let bytes = image.iter().map(|&v| v as u8).collect();
            RgbImage::from_raw(width as u32, height as u32, bytes)
                .ok_or_else(|| Error::contract("a decoded image has too few pixels"))
        })
        .collect()
}
