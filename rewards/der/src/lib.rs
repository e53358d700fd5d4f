//! DER, the DINOv2 expert reward: does the image show the concept of the reference images?
//!
//! The patch features of an image (the patch tokens after the last norm) are averaged; the score is the cosine of
//! the generated image's with a reference's, averaged over the references. Averaging first makes the score
//! independent of where in the image the concept is.

mod files;

pub use files::FILES;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use counterpoint::registry::{RewardEntry, settings};
use counterpoint::{Error, Result, Reward, Sample, Score, inventory};
use counterpoint_encoders::{Dinov2, Dinov2Config, ImageProcessor, ImageProcessorConfig, l2_normalise};
use image::RgbImage;
use serde::{Deserialize, Serialize};

inventory::submit! {
    RewardEntry {
        name: "der",
        build: |table, context| {
            let mut config: DerConfig = settings("der", table)?;
            config.weights = context.resolve(&config.weights);
            Ok(Box::new(config.init(&context.device)?))
        },
    }
}

/// Settings of [`Der`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DerConfig {
    /// Folder with the tower's `config.json`, `model.safetensors` and `preprocessor_config.json`.
    pub weights: PathBuf,
    /// Most images of one forward pass, 1 or more. Default: 64.
    #[serde(default = "batch")]
    pub batch: usize,
}

fn batch() -> usize {
    64
}

impl DerConfig {
    /// Loads the tower.
    ///
    /// # Errors
    /// When a file is missing or damaged, the files do not belong together, or a setting is out of range.
    pub fn init(&self, device: &Device) -> Result<Der> {
        if self.batch == 0 {
            return Err(Error::config("der: expected batch of 1 or more, got 0"));
        }
        let processor = ImageProcessorConfig::read(&self.weights)?.init()?;
        if processor.output_size().is_none() {
            return Err(Error::config(format!(
                "der: expected preprocessor_config.json in {} to give images of one size, by a crop or an exact size",
                self.weights.display()
            )));
        }
        let tower = Dinov2Config::load(&self.weights, device)?;
        Ok(Der { tower, processor, device: device.clone(), batch: self.batch })
    }
}

/// The DER reward, in -1..=1. A sample without an image or without a reference is abstained from.
#[derive(Debug)]
pub struct Der {
    tower: Dinov2,
    processor: ImageProcessor,
    device: Device,
    batch: usize,
}

impl Der {
    /// One unit vector per image: the mean of its patch features.
    ///
    /// # Errors
    /// When an image is empty, or the tower does not take the processor's size.
    pub fn embed(&self, images: &[&RgbImage]) -> Result<Vec<Vec<f32>>> {
        let mut rows = Vec::with_capacity(images.len());
        for images in images.chunks(self.batch) {
            let patches = self.tower.patch_features(self.processor.forward(images, &self.device)?)?;
            let mean: Tensor<2> = l2_normalise(patches.mean_dim(1).squeeze_dim(1));
            let width = mean.dims()[1];
            let values: Vec<f32> = mean.into_data().iter::<f32>().collect();
            rows.extend(values.chunks(width).map(<[f32]>::to_vec));
        }
        Ok(rows)
    }
}

impl Reward for Der {
    fn name(&self) -> &str {
        "der"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let judged: Vec<Result<&Arc<RgbImage>, Score>> = samples.iter().map(usable).collect();
        // The candidates of a group share their references: each distinct image is embedded once.
        let mut images: Vec<&RgbImage> = Vec::new();
        let mut known: HashMap<*const RgbImage, usize> = HashMap::new();
        for (sample, image) in samples.iter().zip(&judged) {
            let Ok(image) = image else { continue };
            for image in std::iter::once(*image).chain(&sample.references) {
                known.entry(Arc::as_ptr(image)).or_insert_with(|| {
                    images.push(image);
                    images.len() - 1
                });
            }
        }
        let rows = self.embed(&images)?;
        let row = |image: &Arc<RgbImage>| {
            known.get(&Arc::as_ptr(image)).and_then(|&i| rows.get(i)).map(Vec::as_slice).unwrap_or_default()
        };
        let score = |(sample, image): (&Sample, Result<&Arc<RgbImage>, Score>)| {
            let image = match image {
                Ok(image) => image,
                Err(score) => return score,
            };
            let total: f64 = sample.references.iter().map(|reference| dot(row(image), row(reference))).sum();
            match total / sample.references.len() as f64 {
                s if s.is_finite() => Score::Value(s),
                s => Score::Fail(format!("expected a finite cosine, got {s}")),
            }
        };
        Ok(samples.iter().zip(judged).map(score).collect())
    }
}

fn usable(sample: &Sample) -> Result<&Arc<RgbImage>, Score> {
    let image = sample.image.as_ref().ok_or_else(|| Score::Abstain("no image to compare".into()))?;
    if sample.references.is_empty() {
        return Err(Score::Abstain("no reference image".into()));
    }
    if std::iter::once(image).chain(&sample.references).any(|i| i.width() == 0 || i.height() == 0) {
        return Err(Score::Fail("expected images, got one without pixels".into()));
    }
    Ok(image)
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}
