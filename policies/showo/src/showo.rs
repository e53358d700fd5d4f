//! The Show-o model: one decoder over text and image tokens.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Bool, DType, Device, FloatDType, Int, Tensor};
use counterpoint::{Error, Result};
use counterpoint_kernels::{Mask, Rotation, linear};
use counterpoint_policy_common::cache::Grown;
use counterpoint_policy_common::tape::{Layer as _, Tape};
use counterpoint_weights::{LoadOptions, Precision, WeightFiles, load, save_safetensors};

use crate::cache::KvCache;
use crate::concept_rows::ConceptRows;
use crate::config::{PhiConfig, ShowoConfig};
use crate::phi::{DecoderLayer, PhiForCausalLm, PhiModel, normed};
use crate::projector::{self, Projector};
use crate::public;
use crate::rotary::rotation;

/// Show-o, with the original's tensor names.
#[derive(Module, Debug)]
pub struct Showo {
    showo: PhiForCausalLm,
    /// Present while concept tokens alone are trained: consecutive ids in each.
    concept_tokens: Vec<ConceptRows>,
    mm_projector: Projector,
    #[module(skip)]
    phi: PhiConfig,
    image_token_offset: usize,
    codebook_size: usize,
    text_vocab_size: usize,
    fused_attention: bool,
    #[module(skip)]
    precision: Precision,
    #[module(skip)]
    tape: Tape<Showo, DecoderLayer>,
}

impl ShowoConfig {
    /// A model with fresh weights.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when the numbers do not agree with each other.
    pub fn init(&self, device: &Device) -> Result<Showo> {
        self.validate()?;
        Ok(Showo {
            showo: PhiForCausalLm::init(&self.phi, self.vocab_size, device),
            concept_tokens: Vec::new(),
            mm_projector: match self.w_clip_vit {
                true => projector::init(self.clip_width, self.phi.hidden_size, device),
                false => Projector::new(),
            },
            phi: self.phi.clone(),
            image_token_offset: self.image_token_offset as usize,
            codebook_size: self.codebook_size,
            text_vocab_size: self.text_vocab_size,
            fused_attention: true,
            precision: Precision::default(),
            tape: Tape::default(),
        })
    }
}

/// Token ids are below the vocabulary's size and positions below `max_position_embeddings`; the functions of
/// [`prompting`](crate::prompting) give only such.
impl Showo {
    /// A model with the weights of a file or folder in the original's layout, of any format that
    /// [`WeightFiles`] reads.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) for the config, [`Weights`](counterpoint::ErrorKind::Weights) when
    /// any tensor is missing, unexpected or of another shape than the config says.
    pub fn load(config: &ShowoConfig, path: &Path, device: &Device) -> Result<Self> {
        Self::load_in(config, path, device, Precision::F32)
    }

