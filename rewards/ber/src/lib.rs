//! BER, the BLIP-2 expert reward: does the image show what the compound prompt says?
//!
//! The cosine of BLIP-2's image-text contrastive head, that of the best query, higher is better; or the probability of its
//! matching head. The prompt is brought into one form first, see [`counterpoint_encoders::text::normalise`], and says what the
//! concept is instead of its name, see [`BerConfig::concept_noun`].

mod files;

pub use files::FILES;

use std::borrow::Cow;
use std::path::PathBuf;

use burn::tensor::activation::softmax;
use burn::tensor::{DType, Device, Tensor, TensorData};
use counterpoint::{Judges, Result, Reward, Sample, Score};
use counterpoint_encoders::expert::{ExpertConfig as _, device};
use counterpoint_encoders::text::normalise;
use counterpoint_encoders::{
    Blip2, Blip2Config, ImageProcessor, ImageProcessorConfig, TextBatch, TextMemo, TextTokenizer, by_noun, expert,
};
use counterpoint_weights::Precision;
use image::RgbImage;
use serde::{Deserialize, Serialize};

expert!("ber", BerConfig => Ber, { weights: FILES });

/// Settings of [`Ber`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BerConfig {
    /// Folder with the tower's `config.json`, weights, tokenizer and `preprocessor_config.json`, see [`FILES`]; or
    /// `hf:OWNER/NAME`.
    pub weights: PathBuf,
    /// Which head gives the score. Previews are always scored by the contrastive head. Default: `contrastive`.
    #[serde(default)]
    pub head: Head,
    /// Whether the concept's name in the prompt (`params.concept`, such as `<vera>`) is replaced by what it is
    /// (`params.noun`, such as `young woman`), for previews too: a published tower has never read the name. Where the task says
    /// no noun, the prompt stays as it is. Default: true; false for a tower that was trained on the names.
    #[serde(default = "concept_noun")]
    pub concept_noun: bool,
    /// Most samples of one forward pass, 1 or more. Default: 64.
    #[serde(default = "batch")]
    pub batch: usize,
    /// Where it computes: `flex` (CPU), `cuda:N`, `wgpu` or another device by its name. Default: the run's device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What its matrices are stored and multiplied in: `f32`, `bf16` or `f16`. Default: `f32`.
    #[serde(default)]
    pub dtype: Precision,
}

/// A head of BLIP-2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Head {
    /// The cosine of the best query, in -1..=1: images and texts are embedded apart.
    #[default]
    Contrastive,
    /// The probability that the text belongs to the image, in 0..=1: the queries read both.
    Matching,
}

/// Texts of one forward pass.
const TEXTS: usize = 16;

fn batch() -> usize {
    64
}

fn concept_noun() -> bool {
    true
}

impl BerConfig {
    /// The expert with the tower at `weights`, all else by default.
    pub fn new(weights: impl Into<PathBuf>) -> Self {
        Self {
            weights: weights.into(),
            head: Head::default(),
            concept_noun: concept_noun(),
            batch: batch(),
            device: None,
            dtype: Precision::default(),
        }
    }

    /// Loads the tower; it computes on `default` unless the settings name another device.
    ///
    /// # Errors
    /// When a file is missing or damaged, the files do not belong together, or a setting is out of range.
    pub fn init(&self, default: &Device) -> Result<Ber> {
        let device = device::<Self>(self.batch, self.device.as_deref(), default)?;
        let config = Blip2Config::read(&self.weights)?;
        let longest = config.qformer_config.max_position_embeddings;
        let tokenizer = TextTokenizer::load(&self.weights, longest)?;
        tokenizer.check_fits(config.qformer_config.vocab_size, &self.weights)?;
        let processor = ImageProcessorConfig::read(&self.weights)?.init()?;
        processor.check_gives(config.vision_config.image_size, &self.weights).map_err(|e| e.at(Self::NAME))?;
        let tower = Blip2Config::load(&self.weights, self.dtype, &device)?;
        let texts = TextMemo::new(tokenizer.clone(), longest, TEXTS, device.clone());
        Ok(Ber {
            tower,
            tokenizer,
            texts,
            processor,
            head: self.head,
            concept_noun: self.concept_noun,
            batch: self.batch,
            device,
        })
    }
}

