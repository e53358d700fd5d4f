//! Images to tensors as Hugging Face's image processors do it: resize, centre crop, rescale, normalise.

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use counterpoint::{Error, Result};
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::files;

mod resample;

use resample::{Filter, resize};

/// File name of an image processor's settings.
const FILE: &str = "preprocessor_config.json";

/// A size as the processors write it: `224`, `{"shortest_edge": 256}` or `{"height": 224, "width": 224}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Size {
    /// Both sides, whatever the shape of the image was.
    Exact {
        /// Pixels.
        height: u32,
        /// Pixels.
        width: u32,
    },
    /// The shorter side; the longer keeps the proportion.
    Shortest {
        /// Pixels.
        shortest_edge: u32,
    },
    /// One number: the shorter side when resizing, both sides when cropping.
    Side(u32),
}

/// Settings of an [`ImageProcessor`]: a `preprocessor_config.json`, whose other keys are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageProcessorConfig {
    /// Whether to resize.
    pub do_resize: bool,
    /// Size after resizing.
    pub size: Size,
    /// Filter, in Pillow's numbers: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic.
    pub resample: u8,
    /// Whether to crop the centre out.
    pub do_center_crop: bool,
    /// Size of the crop; what lies outside the image is black.
    pub crop_size: Size,
    /// Whether to multiply with `rescale_factor`.
    pub do_rescale: bool,
    /// What the bytes are multiplied with.
    pub rescale_factor: f64,
    /// Whether to subtract the mean and divide by the deviation.
    pub do_normalize: bool,
    /// Mean of red, green and blue, after rescaling.
    pub image_mean: [f32; 3],
    /// Standard deviation of red, green and blue, after rescaling.
    pub image_std: [f32; 3],
}

impl Default for ImageProcessorConfig {
    /// BLIP-2's settings.
    fn default() -> Self {
        Self {
            do_resize: true,
            size: Size::Exact { height: 224, width: 224 },
            resample: 3,
            do_center_crop: false,
            crop_size: Size::Exact { height: 224, width: 224 },
            do_rescale: true,
            rescale_factor: 1.0 / 255.0,
            do_normalize: true,
            image_mean: [0.48145466, 0.4578275, 0.40821073],
            image_std: [0.26862954, 0.261_302_6, 0.275_777_1],
        }
    }
}

impl ImageProcessorConfig {
    /// Reads `dir/preprocessor_config.json`.
    ///
    /// # Errors
    /// When the file cannot be read or is not such a config.
    pub fn read(dir: &Path) -> Result<Self> {
        files::read_json(&dir.join(FILE))
    }

    /// Writes `dir/preprocessor_config.json`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let path = dir.join(FILE);
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::config("cannot write an image processor's config").with_source(e))?;
        std::fs::write(&path, text + "\n").map_err(|e| Error::io("cannot write", &path, e))
    }

    /// The processor.
    ///
    /// # Errors
    /// When a size or a deviation is zero, or the filter is not one of those supported.
    pub fn init(&self) -> Result<ImageProcessor> {
        let Some(filter) = Filter::from_number(self.resample) else {
            return Err(Error::config(format!(
                "image processor: expected resample 0, 1, 2 or 3, got {}",
                self.resample
            )));
        };
        for (name, size) in [("size", self.size), ("crop_size", self.crop_size)] {
            if matches!(
                size,
                Size::Side(0)
                    | Size::Shortest { shortest_edge: 0 }
                    | Size::Exact { height: 0, .. }
                    | Size::Exact { width: 0, .. }
            ) {
                return Err(Error::config(format!("image processor: expected {name} above 0, got {size:?}")));
            }
        }
        if self.do_normalize && self.image_std.iter().any(|s| !s.is_normal()) {
            return Err(Error::config(format!(
                "image processor: expected image_std above 0, got {:?}",
                self.image_std
            )));
        }
        Ok(ImageProcessor { config: self.clone(), filter })
    }
}

/// Turns images into the pixel values of a tower.
#[derive(Debug, Clone)]
pub struct ImageProcessor {
    config: ImageProcessorConfig,
    filter: Filter,
}

