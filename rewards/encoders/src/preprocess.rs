//! Images to tensors as Hugging Face's image processors do it: resize, centre crop, rescale, normalise.
//!
//! The published processors exist in two forms, and this is the Pillow one (`backend="pil"`), to the last bit: of a
//! published `preprocessor_config.json`, transformers 5.23 makes the torchvision form where torchvision is installed and
//! the Pillow form elsewhere, or when it is asked to. The torchvision form resizes tensors with coarser weights. On
//! photographs with the settings of CLIP, DINOv2 and BLIP-2, 0.3 % to 0.6 % of its bytes are one step off Pillow's (two
//! at most), which moves pixel values by up to 0.03. It also pads the odd pixel of a crop at the other end.
//!
//! An image has three channels here; `do_convert_rgb` is the business of who decodes the file.

use std::ops::Range;
use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use counterpoint::{Error, Result};
use counterpoint_pictures::{Filter, Pixels, resize};
use image::RgbImage;
use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

mod config;
mod plan;

pub use config::{ImageProcessorConfig, Size};
use plan::{Plan, crop_sides};

/// Turns images into the pixel values of a tower.
#[derive(Debug, Clone)]
pub struct ImageProcessor {
    config: ImageProcessorConfig,
    filter: Filter,
    /// What each byte becomes, for red, green and blue.
    values: [Vec<f32>; 3],
}

impl ImageProcessor {
    fn new(config: ImageProcessorConfig, filter: Filter) -> Self {
        let values = [0, 1, 2].map(|channel| (0..=u8::MAX).map(|byte| value(&config, byte, channel)).collect());
        Self { config, filter, values }
    }

    /// Resized and cropped images as one tensor. The images are worked on in parallel.
    ///
    /// # Shapes
    /// - result: `[b, 3, h, w]`
    ///
    /// # Errors
    /// When there is no image, one is empty, they differ in size afterwards, or the result would be larger than Pillow
    /// takes an image for (89,478,485 pixels).
    pub fn forward(&self, images: &[&RgbImage], device: &Device) -> Result<Tensor<4>> {
        let plans: Vec<Plan> =
            images.iter().map(|i| Plan::new(&self.config, i.width(), i.height())).collect::<Result<_>>()?;
        let Some(first) = plans.first() else {
            return Err(Error::data("image processor: expected at least one image, got none"));
        };
        let [width, height] = first.output;
        if let Some(other) = plans.iter().find(|p| p.output != first.output) {
            return Err(Error::data(format!(
                "image processor: expected images of one size, got {width}x{height} and {}x{}; \
                 give a crop or an exact size",
                other.output[0], other.output[1]
            )));
        }
        let area = width * height;
        let mut values = vec![0_f32; plans.len() * 3 * area];
        images.par_iter().zip(&plans).zip(values.par_chunks_mut(3 * area)).for_each(|((image, plan), planes)| {
            self.fill(image, plan, planes);
        });
        Ok(Tensor::from_data(TensorData::new(values, [images.len(), 3, height, width]), (device, DType::F32)))
    }

    /// Height and width of what [`forward`](Self::forward) returns, where the settings alone decide them.
    pub fn output_size(&self) -> Option<[usize; 2]> {
        let c = &self.config;
        if c.do_center_crop {
            let [width, height] = crop_sides(c.crop_size);
            return Some([height as usize, width as usize]);
        }
        match c.size {
            Size::Exact { height, width } if c.do_resize => Some([height as usize, width as usize]),
            _ => None,
        }
    }

    /// Checks that a tower of `side` x `side` pixels can read what [`forward`](Self::forward) returns.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when the settings, those in `folder`, give other sizes.
    pub fn check_gives(&self, side: usize, folder: &Path) -> Result<()> {
        let got = match self.output_size() {
            Some([height, width]) if [height, width] == [side, side] => return Ok(()),
            Some([height, width]) => format!("{width}x{height}"),
            None => "sizes that hang on each image".to_owned(),
        };
        Err(Error::config(format!(
            "expected preprocessor_config.json in {} to give images of {side}x{side}, got {got}",
            folder.display()
        )))
    }

    /// Writes one image into its three planes.
    fn fill(&self, image: &RgbImage, plan: &Plan, planes: &mut [f32]) {
        let [width, height] = plan.output;
        let source = Pixels { bytes: image.as_raw(), width: image.width() as usize, height: image.height() as usize };
        let seen = resize(source, plan.resized, plan.window.clone(), self.filter);
        let [columns, rows] = plan.window.clone().map(|side: Range<usize>| side.len());
        for ((plane, values), channel) in planes.chunks_exact_mut(width * height).zip(&self.values).zip(0..) {
            if [columns, rows] != plan.output {
                plane.fill(values[0]);
            }
            let lines = plane.chunks_exact_mut(width).skip(plan.offset[1]);
            for (line, bytes) in lines.zip(seen.chunks_exact(columns * 3)) {
                for (to, pixel) in line[plan.offset[0]..].iter_mut().zip(bytes.chunks_exact(3)) {
                    *to = values[usize::from(pixel[channel])];
                }
            }
        }
    }
}

/// What a byte becomes, in the number formats of the original: rescaled in 64 bits, normalised in 32.
fn value(config: &ImageProcessorConfig, byte: u8, channel: usize) -> f32 {
    let mut value = f32::from(byte);
    if config.do_rescale {
        value = (f64::from(byte) * config.rescale_factor) as f32;
    }
    if config.do_normalize {
        value = (value - config.image_mean[channel]) / config.image_std[channel];
    }
    value
}
