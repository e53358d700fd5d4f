//! The model: vision tower, decoder, embeddings and heads.

use std::path::Path;

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Linear, LinearConfig};
use burn::tensor::{Bool, Device, FloatDType, Int, Tensor, TensorData};
use counterpoint::device::constant;
use counterpoint::{Error, Result};
use counterpoint_kernels::{Mask, Rotation};
use counterpoint_policy_common::cache::Grown;
use counterpoint_policy_common::lora::scores;
use counterpoint_policy_common::tape::Tape;
use counterpoint_policy_common::training;
use counterpoint_weights::{LoadOptions, Precision, WeightFiles, load};

use crate::aligner::{Aligner, CodeHead};
use crate::llama::{Layer, Llama};
use crate::original;
use crate::rotary::rotation;
use crate::vision::VisionModel;
use crate::{JanusConfig, KvCache, TextConfig, VqTokenizer};

/// Janus without its image tokenizer: what is trained.
#[derive(Module, Debug)]
pub struct Janus {
    pub(crate) vision_model: VisionModel,
    pub(crate) aligner: Aligner,
    pub(crate) language_model: Llama,
    pub(crate) lm_head: Linear,
    pub(crate) generation_embeddings: Embedding,
    pub(crate) generation_aligner: Aligner,
    pub(crate) generation_head: CodeHead,
    #[module(skip)]
    text: TextConfig,
    image_token: usize,
    #[module(skip)]
    precision: Precision,
    #[module(skip)]
    tape: Tape<Janus, Layer>,
}

impl JanusConfig {
    /// A model with fresh weights.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when the numbers do not agree with each other.
    pub fn init(&self, device: &Device) -> Result<Janus> {
        self.validate()?;
        let (text, vision, vq) = (&self.text_config, &self.vision_config, &self.vq_config);
        let width = text.hidden_size;
        Ok(Janus {
            vision_model: VisionModel::init(vision, device),
            aligner: Aligner::init(vision.hidden_size, vision.projection_dim, vision.depth, device),
            language_model: Llama::init(text, device),
            lm_head: LinearConfig::new(width, text.vocab_size).with_bias(false).init(device),
            generation_embeddings: EmbeddingConfig::new(vq.num_embeddings, vq.embed_dim).init(device),
            generation_aligner: Aligner::init(vq.embed_dim, vq.projection_dim, vq.num_hidden_layers, device),
            generation_head: CodeHead::init(vq.image_token_embed_dim, vq.projection_dim, vq.num_embeddings, device),
            text: text.clone(),
            image_token: self.image_token_id as usize,
            precision: Precision::default(),
            tape: Tape::default(),
        })
    }

    /// Model and image tokenizer with the weights of a folder or file with the tensor names of transformers or of the first release, of any format that
    /// [`WeightFiles`] reads; the model's matrices in `precision`, in which it computes.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) for the config, [`Weights`](counterpoint::ErrorKind::Weights) when any tensor
    /// is missing, unexpected or of another shape than the config says.
    pub fn load(&self, path: &Path, precision: Precision, device: &Device) -> Result<(Janus, VqTokenizer)> {
        let mut model = self.init(device)?;
        let mut tokenizer = VqTokenizer::init(&self.vq_config, device);
        let files = WeightFiles::open(path)?;
        let dtype = Some(precision.dtype().into());
        let vector_dtype = Some(FloatDType::F32);
        if original::is_original(&files) {
            let how = LoadOptions { vector_dtype, unit_axes: true, ..LoadOptions::default() };
            let of_model = LoadOptions {
                renamed: &original::MODEL,
                split: &original::FUSED,
                ignored: &original::NOT_MODEL,
                dtype,
                ..how
            };
            load(&mut model, &files, &of_model)?;
            let of_tokenizer = LoadOptions {
                renamed: &original::TOKENIZER,
                ignored: &original::NOT_TOKENIZER,
                dtype: vector_dtype,
                ..how
            };
            load(&mut tokenizer, &files, &of_tokenizer)?;
            return Ok((model.computing_in(precision), tokenizer));
        }
        let renamed = [(r"^model\.", ""), (r"\.position_embedding\.weight$", ".position_embedding")];
        let how = LoadOptions { renamed: &renamed, vector_dtype, ..LoadOptions::default() };
        load(&mut model, &files, &LoadOptions { ignored: &["vqmodel."], dtype, ..how })?;
        // Frozen, and small.
        let renamed = [(r"^model\.vqmodel\.", "")];
        let how = LoadOptions { renamed: &renamed, dtype: vector_dtype, ..how };
        load(&mut tokenizer, &files, &LoadOptions { ignored: &["model.", "lm_head."], ..how })?;
        Ok((model.computing_in(precision), tokenizer))
    }
}

