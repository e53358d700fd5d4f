//! CLIP scores: CLIP-T, an image against its prompt, and CLIP-I, an image against the references of its subject.
//!
//! Both are cosines of CLIP's embeddings, as in the evaluations of DreamBooth and UniCTokens (there by ViT-B/32). CLIPScore of
//! `torchmetrics` is 100 times CLIP-T, and 0 where that is negative.

mod files;

pub use files::FILES;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use counterpoint::{Judges, Result, Reward, Sample, Score};
use counterpoint_encoders::expert::{ExpertConfig as _, device};
use counterpoint_encoders::{
    Clip, ClipConfig, EmbeddingCache, ImageProcessor, ImageProcessorConfig, TextMemo, TextTokenizer, by_noun, dot,
    expert,
};
use counterpoint_weights::Precision;
use image::RgbImage;
use serde::{Deserialize, Serialize};

expert!("clip", ClipScoreConfig => ClipScore, { weights: FILES }, cache);

/// Settings of [`ClipScore`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipScoreConfig {
    /// Folder with CLIP's `config.json`, weights, tokenizer and `preprocessor_config.json`, see [`FILES`]; or `hf:OWNER/NAME`, such as
    /// `hf:openai/clip-vit-base-patch32`.
    pub weights: PathBuf,
    /// What the image is compared with: `prompt` (CLIP-T) or `references` (CLIP-I).
    pub with: With,
    /// Whether the concept's name in the prompt (`params.concept`) is replaced by what it is (`params.noun`). Default: true.
    #[serde(default = "concept_noun")]
    pub concept_noun: bool,
    /// Most images of one forward pass, 1 or more. Default: 64.
    #[serde(default = "batch")]
    pub batch: usize,
    /// Folder in which the embeddings of references are kept under a hash of weights, settings and pixels. Default: none, they
    /// are kept in memory alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// Where it computes: `flex` (CPU), `cuda:N`, `wgpu` or another device by its name. Default: the run's device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What its matrices are stored and multiplied in: `f32`, `bf16` or `f16`. Default: `f32`.
    #[serde(default)]
    pub dtype: Precision,
}

/// What an image is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum With {
    /// The compound prompt: CLIP-T.
    Prompt,
    /// The sample's references, the mean over them: CLIP-I.
    References,
}

/// Texts of one forward pass.
const TEXTS: usize = 16;

fn batch() -> usize {
    64
}

fn concept_noun() -> bool {
    true
}

impl ClipScoreConfig {
    /// The score by the towers at `weights`, all else by default.
    pub fn new(weights: impl Into<PathBuf>, with: With) -> Self {
        Self {
            weights: weights.into(),
            with,
            concept_noun: concept_noun(),
            batch: batch(),
            cache: None,
            device: None,
            dtype: Precision::default(),
        }
    }

    /// Loads the towers; they compute on `default` unless the settings name another device.
    ///
    /// # Errors
    /// When a file is missing or damaged, the files do not belong together, or a setting is out of range.
    pub fn init(&self, default: &Device) -> Result<ClipScore> {
        let device = device::<Self>(self.batch, self.device.as_deref(), default)?;
        let config = ClipConfig::read(&self.weights)?;
        let longest = config.text_config.max_position_embeddings;
        let tokenizer = TextTokenizer::load(&self.weights, longest)?;
        tokenizer.check_fits(config.text_config.vocab_size, &self.weights)?;
        let processor = ImageProcessorConfig::read(&self.weights)?.init()?;
        processor.check_gives(config.vision_config.image_size, &self.weights).map_err(|e| e.at(Self::NAME))?;
        let towers = ClipConfig::load(&self.weights, self.dtype, &device)?;
        let decisive = (self.dtype, format!("{device:?}"));
        Ok(ClipScore {
            texts: TextMemo::new(tokenizer, longest, TEXTS, device.clone()),
            references: EmbeddingCache::new(self.cache.clone(), &[&self.weights], &decisive)?,
            images: Images { towers, processor, batch: self.batch, device },
            with: self.with,
            concept_noun: self.concept_noun,
        })
    }
}

/// CLIP-T or CLIP-I, a cosine in -1..=1. A sample without an image, or without what it is compared with, is abstained from.
#[derive(Debug)]
pub struct ClipScore {
    images: Images,
    texts: TextMemo,
    references: EmbeddingCache,
    with: With,
    concept_noun: bool,
}

