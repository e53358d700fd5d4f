//! BLIP's captioner: a ViT, and a BERT that reads it while it writes.

use std::path::Path;

use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use counterpoint::{Error, Result};
use counterpoint_weights::Precision;
use serde::{Deserialize, Serialize};

use crate::blip2::{VISION, VISION_SAVED, VisionConfig};
use crate::files::{self, Names};
use crate::vit::Vit;

mod decoder;

pub use decoder::TextDecoderConfig;

use decoder::{Read, TextDecoder};

const NAMES: Names = Names {
    load: &[
        VISION,
        &[
            (r"\.LayerNorm\.", ".layer_norm."),
            (r"^text_decoder\.bert\.embeddings\.", "text_decoder."),
            (r"^text_decoder\.bert\.encoder\.layer\.", "text_decoder.layers."),
            (r"attention\.self\.", "attention.attention."),
            (r"^text_decoder\.cls\.predictions\.transform\.", "text_decoder.head."),
            (r"^text_decoder\.cls\.predictions\.bias$", "text_decoder.head.bias"),
        ],
    ],
    save: &[
        &[
            (r"^text_decoder\.head\.bias$", "text_decoder.cls.predictions.bias"),
            (r"^text_decoder\.head\.", "text_decoder.cls.predictions.transform."),
            (r"^text_decoder\.layers\.", "text_decoder.bert.encoder.layer."),
            (r"^text_decoder\.(word_embeddings|position_embeddings|layer_norm)\.", "text_decoder.bert.embeddings.$1."),
            (r"^(text_decoder\..*)attention\.attention\.", "${1}attention.self."),
            (r"^(text_decoder\..*)\.layer_norm\.", "$1.LayerNorm."),
        ],
        VISION_SAVED,
    ],
    // The output matrix is that of the word embeddings.
    ignored: &["text_decoder.cls.predictions.decoder.", "text_decoder.position_ids"],
};

/// Architecture of a [`Captioner`]: the original's `config.json`, whose other keys are ignored. Defaults: BLIP base.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CaptionerConfig {
    /// The image tower. Its defaults are BLIP-2's: published configs name every size.
    pub vision_config: VisionConfig,
    /// The decoder.
    pub text_config: TextDecoderConfig,
}

impl Default for CaptionerConfig {
    fn default() -> Self {
        let vision_config = VisionConfig {
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            image_size: 384,
            patch_size: 16,
            layer_norm_eps: 1e-5,
            ..VisionConfig::default()
        };
        Self { vision_config, text_config: TextDecoderConfig::default() }
    }
}

impl CaptionerConfig {
    /// Reads `dir/config.json`.
    ///
    /// # Errors
    /// When the file cannot be read or is not such a config.
    pub fn read(dir: &Path) -> Result<Self> {
        files::read_json(&dir.join(files::CONFIG))
    }

    /// A captioner with random weights.
    ///
    /// # Errors
    /// When a size is zero or the parts do not fit together.
    pub fn init(&self, device: &Device) -> Result<Captioner> {
        let (vision, text) = (&self.vision_config, &self.text_config);
        if vision.hidden_size != text.encoder_hidden_size {
            return Err(Error::config(format!(
                "captioner: expected text_config.encoder_hidden_size to be the vision tower's hidden_size {}, got {}",
                vision.hidden_size, text.encoder_hidden_size
            )));
        }
        Ok(Captioner {
            vision_model: vision.init("captioner vision", device)?,
            text_decoder: text.init(device)?,
            begin: text.bos_token_id,
            end: text.sep_token_id,
            longest: text.max_position_embeddings,
        })
    }

    /// The captioner in `dir`: `config.json` and its weights (safetensors or `pytorch_model.bin`, sharded or not), the matrices
    /// in `precision`.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the weights do not fit the config.
    pub fn load(dir: &Path, precision: Precision, device: &Device) -> Result<Captioner> {
        let mut captioner = Self::read(dir)?.init(device)?;
        files::load(&mut captioner, &files::open(dir)?, &NAMES, precision)?;
        Ok(captioner)
    }
}

/// BLIP's captioner.
#[derive(Module, Debug)]
pub struct Captioner {
    vision_model: Vit,
    text_decoder: TextDecoder,
    begin: usize,
    end: usize,
    longest: usize,
}

impl Captioner {
    /// Logits of the next token after each of `ids`.
    ///
    /// # Shapes
    /// - pixels: `[b, 3, image_size, image_size]`, normalised; ids: `[b, l]`
    /// - result: `[b, l, vocab_size]`
    ///
    /// # Errors
    /// When the image is not of the config's size.
    ///
    /// # Panics
    /// When an id or the length is out of range.
    pub fn logits(&self, pixels: Tensor<4>, ids: Tensor<2, Int>) -> Result<Tensor<3>> {
        Ok(self.text_decoder.forward(ids, &mut self.read(pixels)?))
    }

    /// The likeliest caption of each image, token by token: after `prompt` (the tokens of a text, without special ones; may
    /// be empty), up to the end token, which is left out, or `max_new_tokens`.
    ///
    /// # Shapes
    /// - pixels: `[b, 3, image_size, image_size]`, normalised
    /// - result: b texts
    ///
    /// # Errors
    /// When the image is not of the config's size, a token of the prompt is unknown, or prompt and caption may together be
    /// longer than the decoder's longest text.
    pub fn caption(&self, pixels: Tensor<4>, prompt: &[u32], max_new_tokens: usize) -> Result<Vec<Vec<u32>>> {
        let vocabulary = self.text_decoder.vocab_size();
        if let Some(id) = prompt.iter().find(|&&id| id as usize >= vocabulary) {
            return Err(Error::data(format!("captioner: expected tokens below {vocabulary} in the prompt, got {id}")));
        }
        // The last token that is written is never read.
        if prompt.len() + max_new_tokens > self.longest {
            return Err(Error::config(format!(
                "captioner: expected at most {} tokens of prompt and caption, got {} and {max_new_tokens}",
                self.longest,
                prompt.len()
            )));
        }
        let (images, device) = (pixels.dims()[0], pixels.device());
        let mut state = self.read(pixels)?;
        let first: Vec<i64> =
            std::iter::once(self.begin as i64).chain(prompt.iter().map(|&id| i64::from(id))).collect();
        let length = first.len();
        let mut next = Tensor::<2, Int>::from_data(TensorData::new(first.repeat(images), [images, length]), &device);
        let (mut captions, mut ended) = (vec![Vec::new(); images], vec![false; images]);
        for _ in 0..max_new_tokens {
            let length = next.dims()[1];
            let logits = self.text_decoder.forward(next, &mut state).narrow(1, length - 1, 1);
            let likeliest: Tensor<2, Int> = logits.argmax(2).squeeze_dim(2);
            for (i, id) in likeliest.clone().into_data().iter::<i64>().enumerate() {
                ended[i] |= id == self.end as i64;
                if !ended[i] {
                    captions[i].push(id as u32);
                }
            }
            if ended.iter().all(|ended| *ended) {
                break;
            }
            next = likeliest;
        }
        Ok(captions)
    }

    /// Writes `config.json` and `model.safetensors` into `dir`, under the original's names.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, config: &CaptionerConfig, dir: &Path) -> Result<()> {
        files::save(self, config, dir, &NAMES)
    }

    /// The images as the decoder reads them.
    fn read(&self, pixels: Tensor<4>) -> Result<Read> {
        Ok(self.text_decoder.read(self.vision_model.norm(self.vision_model.forward(pixels)?)))
    }
}