    /// The same with matrices stored in `precision`, in which it computes: for a model that is not trained itself.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn load_in(config: &ShowoConfig, path: &Path, device: &Device, precision: Precision) -> Result<Self> {
        let mut model = config.init(device)?;
        let files = WeightFiles::open(path)?;
        public::check_variant(config, &files)?;
        let how = LoadOptions {
            dtype: Some(precision.dtype().into()),
            vector_dtype: Some(FloatDType::F32),
            ..LoadOptions::default()
        };
        load(&mut model, &files, &how)?;
        Ok(model.computing_in(precision))
    }

    /// Width of the residual stream.
    pub(crate) fn width(&self) -> usize {
        self.phi.hidden_size
    }

    pub(crate) fn device(&self) -> Device {
        self.showo.model.embed_tokens.weight.val().device()
    }

    pub(crate) fn dtype(&self) -> DType {
        self.showo.model.embed_tokens.weight.val().dtype()
    }

    /// What belongs to `count` tokens from the id `first` on: embeddings, weights and biases of the head.
    ///
    /// # Shapes
    /// `[count, H]`, `[count, H]` and `[count]`.
    pub(crate) fn token_rows(&self, first: usize, count: usize) -> Result<(Tensor<2>, Tensor<2>, Tensor<1>)> {
        let PhiForCausalLm { model, lm_head } = &self.showo;
        let bias = lm_head.bias.as_ref().ok_or_else(no_bias)?.val();
        Ok((
            model.embed_tokens.weight.val().narrow(0, first, count),
            lm_head.weight.val().transpose().narrow(0, first, count),
            bias.narrow(0, first, count),
        ))
    }

    /// The model of `config` that this one becomes when the rows of `removed` tokens from the id `at` on give way to
    /// these, shaped as those of [`token_rows`](Self::token_rows).
    pub(crate) fn with_rows(
        mut self,
        at: usize,
        removed: usize,
        embed: Vec<Tensor<2>>,
        weight: Vec<Tensor<2>>,
        bias: Vec<Tensor<1>>,
        config: &ShowoConfig,
    ) -> Result<Self> {
        let PhiForCausalLm { model, lm_head } = &mut self.showo;
        let old = lm_head.bias.take().ok_or_else(no_bias)?;
        let weight = weight.into_iter().map(Tensor::transpose).collect();
        model.embed_tokens.weight = model.embed_tokens.weight.clone().map(|w| spliced(w, 0, at, removed, embed));
        lm_head.weight = lm_head.weight.clone().map(|w| spliced(w, 1, at, removed, weight));
        lm_head.bias = Some(old.map(|b| spliced(b, 0, at, removed, bias)));
        self.image_token_offset = config.image_token_offset as usize;
        self.text_vocab_size = config.text_vocab_size;
        Ok(self)
    }

    /// Writes the weights in the original's layout, adapters merged into them.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        save_safetensors(&self.merged(), path, &HashMap::from([("format".into(), "pt".into())]), None)
    }

    /// This model without autodiff, with whatever is trained beside the weights (adapters, concept tokens) put into them.
    /// Weights that have nothing beside them share their tensors with this model's.
    #[must_use]
    pub fn merged(&self) -> Self {
        let mut merged = self.valid().materialize();
        for rows in std::mem::take(&mut merged.concept_tokens) {
            let PhiForCausalLm { model: PhiModel { embed_tokens, .. }, lm_head } = &mut merged.showo;
            if let Some(old) = lm_head.bias.take() {
                let (embed, weight, bias) = rows.merge(embed_tokens.weight.val(), lm_head.weight.val(), old.val());
                embed_tokens.weight = embed_tokens.weight.clone().map(|_| embed);
                lm_head.weight = lm_head.weight.clone().map(|_| weight);
                lm_head.bias = Some(old.map(|_| bias));
            }
        }
        merged
    }

    /// This model with all its concept tokens' rows as trainable parameters beside the rest.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when the model has no concept tokens.
    pub(crate) fn with_concept_rows(self, config: &ShowoConfig) -> Result<Self> {
        let count = config.num_concept_tokens;
        if count == 0 {
            return Err(Error::config(
                "concept_tokens: expected a model with concept tokens, got one whose num_concept_tokens is 0; choose \
                 `all`, `decoder` or `lora`, or give the model some",
            ));
        }
        let end = config.text_vocab_size;
        self.with_trainable_rows(std::slice::from_ref(&(end - count..end)))
    }

    /// This model with the rows of these ids as trainable parameters beside the rest.
    ///
    /// # Errors
    /// [`Contract`](counterpoint::ErrorKind::Contract) when the head has no bias.
    pub(crate) fn with_trainable_rows(mut self, ids: &[Range<usize>]) -> Result<Self> {
        let PhiForCausalLm { model, lm_head } = &self.showo;
        let bias = lm_head.bias.as_ref().ok_or_else(no_bias)?.val();
        let (embed, head) = (model.embed_tokens.weight.val(), lm_head.weight.val());
        let rows = ids.iter().map(|ids| {
            let (first, count) = (ids.start, ids.len());
            ConceptRows::new(
                first,
                embed.clone().narrow(0, first, count).cast(DType::F32),
                head.clone().narrow(1, first, count).cast(DType::F32),
                bias.clone().narrow(0, first, count),
            )
        });
        self.concept_tokens = rows.collect();
        Ok(self)
    }

    /// Embedding `[H]`, head weight `[H]` and head bias `[1]` of the first token whose rows are trained.
    ///
    /// # Errors
    /// [`Contract`](counterpoint::ErrorKind::Contract) when no rows are.
    pub(crate) fn first_trainable_row(&self) -> Result<[Tensor<1>; 3]> {
        let first = self.concept_tokens.first().map(ConceptRows::first_row);
        first.ok_or_else(|| Error::contract("expected a model whose concept tokens are trained, got another"))
    }

    /// Hidden states of whole sequences.
    ///
    /// # Shapes
    /// `ids` `[B, L]`; `allowed` `[B, L, L]` or `[1, L, L]`, true where a query may attend a key; output `[B, L, H]`.
    pub fn forward(&self, ids: Tensor<2, Int>, allowed: Tensor<3, Bool>) -> Tensor<3> {
        let batch = ids.dims()[0];
        self.run(self.embed(ids), allowed, &KvCache::empty(batch), None)
    }

    /// Embeddings of tokens, to be put together with others for [`forward_embeddings`](Self::forward_embeddings).
    ///
    /// # Shapes
    /// `[B, L]` to `[B, L, H]`.
    pub fn embed(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let embedded = self.showo.model.embed_tokens.forward(ids.clone());
        self.concept_tokens.iter().fold(embedded, |embedded, rows| rows.embed(ids.clone(), embedded.cast(DType::F32)))
    }

    /// Embeddings of the features of a CLIP tower (the last layer but one of ViT-L/14 at 336 pixels, its class token left
    /// out), which stand for an image in the checkpoints `w-clip-vit`. The tower itself and the layout of these prompts
    /// are not part of this crate: samplers and [`ShowoPolicy`](crate::ShowoPolicy) show images as MAGVIT-v2 codes.
    ///
    /// # Shapes
    /// `[B, P, clip_width]` to `[B, P, H]`.
    ///
    /// # Errors
    /// [`Contract`](counterpoint::ErrorKind::Contract) when the model has no projector or the features another width.
    pub fn project_clip(&self, features: Tensor<3>) -> Result<Tensor<3>> {
        let Some(Some(first)) = self.mm_projector.first() else {
            return Err(Error::contract(
                "expected a model with a projector for CLIP features, got one without; load a checkpoint w-clip-vit",
            ));
        };
        let (expected, got) = (first.weight.dims()[0], features.dims()[2]);
        if expected != got {
            return Err(Error::contract(format!("expected CLIP features of width {expected}, got {got}")));
        }
        Ok(projector::forward(&self.mm_projector, features))
    }

    /// Hidden states of whole sequences of embeddings.
    ///
    /// # Shapes
    /// `embeddings` `[B, L, H]`; `allowed` and output as [`forward`](Self::forward).
    pub fn forward_embeddings(&self, embeddings: Tensor<3>, allowed: Tensor<3, Bool>) -> Tensor<3> {
        let batch = embeddings.dims()[0];
        self.run(embeddings, allowed, &KvCache::empty(batch), None)
    }

    /// Hidden states of whole sequences, and their keys and values for what follows.
    ///
    /// # Shapes
    /// As [`forward`](Self::forward).
    pub fn prefill(&self, ids: Tensor<2, Int>, allowed: Tensor<3, Bool>) -> (Tensor<3>, KvCache) {
        let mut cache = KvCache::empty(ids.dims()[0]);
        let hidden = self.forward_cached(ids, &mut cache, allowed);
        (hidden, cache)
    }

    /// Hidden states of the tokens that follow a constant prefix, which is left as it is.
    ///
    /// # Shapes
    /// `ids` `[B, L]`, `prefix` of P keys, `allowed` `[B or 1, L, P + L]`; output `[B, L, H]`.
    pub fn forward_with_prefix(&self, ids: Tensor<2, Int>, prefix: &KvCache, allowed: Tensor<3, Bool>) -> Tensor<3> {
        self.run(self.embed(ids), allowed, prefix, None)
    }

    /// Hidden states of the next tokens, whose keys and values are appended to the cache.
    ///
    /// # Shapes
    /// `ids` `[B, L]`, `cache` of P keys before and P + L after, `allowed` `[B or 1, L, P + L]`; output `[B, L, H]`.
    pub fn forward_cached(&self, ids: Tensor<2, Int>, cache: &mut KvCache, allowed: Tensor<3, Bool>) -> Tensor<3> {
        let (length, embeddings) = (ids.dims()[1], self.embed(ids));
        let hidden = match cache.layers.is_empty() || embeddings.is_autodiff() {
            true => {
                let mut layers = Vec::with_capacity(self.showo.model.layers.len());
                let hidden = self.run(embeddings, allowed, cache, Some(&mut layers));
                cache.layers = layers;
                hidden
            }
            false => self.extend(embeddings, allowed, cache),
        };
        cache.next.iter_mut().for_each(|next| *next += length);
        hidden
    }

    /// Scores over the whole vocabulary.
    ///
    /// # Shapes
    /// `[B, L, H]` to `[B, L, vocab]`.
    pub fn logits(&self, hidden: Tensor<3>) -> Tensor<3> {
        self.head_rows(hidden, 0, self.showo.lm_head.weight.lazy_shape()[1])
    }

    /// Scores over the image codes only; `hidden` is best cut to the image positions first.
    ///
    /// # Shapes
    /// `[B, N, H]` to `[B, N, codebook]`.
    pub fn image_logits(&self, hidden: Tensor<3>) -> Tensor<3> {
        self.head_rows(hidden, self.image_token_offset, self.codebook_size)
    }

    /// Scores over the text vocabulary only.
    ///
    /// # Shapes
    /// `[B, L, H]` to `[B, L, text_vocab]`.
    pub fn text_logits(&self, hidden: Tensor<3>) -> Tensor<3> {
        self.head_rows(hidden, 0, self.text_vocab_size)
    }

    /// Scores over `count` ids from `start` on, in f32 whatever the model computes in.
    fn head_rows(&self, hidden: Tensor<3>, start: usize, count: usize) -> Tensor<3> {
        let head = &self.showo.lm_head;
        let hidden = hidden.cast(DType::F32);
        let weight = head.weight.val().narrow(1, start, count).cast(self.precision.dtype()).cast(DType::F32);
        let bias = head.bias.as_ref().map(|bias| bias.val().narrow(0, start, count));
        self.overlaid(hidden.clone(), linear(hidden, weight, bias), start)
    }

    /// The base's scores over the ids from `start` on, with those of the concept tokens where they are trained.
    fn overlaid(&self, hidden: Tensor<3>, logits: Tensor<3>, start: usize) -> Tensor<3> {
        self.concept_tokens.iter().fold(logits, |logits, rows| rows.score(hidden.clone(), logits, start))
    }

    /// The same model, with or without the backend's one operation for attention (see
    /// [`FastPaths::fused_attention`](crate::FastPaths::fused_attention)).
    pub fn with_fused_attention(self, fused_attention: bool) -> Self {
        Self { fused_attention, ..self }
    }

    /// The same parameters, with which it computes in `precision`.
    pub(crate) fn computing_in(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The same parameters, whose layers are recorded on `tape` where gradients flow.
    pub(crate) fn with_tape(self, tape: Tape<Self, DecoderLayer>) -> Self {
        Self { tape, ..self }
    }

    fn run(
        &self,
        embeddings: Tensor<3>,
        allowed: Tensor<3, Bool>,
        past: &KvCache,
        mut seen: Option<&mut Vec<Grown>>,
    ) -> Tensor<3> {
        let mut hidden = embeddings.cast(self.precision.dtype());
        let (rotation, mask) = self.rotation_and_mask(&hidden, allowed, past);
        let (rotation, mask) = (Arc::new(rotation), Arc::new(mask));
        for (i, layer) in self.showo.model.layers.iter().enumerate() {
            let past = past.layers.get(i).map(Grown::all);
            let (next, pair) = self.tape.forward(layer, hidden, &rotation, &mask, past.as_ref(), seen.is_some());
            hidden = next;
            if let (Some(seen), Some(pair)) = (seen.as_deref_mut(), pair) {
                seen.push(Grown::new(pair));
            }
        }
        self.normed(hidden)
    }

    /// The same without gradients, of tokens that follow others, whose keys and values grow in place.
    fn extend(&self, embeddings: Tensor<3>, allowed: Tensor<3, Bool>, cache: &mut KvCache) -> Tensor<3> {
        let mut hidden = embeddings.cast(self.precision.dtype());
        let (rotation, mask) = self.rotation_and_mask(&hidden, allowed, cache);
        for (layer, seen) in self.showo.model.layers.iter().zip(&mut cache.layers) {
            hidden = layer.forward(hidden, &rotation, &mask, |new| seen.extend(new)).0;
        }
        self.normed(hidden)
    }

    fn rotation_and_mask(&self, hidden: &Tensor<3>, allowed: Tensor<3, Bool>, past: &KvCache) -> (Rotation, Mask) {
        let (length, dtype) = (hidden.dims()[1], hidden.dtype());
        let mask = Mask::new(allowed, self.fused_attention, self.phi.num_attention_heads, dtype);
        (rotation(&self.phi, &past.next, length, &hidden.device(), dtype), mask)
    }

    fn normed(&self, hidden: Tensor<3>) -> Tensor<3> {
        normed(&self.showo.model.final_layernorm, self.phi.layer_norm_eps, hidden)
    }
}

/// `tensor` along `dim` with `inserted` in place of `removed` indices from `at` on.
fn spliced<const D: usize>(
    tensor: Tensor<D>,
    dim: usize,
    at: usize,
    removed: usize,
    inserted: Vec<Tensor<D>>,
) -> Tensor<D> {
    let rest = tensor.dims()[dim] - at - removed;
    let mut parts = vec![tensor.clone().narrow(dim, 0, at)];
    parts.extend(inserted);
    parts.push(tensor.narrow(dim, at + removed, rest));
    Tensor::cat(parts, dim)
}

fn no_bias() -> Error {
    Error::contract("expected an output head with a bias, got none")
}