/// The BER reward: a cosine in -1..=1, or a probability. A sample without an image or without a prompt is abstained from.
#[derive(Debug)]
pub struct Ber {
    tower: Blip2,
    tokenizer: TextTokenizer,
    texts: TextMemo,
    processor: ImageProcessor,
    head: Head,
    concept_noun: bool,
    batch: usize,
    device: Device,
}

impl Ber {
    /// Cosine of each image with its own text. Each distinct text is embedded once in the life of the expert, so that a
    /// finished candidate costs no more than its image when its preview was scored before.
    ///
    /// # Errors
    /// When a text has no token, or an image is empty.
    pub fn similarity(&mut self, images: &[&RgbImage], texts: &[String]) -> Result<Vec<f64>> {
        let tower = &self.tower;
        let rows = self.texts.embed(texts, |batch: TextBatch| Ok(tower.embed_texts(batch.ids, &batch.keep)))?;
        let mut scores = Vec::with_capacity(images.len());
        for (images, rows) in images.chunks(self.batch).zip(rows.chunks(self.batch)) {
            let pixels = self.processor.forward(images, &self.device)?;
            let texts = TensorData::new(rows.concat(), [rows.len(), rows[0].len()]);
            let texts = Tensor::<2>::from_data(texts, (&self.device, DType::F32));
            let cosines = Blip2::itc_pairs(self.tower.embed_images(pixels)?, texts);
            scores.extend(cosines.into_data().iter::<f64>());
        }
        Ok(scores)
    }

    /// Probability that each image and its own text belong together.
    ///
    /// # Errors
    /// When a text has no token, or an image is empty.
    pub fn matching(&self, images: &[&RgbImage], texts: &[String]) -> Result<Vec<f64>> {
        let mut scores = Vec::with_capacity(images.len());
        for (images, texts) in images.chunks(self.batch).zip(texts.chunks(self.batch)) {
            let pixels = self.processor.forward(images, &self.device)?;
            let text = self.tokenizer.encode(texts, &self.device)?;
            let logits = self.tower.itm(pixels, text.ids, &text.keep)?;
            scores.extend(softmax(logits, 1).narrow(1, 1, 1).into_data().iter::<f64>());
        }
        Ok(scores)
    }

    fn score_by(&mut self, head: Head, samples: &[Sample]) -> Result<Vec<Score>> {
        let mut scores = vec![Score::Abstain("no image to compare".into()); samples.len()];
        let (mut places, mut images, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for (place, sample) in samples.iter().enumerate() {
            let Some(image) = sample.image.as_deref() else { continue };
            let text = normalise(&if self.concept_noun { by_noun(sample) } else { Cow::from(&sample.prompt) });
            if text.is_empty() {
                scores[place] = Score::Abstain("no prompt to compare".into());
                continue;
            }
            if image.width() == 0 || image.height() == 0 {
                scores[place] = Score::Fail("expected an image, got one without pixels".into());
                continue;
            }
            places.push(place);
            images.push(image);
            texts.push(text);
        }
        let values = match head {
            Head::Contrastive => self.similarity(&images, &texts)?,
            Head::Matching => self.matching(&images, &texts)?,
        };
        for (place, value) in places.into_iter().zip(values) {
            scores[place] = match value {
                s if s.is_finite() => Score::Value(s),
                s => Score::Fail(format!("expected a finite score, got {s}")),
            };
        }
        Ok(scores)
    }
}

impl Reward for Ber {
    fn name(&self) -> &str {
        BerConfig::NAME
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        self.score_by(self.head, samples)
    }

    /// The cosine of the contrastive head, also where the matching head gives the reward: it reads a prompt once for the
    /// previews and the images of a group, and the image without it.
    fn preview(&mut self, previews: &[Sample]) -> Result<Vec<Score>> {
        self.score_by(Head::Contrastive, previews)
    }

    /// Its text is the compound prompt, in which the answer is.
    fn judges(&self) -> Judges {
        Judges::Both
    }

    fn device(&self) -> Option<String> {
        Some(counterpoint::device::name(&self.device))
    }
}
