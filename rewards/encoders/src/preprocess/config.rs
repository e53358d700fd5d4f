//! The settings of an image processor, as they are published.

use std::path::Path;

use counterpoint::{Error, Result};
use counterpoint_pictures::Filter;
use serde::{Deserialize, Serialize};

use super::ImageProcessor;
use crate::files;

/// File name of an image processor's settings.
const FILE: &str = "preprocessor_config.json";

/// A size as the processors write it: `224`, `{"shortest_edge": 256}` or `{"height": 224, "width": 224}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, try_from = "RawSize")]
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

#[derive(Deserialize)]
#[serde(untagged)]
enum RawSize {
    Side(u32),
    Sides { height: Option<u32>, width: Option<u32>, shortest_edge: Option<u32>, longest_edge: Option<u32> },
}

impl TryFrom<RawSize> for Size {
    type Error = String;

    fn try_from(raw: RawSize) -> std::result::Result<Self, String> {
        match raw {
            RawSize::Side(side) => Ok(Self::Side(side)),
            RawSize::Sides { height: Some(height), width: Some(width), shortest_edge: None, longest_edge: None } => {
                Ok(Self::Exact { height, width })
            }
            RawSize::Sides { height: None, width: None, shortest_edge: Some(shortest_edge), longest_edge: None } => {
                Ok(Self::Shortest { shortest_edge })
            }
            RawSize::Sides { height, width, shortest_edge, longest_edge } => Err(format!(
                "expected a size of a number, of height and width, or of shortest_edge alone, got height {height:?}, \
                 width {width:?}, shortest_edge {shortest_edge:?}, longest_edge {longest_edge:?}"
            )),
        }
    }
}

/// Settings of an [`ImageProcessor`]: a `preprocessor_config.json`, whose other keys are ignored.
///
/// `image_processor_type` (or `feature_extractor_type`) says what the keys that a file leaves out mean:
/// `CLIPImageProcessor` and `BitImageProcessor` (DINOv2) have the shorter side at 224 and crop 224 x 224 out of the
/// centre, `BlipImageProcessor` has 384 x 384 and no crop, and takes a single number for both sides. A file without a
/// type starts from [`Default`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(from = "Raw")]
pub struct ImageProcessorConfig {
    /// Whether to resize.
    pub do_resize: bool,
    /// Size after resizing.
    pub size: Size,
    /// Filter, in Pillow's numbers: 0 nearest, 1 Lanczos, 2 bilinear, 3 bicubic, 4 box, 5 Hamming.
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

/// The processors whose own settings are known.
#[derive(Clone, Copy, Deserialize)]
enum Kind {
    #[serde(
        rename = "CLIPImageProcessor",
        alias = "CLIPFeatureExtractor",
        alias = "CLIPImageProcessorFast",
        alias = "BitImageProcessor",
        alias = "BitImageProcessorFast"
    )]
    Clip,
    #[serde(rename = "BlipImageProcessor", alias = "BlipImageProcessorFast")]
    Blip,
}

/// What a file may leave out.
#[derive(Deserialize)]
struct Raw {
    #[serde(alias = "feature_extractor_type")]
    image_processor_type: Option<Kind>,
    do_resize: Option<bool>,
    size: Option<Size>,
    resample: Option<u8>,
    do_center_crop: Option<bool>,
    crop_size: Option<Size>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    do_normalize: Option<bool>,
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
}

impl From<Raw> for ImageProcessorConfig {
    fn from(raw: Raw) -> Self {
        let mut base = Self::default();
        let mut size = raw.size;
        match raw.image_processor_type {
            Some(Kind::Clip) => {
                base.size = Size::Shortest { shortest_edge: 224 };
                base.do_center_crop = true;
            }
            Some(Kind::Blip) => {
                base.size = Size::Exact { height: 384, width: 384 };
                if let Some(Size::Side(side)) = size {
                    size = Some(Size::Exact { height: side, width: side });
                }
            }
            None => {}
        }
        Self {
            do_resize: raw.do_resize.unwrap_or(base.do_resize),
            size: size.unwrap_or(base.size),
            resample: raw.resample.unwrap_or(base.resample),
            do_center_crop: raw.do_center_crop.unwrap_or(base.do_center_crop),
            crop_size: raw.crop_size.unwrap_or(base.crop_size),
            do_rescale: raw.do_rescale.unwrap_or(base.do_rescale),
            rescale_factor: raw.rescale_factor.unwrap_or(base.rescale_factor),
            do_normalize: raw.do_normalize.unwrap_or(base.do_normalize),
            image_mean: raw.image_mean.unwrap_or(base.image_mean),
            image_std: raw.image_std.unwrap_or(base.image_std),
        }
    }
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
    /// When the file cannot be read or is not such a config, or names a processor that is not supported.
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
    /// When a size or a deviation is zero, or the filter is not one of Pillow's.
    pub fn init(&self) -> Result<ImageProcessor> {
        let Some(filter) = Filter::from_number(self.resample) else {
            return Err(Error::config(format!(
                "image processor: expected resample 0, 1, 2, 3, 4 or 5, got {}",
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
        Ok(ImageProcessor::new(self.clone(), filter))
    }
}
