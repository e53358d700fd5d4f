//! BLIP-2 for image-text retrieval: a ViT, a Q-Former that reads it through learned queries, and the contrastive
//! (ITC) and matching (ITM) heads.

use std::path::Path;

use burn::module::{Module, Param};
use burn::nn::{Embedding, EmbeddingConfig, Initializer, Linear, LinearConfig};
use burn::tensor::{Bool, DType, Device, Int, Tensor};
use counterpoint::{Error, Result};
use counterpoint_weights::Precision;
use serde::{Deserialize, Serialize};

use crate::files::{self, Names};
use crate::ops::{Visible, embed_tokens, l2_normalise, project};
use crate::vit::Vit;

mod qformer;
mod vision;

pub use qformer::QFormerConfig;
pub use vision::VisionConfig;
pub(crate) use vision::{VISION, VISION_SAVED};

use qformer::QFormer;

const NAMES: Names = Names {
    load: &[VISION, &[(r"\.LayerNorm\.", ".layer_norm.")]],
    save: &[&[(r"\.layer_norm\.", ".LayerNorm.")], VISION_SAVED],
    ignored: &["embeddings.position_ids", "language_model.", "language_projection."],
};

/// Architecture of a [`Blip2`]: the original's `config.json`, whose other keys (the language model's) are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Blip2Config {
    /// The image tower.
    pub vision_config: VisionConfig,
    /// The Q-Former.
    pub qformer_config: QFormerConfig,
    /// Number of learned queries.
    pub num_query_tokens: usize,
    /// Width of the shared image-text space.
    pub image_text_hidden_size: usize,
}

impl Default for Blip2Config {
    fn default() -> Self {
        Self {
            vision_config: VisionConfig::default(),
            qformer_config: QFormerConfig::default(),
            num_query_tokens: 32,
            image_text_hidden_size: 256,
        }
    }
}

impl Blip2Config {
    /// Reads `dir/config.json`.
    ///
    /// # Errors
    /// When the file cannot be read or is not such a config.
    pub fn read(dir: &Path) -> Result<Self> {
        files::read_json(&dir.join(files::CONFIG))
    }

    /// A tower with random weights.
    ///
    /// # Errors
    /// When a size is zero or the parts do not fit together.
    pub fn init(&self, device: &Device) -> Result<Blip2> {
        let (vision, qformer) = (&self.vision_config, &self.qformer_config);
        if vision.hidden_size != qformer.encoder_hidden_size {
            return Err(Error::config(format!(
                "blip2: expected qformer_config.encoder_hidden_size to be the vision tower's hidden_size {}, got {}",
                vision.hidden_size, qformer.encoder_hidden_size
            )));
        }
        if self.num_query_tokens == 0 || self.image_text_hidden_size == 0 {
            return Err(Error::config("blip2: expected num_query_tokens and image_text_hidden_size above 0, got 0"));
        }
        let h = qformer.hidden_size;
        let normal = Initializer::Normal { mean: 0.0, std: 0.02 };
        let table = |n| EmbeddingConfig::new(n, h).with_initializer(normal.clone()).init(device);
        Ok(Blip2 {
            vision_model: vision.init("blip2 vision", device)?,
            qformer: qformer.init(device)?,
            query_tokens: normal.init([1, self.num_query_tokens, h], device),
            embeddings: TextEmbeddings {
                word_embeddings: table(qformer.vocab_size),
                position_embeddings: table(qformer.max_position_embeddings),
            },
            vision_projection: LinearConfig::new(h, self.image_text_hidden_size).init(device),
            text_projection: LinearConfig::new(h, self.image_text_hidden_size).init(device),
            itm_head: LinearConfig::new(h, 2).init(device),
        })
    }

    /// The tower in `dir`: `config.json` and its weights (safetensors or `pytorch_model.bin`, sharded or not), the matrices
    /// in `precision`.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the weights do not fit the config.
    pub fn load(dir: &Path, precision: Precision, device: &Device) -> Result<Blip2> {
        let mut tower = Self::read(dir)?.init(device)?;
        files::load(&mut tower, &files::open(dir)?, &NAMES, precision)?;
        Ok(tower)
    }
}

/// BLIP-2 with its retrieval heads.
#[derive(Module, Debug)]
pub struct Blip2 {
    vision_model: Vit,
    qformer: QFormer,
    query_tokens: Param<Tensor<3>>,
    embeddings: TextEmbeddings,
    vision_projection: Linear,
    text_projection: Linear,
    itm_head: Linear,
}

#[derive(Module, Debug)]
struct TextEmbeddings {
    word_embeddings: Embedding,
    position_embeddings: Embedding,
}