impl ImageProcessor {
    /// Resized and cropped images as one tensor.
    ///
    /// # Shapes
    /// - result: `[b, 3, h, w]`
    ///
    /// # Errors
    /// When there is no image, one is empty, or they differ in size afterwards.
    pub fn forward(&self, images: &[&RgbImage], device: &Device) -> Result<Tensor<4>> {
        let fitted: Vec<RgbImage> = images.iter().map(|i| self.fit(i)).collect::<Result<_>>()?;
        let Some(first) = fitted.first() else {
            return Err(Error::data("image processor: expected at least one image, got none"));
        };
        let (width, height) = first.dimensions();
        let area = width as usize * height as usize;
        let mut values = vec![0_f32; fitted.len() * 3 * area];
        for (image, planes) in fitted.iter().zip(values.chunks_mut(3 * area)) {
            if image.dimensions() != (width, height) {
                return Err(Error::data(format!(
                    "image processor: expected images of one size, got {width}x{height} and {}x{}; \
                     give a crop or an exact size",
                    image.width(),
                    image.height()
                )));
            }
            for (i, pixel) in image.pixels().enumerate() {
                for channel in 0..3 {
                    planes[channel * area + i] = self.scale(pixel.0[channel], channel);
                }
            }
        }
        Ok(Tensor::from_data(TensorData::new(values, [fitted.len(), 3, height as usize, width as usize]), device))
    }

    /// Height and width of what [`forward`](Self::forward) returns, where the settings alone decide them.
    pub fn output_size(&self) -> Option<[usize; 2]> {
        let c = &self.config;
        if c.do_center_crop {
            let (width, height) = crop_sides(c.crop_size);
            return Some([height as usize, width as usize]);
        }
        match c.size {
            Size::Exact { height, width } if c.do_resize => Some([height as usize, width as usize]),
            _ => None,
        }
    }

    fn scale(&self, byte: u8, channel: usize) -> f32 {
        let c = &self.config;
        let mut value = f32::from(byte);
        if c.do_rescale {
            value = (f64::from(byte) * c.rescale_factor) as f32;
        }
        if c.do_normalize {
            value = (value - c.image_mean[channel]) / c.image_std[channel];
        }
        value
    }

    fn fit(&self, image: &RgbImage) -> Result<RgbImage> {
        let (width, height) = image.dimensions();
        if width == 0 || height == 0 {
            return Err(Error::data(format!("image processor: expected an image, got one of {width}x{height} pixels")));
        }
        let c = &self.config;
        let mut image = image.clone();
        if c.do_resize {
            let (w, h) = resized(c.size, width, height);
            if (w, h) != (width, height) {
                image = resize(&image, w, h, self.filter);
            }
        }
        if c.do_center_crop {
            image = centre_crop(&image, crop_sides(c.crop_size));
        }
        Ok(image)
    }
}

fn resized(size: Size, width: u32, height: u32) -> (u32, u32) {
    let short = match size {
        Size::Exact { height, width } => return (width, height),
        Size::Shortest { shortest_edge } => shortest_edge,
        Size::Side(side) => side,
    };
    let longer = |long: u32, short_side: u32| (u64::from(short) * u64::from(long) / u64::from(short_side)) as u32;
    if width <= height { (short, longer(height, width)) } else { (longer(width, height), short) }
}

fn crop_sides(size: Size) -> (u32, u32) {
    match size {
        Size::Exact { height, width } => (width, height),
        Size::Shortest { shortest_edge: side } | Size::Side(side) => (side, side),
    }
}

/// The centre of the image, black where the crop reaches beyond it.
fn centre_crop(image: &RgbImage, (width, height): (u32, u32)) -> RgbImage {
    // The margins before the crop are rounded towards the top left, as the originals do.
    let left = (i64::from(image.width()) - i64::from(width)).div_euclid(2);
    let top = (i64::from(image.height()) - i64::from(height)).div_euclid(2);
    RgbImage::from_fn(width, height, |x, y| {
        let (x, y) = (i64::from(x) + left, i64::from(y) + top);
        if x < 0 || y < 0 {
            return image::Rgb([0; 3]);
        }
        image.get_pixel_checked(x as u32, y as u32).copied().unwrap_or(image::Rgb([0; 3]))
    })
}