impl Janus {
    /// What it computes in.
    pub(crate) fn precision(&self) -> Precision {
        self.precision
    }

    /// The same parameters, with which it computes in `precision`.
    pub(crate) fn computing_in(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The same parameters, whose layers are recorded on `tape` where gradients flow.
    pub(crate) fn with_tape(self, tape: Tape<Self, Layer>) -> Self {
        Self { tape, ..self }
    }

    /// The same model with its matrices stored in `precision`, in which it computes. Vectors (biases, norms) and adapters stay
    /// what they are.
    pub(crate) fn stored_in(self, precision: Precision) -> Self {
        training::stored_in(self, precision, &[]).computing_in(precision)
    }

    /// This model without autodiff, adapters put into its weights.
    #[must_use]
    pub fn merged(&self) -> Self {
        self.valid().materialize()
    }

    /// What the decoder reads of images.
    ///
    /// # Shapes
    /// `pixels` `[B, 3, S, S]` in [-1, 1] to `[B, N, H]`.
    ///
    /// # Errors
    /// As [`vision_states`](Self::vision_states).
    pub fn read(&self, pixels: Tensor<4>) -> Result<Tensor<3>> {
        Ok(self.aligner.forward(self.vision_states(pixels)?))
    }

    /// States of the vision tower after its last norm.
    ///
    /// # Shapes
    /// `pixels` `[B, 3, S, S]` to `[B, N, Hv]`.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when images are of another size than the config's.
    pub fn vision_states(&self, pixels: Tensor<4>) -> Result<Tensor<3>> {
        self.vision_model.forward(pixels, self.precision)
    }

    /// Embeddings of tokens; the first image tokens of each of the rows `of` give way to the embeddings of its image. Others, which a
    /// model may write itself, are tokens like any.
    ///
    /// # Shapes
    /// `ids` `[B][L]`, `images` `[M, N, H]`, one for each of the M rows `of`; output `[B, L, H]`.
    ///
    /// # Errors
    /// [`Contract`](counterpoint::ErrorKind::Contract) when a row has fewer image tokens than its image has embeddings.
    pub fn embed_text(&self, ids: &[Vec<u32>], images: Option<(Tensor<3>, &[usize])>) -> Result<Tensor<3>> {
        let length = ids.first().map_or(0, Vec::len);
        let device = self.device();
        let flat: Vec<i32> = ids.iter().flatten().map(|&id| id as i32).collect();
        let tokens = Tensor::<2, Int>::from_data(TensorData::new(flat, [ids.len(), length]), &device);
        let embedded = self.untrained_padding(ids, self.embed_tokens(tokens));
        let Some((images, of)) = images else { return Ok(embedded) };
        let [rows, per_image, width] = images.dims();
        let mut places: Vec<i32> = Vec::with_capacity(rows * per_image);
        for &row in of {
            let start = places.len();
            let shown = ids[row].iter().enumerate().filter(|(_, id)| **id as usize == self.image_token);
            places.extend(shown.take(per_image).map(|(at, _)| (row * length + at) as i32));
            let found = places.len() - start;
            if found < per_image {
                return Err(Error::contract(format!(
                    "expected as many image tokens as an image has embeddings, got {found} and {per_image}"
                )));
            }
        }
        let [batch, length, hidden] = embedded.dims();
        let flat = embedded.reshape([batch * length, hidden]);
        let images = images.reshape([rows * per_image, width]).cast(flat.dtype());
        let places = Tensor::<1, Int>::from_ints(&places[..], &device);
        let difference = images - flat.clone().select(0, places.clone());
        let update = burn::tensor::IndexingUpdateOp::Add;
        Ok(flat.select_assign(0, places, difference, update).reshape([batch, length, hidden]))
    }

    /// Embeddings of tokens, none of which stands for an image.
    ///
    /// # Shapes
    /// `[B, L]` to `[B, L, H]`.
    pub fn embed_tokens(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        self.language_model.embed_tokens.forward(ids).cast(self.precision.dtype())
    }

    /// The same values, without a way back to the embedding of padding.
    fn untrained_padding(&self, ids: &[Vec<u32>], embedded: Tensor<3>) -> Tensor<3> {
        let Some(pad) =
            self.text.pad_token_id.filter(|pad| embedded.is_autodiff() && ids.iter().flatten().any(|id| id == pad))
        else {
            return embedded;
        };
        let [batch, length, _] = embedded.dims();
        let device = embedded.device();
        let values: Vec<f32> = ids.iter().flatten().map(|id| f32::from(u8::from(*id != pad))).collect();
        let values = TensorData::new(values, [batch, length, 1]);
        let trained = constant(Tensor::<3>::from_data(values, (&device.clone().inner(), embedded.dtype())), &device);
        let fixed = constant(embedded.clone().inner(), &device) * (trained.clone().neg() + 1.0);
        embedded * trained + fixed
    }

    /// Embeddings of codes that were written.
    ///
    /// # Shapes
    /// `[B, L]` to `[B, L, H]`.
    pub fn embed_codes(&self, codes: Tensor<2, Int>) -> Tensor<3> {
        self.generation_aligner.forward(self.generation_embeddings.forward(codes).cast(self.precision.dtype()))
    }

    /// States of new tokens after those of `past`, which grows by them.
    ///
    /// # Shapes
    /// `embedded` `[B, L, H]`; `attended` `[B][P + L]`, whether each token may be attended by those after it (padding on the left may
    /// not); output `[B, L, H]`. Positions count the tokens that may be.
    pub fn forward(&self, embedded: Tensor<3>, attended: &[Vec<bool>], past: &mut KvCache) -> Tensor<3> {
        if past.layers.is_empty() || embedded.is_autodiff() {
            let mut layers = Vec::with_capacity(self.text.num_hidden_layers);
            let hidden = self.run(embedded, attended, past, Some(&mut layers));
            past.layers = layers;
            return hidden;
        }
        let (rotation, mask) = self.rotation_and_mask(&embedded, attended, past);
        self.language_model.extend(embedded, &rotation, &mask, &mut past.layers)
    }

    /// The same of tokens that nothing will follow.
    pub(crate) fn states(&self, embedded: Tensor<3>, attended: &[Vec<bool>], past: &KvCache) -> Tensor<3> {
        self.run(embedded, attended, past, None)
    }

    fn run(
        &self,
        embedded: Tensor<3>,
        attended: &[Vec<bool>],
        past: &KvCache,
        seen: Option<&mut Vec<Grown>>,
    ) -> Tensor<3> {
        let (rotation, mask) = self.rotation_and_mask(&embedded, attended, past);
        self.language_model.forward(embedded, rotation, mask, &past.layers, seen, &self.tape)
    }

    fn rotation_and_mask(&self, embedded: &Tensor<3>, attended: &[Vec<bool>], past: &KvCache) -> (Rotation, Mask) {
        let [_, length, _] = embedded.dims();
        let before = past.len();
        let device = embedded.device();
        let position = |row: &Vec<bool>| -> Vec<usize> {
            let mut count = 0;
            let places = row.iter().map(|&kept| {
                count += usize::from(kept);
                count.saturating_sub(1)
            });
            places.skip(before).collect()
        };
        let positions: Vec<Vec<usize>> = attended.iter().map(position).collect();
        let dtype = embedded.dtype();
        let mask = Mask::new(allowed(attended, before, length, &device), true, self.text.num_attention_heads, dtype);
        (rotation(&self.text, &positions, &device, dtype), mask)
    }

    /// Scores of all text tokens, in f32.
    ///
    /// # Shapes
    /// `[B, L, H]` to `[B, L, V]`.
    pub fn text_logits(&self, hidden: Tensor<3>) -> Tensor<3> {
        scores(&self.lm_head, hidden, self.precision)
    }

    /// Scores of all codes, in f32: of the code that follows each state.
    ///
    /// # Shapes
    /// `[B, L, H]` to `[B, L, K]`.
    pub fn code_logits(&self, hidden: Tensor<3>) -> Tensor<3> {
        self.generation_head.forward(hidden, self.precision)
    }

    /// The device of its parameters.
    pub fn device(&self) -> Device {
        self.lm_head.weight.val().device()
    }
}

/// Which keys `length` queries after `before` keys may attend: causal, without what may not be attended.
///
/// # Shapes
/// `[B, length, before + length]`.
fn allowed(attended: &[Vec<bool>], before: usize, length: usize, device: &Device) -> Tensor<3, Bool> {
    let keys = before + length;
    let mut values = Vec::with_capacity(attended.len() * length * keys);
    for row in attended {
        for query in before..keys {
            values.extend((0..keys).map(|key| key <= query && row[key]));
        }
    }
    Tensor::from_data(TensorData::new(values, [attended.len(), length, keys]), device)
}