#[derive(Debug)]
struct Images {
    towers: Clip,
    processor: ImageProcessor,
    batch: usize,
    device: Device,
}

impl Images {
    /// One unit vector per image.
    fn embed(&self, images: &[&RgbImage]) -> Result<Vec<Vec<f32>>> {
        let mut rows = Vec::with_capacity(images.len());
        for images in images.chunks(self.batch) {
            let vectors: Tensor<2> = self.towers.embed_images(self.processor.forward(images, &self.device)?)?;
            let width = vectors.dims()[1];
            let values: Vec<f32> = vectors.into_data().iter::<f32>().collect();
            rows.extend(values.chunks(width).map(<[f32]>::to_vec));
        }
        Ok(rows)
    }
}

impl ClipScore {
    /// What `sample` has to be compared with its image, or why it has not.
    fn usable<'a>(&self, sample: &'a Sample) -> Result<(&'a RgbImage, Cow<'a, str>), Score> {
        let image = sample.image.as_deref().ok_or_else(|| Score::Abstain("no image to compare".into()))?;
        let references = if self.with == With::References { &sample.references[..] } else { &[] };
        if std::iter::once(image).chain(references.iter().map(Arc::as_ref)).any(|i| i.width() == 0 || i.height() == 0) {
            return Err(Score::Fail("expected images, got one without pixels".into()));
        }
        let prompt = if self.concept_noun { by_noun(sample) } else { Cow::from(&sample.prompt) };
        match self.with {
            With::Prompt if prompt.trim().is_empty() => Err(Score::Abstain("no prompt to compare".into())),
            With::References if references.is_empty() => Err(Score::Abstain("no reference image".into())),
            _ => Ok((image, prompt)),
        }
    }

    fn with_prompts(&mut self, rows: &[Vec<f32>], prompts: &[Cow<'_, str>]) -> Result<Vec<f64>> {
        let towers = &self.images.towers;
        let texts = self.texts.embed(prompts, |batch| Ok(towers.embed_texts(batch.ids)))?;
        Ok(rows.iter().zip(texts).map(|(image, text)| dot(image, &text)).collect())
    }

    fn with_references(&mut self, rows: &[Vec<f32>], samples: &[&Sample]) -> Result<Vec<f64>> {
        // Each in a batch of its own: an embedding that is kept depends on its image alone.
        let alone = |image: &RgbImage| Ok(self.images.embed(&[image])?.pop());
        let known = self.references.all(samples.iter().flat_map(|sample| &sample.references), alone)?;
        let mean = |(row, sample): (&Vec<f32>, &&Sample)| {
            let cosines = sample.references.iter().filter_map(|reference| Some(dot(row, known.of(reference)?)));
            cosines.sum::<f64>() / sample.references.len() as f64
        };
        Ok(rows.iter().zip(samples).map(mean).collect())
    }
}

impl Reward for ClipScore {
    fn name(&self) -> &str {
        ClipScoreConfig::NAME
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let usable: Vec<_> = samples.iter().map(|sample| self.usable(sample)).collect();
        let used = || samples.iter().zip(&usable).filter_map(|(sample, usable)| Some((sample, usable.as_ref().ok()?)));
        let images: Vec<&RgbImage> = used().map(|(_, (image, _))| *image).collect();
        let rows = self.images.embed(&images)?;
        let cosines = match self.with {
            With::Prompt => {
                let prompts: Vec<_> = used().map(|(_, (_, prompt))| prompt.clone()).collect();
                self.with_prompts(&rows, &prompts)?
            }
            With::References => {
                let samples: Vec<_> = used().map(|(sample, _)| sample).collect();
                self.with_references(&rows, &samples)?
            }
        };
        let mut cosines = cosines.into_iter();
        let score = |usable: Result<_, Score>| match usable.map(|_| cosines.next().unwrap_or(f64::NAN)) {
            Ok(cosine) if cosine.is_finite() => Score::Value(cosine),
            Ok(cosine) => Score::Fail(format!("expected a finite cosine, got {cosine}")),
            Err(score) => score,
        };
        Ok(usable.into_iter().map(score).collect())
    }

    fn judges(&self) -> Judges {
        match self.with {
            With::Prompt => Judges::Both,
            With::References => Judges::Generation,
        }
    }

    fn device(&self) -> Option<String> {
        Some(counterpoint::device::name(&self.images.device))
    }
}
