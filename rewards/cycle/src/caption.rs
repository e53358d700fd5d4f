//! What a captioner sees in an image.

use burn::tensor::Device;
use counterpoint::{Error, Result};
use counterpoint_encoders::{Captioner, CaptionerConfig, ImageProcessor, ImageProcessorConfig, TextTokenizer};
use counterpoint_weights::Precision;
use image::RgbImage;

use crate::CaptionPart;
use crate::words::{word_pieces, words};

/// BLIP's captioner with all that it needs to turn images into texts.
#[derive(Debug)]
pub struct Captions {
    captioner: Captioner,
    tokenizer: TextTokenizer,
    processor: ImageProcessor,
    /// Tokens of what a caption begins with.
    prompt: Vec<u32>,
    max_new_tokens: usize,
    device: Device,
}

impl Captions {
    /// The captioner that `part` names, on `device`.
    ///
    /// # Errors
    /// When a file is missing or damaged, the files do not belong together, or a setting is out of range.
    pub fn load(part: &CaptionPart, precision: Precision, device: &Device) -> Result<Self> {
        let (folder, at) = (&part.captioner, |e: Error| e.at("caption.captioner"));
        let config = CaptionerConfig::read(folder)?;
        let longest = config.text_config.max_position_embeddings;
        let tokenizer = word_pieces(folder, longest, config.text_config.vocab_size).map_err(at)?;
        let processor = ImageProcessorConfig::read(folder)?.init()?;
        processor.check_gives(config.vision_config.image_size, folder).map_err(at)?;
        let prompt = words(&tokenizer.ids(&part.prompt)?).to_vec();
        if part.max_new_tokens == 0 || prompt.len() + part.max_new_tokens > longest {
            return Err(Error::config(format!(
                "caption.max_new_tokens: expected 1 or more, and with the {} tokens of caption.prompt at most the captioner's {longest}, got {}",
                prompt.len(),
                part.max_new_tokens
            )));
        }
        let captioner = CaptionerConfig::load(folder, precision, device)?;
        let (max_new_tokens, device) = (part.max_new_tokens, device.clone());
        Ok(Self { captioner, tokenizer, processor, prompt, max_new_tokens, device })
    }

    /// The likeliest caption of each image, token by token.
    ///
    /// # Errors
    /// When an image has no pixels, or a caption cannot be turned into text.
    pub fn of(&self, images: &[&RgbImage]) -> Result<Vec<String>> {
        if images.is_empty() {
            return Ok(Vec::new());
        }
        let pixels = self.processor.forward(images, &self.device)?;
        let captions = self.captioner.caption(pixels, &self.prompt, self.max_new_tokens)?;
        captions.iter().map(|ids| self.tokenizer.decode(ids)).collect()
    }
}
