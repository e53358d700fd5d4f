//! BER, the BLIP-2 expert reward: does the image show what the compound prompt says?
//!
//! The cosine of BLIP-2's image-text contrastive head, that of the best query, higher is better. The prompt is brought
//! into one form first, see [`counterpoint_encoders::text::normalise`].

mod files;

pub use files::FILES;

use std::path::PathBuf;

use burn::tensor::Device;
use counterpoint::registry::{RewardEntry, settings};
use counterpoint::{Error, Result, Reward, Sample, Score, inventory};
use counterpoint_encoders::text::normalise;
use counterpoint_encoders::{Blip2, Blip2Config, ImageProcessor, ImageProcessorConfig, TextTokenizer};
use image::RgbImage;
use serde::{Deserialize, Serialize};

inventory::submit! {
    RewardEntry {
        name: "ber",
        build: |table, context| {
            let mut config: BerConfig = settings("ber", table)?;
            config.weights = context.resolve(&config.weights);
            Ok(Box::new(config.init(&context.device)?))
        },
    }
}

/// Settings of [`Ber`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BerConfig {
    /// Folder with the tower's `config.json`, `model.safetensors`, `tokenizer.json` and `preprocessor_config.json`.
    pub weights: PathBuf,
    /// Most samples of one forward pass, 1 or more. Default: 64.
    #[serde(default = "batch")]
    pub batch: usize,
}

fn batch() -> usize {
    64
}

impl BerConfig {
    /// Loads the tower.
    ///
    /// # Errors
    /// When a file is missing or damaged, the files do not belong together, or a setting is out of range.
    pub fn init(&self, device: &Device) -> Result<Ber> {
        if self.batch == 0 {
            return Err(Error::config("ber: expected batch of 1 or more, got 0"));
        }
        let config = Blip2Config::read(&self.weights)?;
        let tokenizer = TextTokenizer::load(&self.weights, config.qformer_config.max_position_embeddings)?;
        if tokenizer.vocab_size() > config.qformer_config.vocab_size {
            return Err(Error::weights(format!(
                "ber: expected a tokenizer of at most {} tokens in {}, got {}; the files do not belong together",
                config.qformer_config.vocab_size,
                self.weights.display(),
                tokenizer.vocab_size()
            )));
        }
        let processor = ImageProcessorConfig::read(&self.weights)?.init()?;
        let side = config.vision_config.image_size;
        if processor.output_size() != Some([side, side]) {
            return Err(Error::config(format!(
                "ber: expected preprocessor_config.json in {} to give images of {side}x{side}, got {:?}",
                self.weights.display(),
                processor.output_size()
            )));
        }
        let tower = Blip2Config::load(&self.weights, device)?;
        Ok(Ber { tower, tokenizer, processor, device: device.clone(), batch: self.batch })
    }
}

/// The BER reward, in -1..=1. A sample without an image or without a prompt is abstained from.
#[derive(Debug)]
pub struct Ber {
    tower: Blip2,
    tokenizer: TextTokenizer,
    processor: ImageProcessor,
    device: Device,
    batch: usize,
}

impl Ber {
    /// Cosine of each image with its own text.
    ///
    /// # Errors
    /// When a text has no token, or an image is empty.
    pub fn similarity(&self, images: &[&RgbImage], texts: &[String]) -> Result<Vec<f64>> {
        let mut scores = Vec::with_capacity(images.len());
        for (images, texts) in images.chunks(self.batch).zip(texts.chunks(self.batch)) {
            let pixels = self.processor.forward(images, &self.device)?;
            let text = self.tokenizer.encode(texts, &self.device)?;
            let texts = self.tower.embed_texts(text.ids, &text.keep);
            let cosines = Blip2::itc_pairs(self.tower.embed_images(pixels), texts);
            scores.extend(cosines.into_data().iter::<f64>());
        }
        Ok(scores)
    }
}

impl Reward for Ber {
    fn name(&self) -> &str {
        "ber"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let mut scores = vec![Score::Abstain("no image to compare".into()); samples.len()];
        let (mut places, mut images, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        for (place, sample) in samples.iter().enumerate() {
            let Some(image) = sample.image.as_deref() else { continue };
            let text = normalise(&sample.prompt);
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
        for (place, cosine) in places.into_iter().zip(self.similarity(&images, &texts)?) {
            scores[place] = match cosine {
                s if s.is_finite() => Score::Value(s),
                s => Score::Fail(format!("expected a finite cosine, got {s}")),
            };
        }
        Ok(scores)
    }
}
