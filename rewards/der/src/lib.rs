//! DER, the DINOv2 expert reward: does the image show the concept of the reference images?
//!
//! The patch features of an image (the patch tokens after the last norm) are averaged, all alike or those of the foreground
//! alone; the score is the cosine of the generated image's with a reference's, averaged over the references or as
//! [`References`] says. Averaging first makes the score independent of where in the image the concept is.

mod files;
mod pooling;
mod references;

pub use files::FILES;
pub use pooling::Pooling;
pub use references::References;

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Device;
use counterpoint::{Error, Judges, Result, Reward, Sample, Score};
use counterpoint_encoders::expert::{ExpertConfig as _, device};
use counterpoint_encoders::{Dinov2, Dinov2Config, EmbeddingCache, ImageProcessor, ImageProcessorConfig, dot, expert};
use counterpoint_weights::Precision;
use image::RgbImage;
use serde::{Deserialize, Serialize};

expert!("der", DerConfig => Der, { weights: FILES }, cache);

/// Settings of [`Der`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DerConfig {
    /// Folder with the tower's `config.json`, weights and `preprocessor_config.json`, see [`FILES`]; or `hf:OWNER/NAME`.
    pub weights: PathBuf,
    /// How the patches of an image become one vector: `mean` or `foreground`. Default: `mean`.
    #[serde(default)]
    pub pooling: Pooling,
    /// Which references count, where there are several: `mean`, `max` or `first`. Default: `mean`.
    #[serde(default)]
    pub references: References,
    /// Most images of one forward pass, 1 or more. Default: 64.
    #[serde(default = "batch")]
    pub batch: usize,
    /// Folder in which the embeddings of references are kept under a hash of weights, settings and pixels; several runs may
    /// share it. Default: none, they are kept in memory alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// Where it computes: `flex` (CPU), `cuda:N`, `wgpu` or another device by its name. Default: the run's device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What its matrices are stored and multiplied in: `f32`, `bf16` or `f16`. Default: `f32`.
    #[serde(default)]
    pub dtype: Precision,
}

fn batch() -> usize {
    64
}

impl DerConfig {
    /// The expert with the tower at `weights`, all else by default.
    pub fn new(weights: impl Into<PathBuf>) -> Self {
        Self {
            weights: weights.into(),
            pooling: Pooling::default(),
            references: References::default(),
            batch: batch(),
            cache: None,
            device: None,
            dtype: Precision::default(),
        }
    }

    /// Loads the tower; it computes on `default` unless the settings name another device.
    ///
    /// # Errors
    /// When a file is missing or damaged, the files do not belong together, or a setting is out of range.
    pub fn init(&self, default: &Device) -> Result<Der> {
        let device = device::<Self>(self.batch, self.device.as_deref(), default)?;
        let config = Dinov2Config::read(&self.weights)?;
        let preprocessing = ImageProcessorConfig::read(&self.weights)?;
        let processor = preprocessing.init()?;
        let Some(size) = processor.output_size() else {
            return Err(Error::config(format!(
                "der: expected preprocessor_config.json in {} to give images of one size, by a crop or an exact size",
                self.weights.display()
            )));
        };
        let tower = Dinov2Config::load(&self.weights, self.dtype, &device)?;
        let decisive = (self.pooling, self.dtype, format!("{device:?}"));
        let references = EmbeddingCache::new(self.cache.clone(), &[&self.weights], &decisive)?;
        let embedder = Embedder {
            tower,
            processor,
            grid: size.map(|side| side / config.patch_size),
            pooling: self.pooling,
            batch: self.batch,
            device,
        };
        Ok(Der { embedder, compared: self.references, references })
    }
}

/// The DER reward, in -1..=1. A sample without an image or without a reference is abstained from.
#[derive(Debug)]
pub struct Der {
    embedder: Embedder,
    /// Which references count.
    compared: References,
    references: EmbeddingCache,
}

#[derive(Debug)]
struct Embedder {
    tower: Dinov2,
    processor: ImageProcessor,
    /// Rows and columns of patches.
    grid: [usize; 2],
    pooling: Pooling,
    batch: usize,
    device: Device,
}

impl Der {
    /// One unit vector per image: the mean of its patch features.
    ///
    /// # Errors
    /// When an image is empty, or the tower does not take the processor's size.
    pub fn embed(&self, images: &[&RgbImage]) -> Result<Vec<Vec<f32>>> {
        self.embedder.embed(images)
    }
}

impl Embedder {
    fn embed(&self, images: &[&RgbImage]) -> Result<Vec<Vec<f32>>> {
        let mut rows = Vec::with_capacity(images.len());
        for images in images.chunks(self.batch) {
            let patches = self.tower.patch_features(self.processor.forward(images, &self.device)?)?;
            let [_, count, width] = patches.dims();
            let values: Vec<f32> = patches.into_data().iter::<f32>().collect();
            rows.extend(values.chunks(count * width).map(|image| self.pooling.pool(image, self.grid, width)));
        }
        Ok(rows)
    }
}

impl Reward for Der {
    fn name(&self) -> &str {
        DerConfig::NAME
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let judged: Vec<Result<&Arc<RgbImage>, Score>> = samples.iter().map(usable).collect();
        let used = || samples.iter().zip(&judged).filter_map(|(sample, image)| Some((sample, image.as_ref().ok()?)));
        let images: Vec<&RgbImage> = used().map(|(_, image)| image.as_ref()).collect();
        let mut rows = self.embedder.embed(&images)?.into_iter();
        // Each in a batch of its own: an embedding that is kept depends on its image alone.
        let alone = |image: &RgbImage| Ok(self.embedder.embed(&[image])?.pop());
        let compared = self.compared;
        let wanted = used().flat_map(|(sample, _)| compared.of(&sample.references));
        let references = self.references.all(wanted, alone)?;
        let score = |(sample, image): (&Sample, Result<_, Score>)| {
            if let Err(score) = image {
                return score;
            }
            let row = rows.next().unwrap_or_default();
            let cosine = |reference| dot(&row, references.of(reference).unwrap_or_default());
            let cosines: Vec<f64> = compared.of(&sample.references).iter().map(cosine).collect();
            match compared.score(&cosines) {
                s if s.is_finite() => Score::Value(s),
                s => Score::Fail(format!("expected a finite cosine, got {s}")),
            }
        };
        Ok(samples.iter().zip(judged.iter().cloned()).map(score).collect())
    }

    /// It compares images alone.
    fn judges(&self) -> Judges {
        Judges::Generation
    }

    fn device(&self) -> Option<String> {
        Some(counterpoint::device::name(&self.embedder.device))
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