impl TextEmbeddings {
    fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let positions = Tensor::<1, Int>::arange(0..ids.dims()[1] as i64, &ids.device()).unsqueeze_dim::<2>(0);
        embed_tokens(&self.word_embeddings, ids) + embed_tokens(&self.position_embeddings, positions)
    }
}

impl Blip2 {
    /// One unit vector per query: what the contrastive head compares with a text.
    ///
    /// # Shapes
    /// - pixels: `[b, 3, image_size, image_size]`, normalised
    /// - result: `[b, queries, image_text_hidden_size]`
    ///
    /// # Errors
    /// When the image is not of the config's size.
    pub fn embed_images(&self, pixels: Tensor<4>) -> Result<Tensor<3>> {
        let image = self.see(pixels)?;
        let queries = self.queries(image.dims()[0]);
        let count = queries.dims()[1];
        let out = self.qformer.forward(queries, count, Visible::All, Some(image));
        Ok(l2_normalise(project(&self.vision_projection, out)))
    }

    /// One unit vector per text.
    ///
    /// # Shapes
    /// - ids: `[m, l]`; keep: `[m, l]`, true at real tokens
    /// - result: `[m, image_text_hidden_size]`
    ///
    /// # Panics
    /// When an id or the length is out of the config's range.
    pub fn embed_texts(&self, ids: Tensor<2, Int>, keep: &Tensor<2, Bool>) -> Tensor<2> {
        let [texts, _] = ids.dims();
        let out = self.qformer.forward(self.embeddings.forward(ids), 0, Visible::Kept(keep), None);
        let first = out.slice([0..texts, 0..1]);
        l2_normalise(project(&self.text_projection, first)).squeeze_dim(1)
    }

    /// Cosine of every image with every text: that of the best query.
    ///
    /// # Shapes
    /// - images: `[b, queries, p]`, texts: `[m, p]`, as embedded by this tower
    /// - result: `[b, m]`, in -1..=1
    pub fn itc(images: Tensor<3>, texts: Tensor<2>) -> Tensor<2> {
        let [batch, queries, p] = images.dims();
        let count = texts.dims()[0];
        let cosines = images.reshape([batch * queries, p]).matmul(texts.transpose());
        cosines.reshape([batch, queries, count]).max_dim(1).squeeze_dim(1)
    }

    /// Cosine of each image with its own text: that of the best query.
    ///
    /// # Shapes
    /// - images: `[b, queries, p]`, texts: `[b, p]`, as embedded by this tower
    /// - result: `[b]`, in -1..=1
    pub fn itc_pairs(images: Tensor<3>, texts: Tensor<2>) -> Tensor<1> {
        let [batch, _, _] = images.dims();
        (images * texts.unsqueeze_dim::<3>(1)).sum_dim(2).max_dim(1).reshape([batch])
    }

    /// Matching logits of each image with its own text: (no match, match).
    ///
    /// # Shapes
    /// - pixels: `[b, 3, image_size, image_size]`; ids, keep: `[b, l]`
    /// - result: `[b, 2]`
    ///
    /// # Errors
    /// As [`embed_images`](Self::embed_images).
    ///
    /// # Panics
    /// As [`embed_texts`](Self::embed_texts).
    pub fn itm(&self, pixels: Tensor<4>, ids: Tensor<2, Int>, keep: &Tensor<2, Bool>) -> Result<Tensor<2>> {
        let image = self.see(pixels)?;
        let queries = self.queries(image.dims()[0]);
        let [batch, count, h] = queries.dims();
        let all = Tensor::<2, Bool>::full([batch, count], true, &queries.device());
        let keep = Tensor::cat(vec![all, keep.clone()], 1);
        let sequence = Tensor::cat(vec![queries, self.embeddings.forward(ids)], 1);
        let out = self.qformer.forward(sequence, count, Visible::Kept(&keep), Some(image));
        Ok(project(&self.itm_head, out.slice([0..batch, 0..count, 0..h])).mean_dim(1).squeeze_dim(1))
    }

    /// Writes `config.json` and `model.safetensors` into `dir`, under the original's names.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, config: &Blip2Config, dir: &Path) -> Result<()> {
        files::save(self, config, dir, &NAMES)
    }

    /// What the Q-Former reads of images.
    fn see(&self, pixels: Tensor<4>) -> Result<Tensor<3>> {
        Ok(self.vision_model.norm(self.vision_model.forward(pixels)?))
    }

    fn queries(&self, batch: usize) -> Tensor<3> {
        let queries = self.query_tokens.val().cast(DType::F32);
        let [_, count, h] = queries.dims();
        queries.expand([batch, count, h])
    }
}
