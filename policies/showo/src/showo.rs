//! The Show-o model: one decoder over text and image tokens.

use std::collections::HashMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::module::linear;
use burn::tensor::{Bool, DType, Device, Int, Tensor};
use counterpoint::device::is_cpu;
use counterpoint::weights::{load_safetensors, save_safetensors};
use counterpoint::{Error, Result};

use crate::attention::Mask;
use crate::cache::KvCache;
use crate::concept::ConceptRows;
use crate::config::{PhiConfig, ShowoConfig};
use crate::phi::{PhiForCausalLm, PhiModel, normed};
use crate::precision::Precision;
use crate::rotary::Rotary;

/// Show-o, with the original's tensor names.
#[derive(Module, Debug)]
pub struct Showo {
    showo: PhiForCausalLm,
    /// Present while the concept tokens alone are trained.
    concept_tokens: Option<ConceptRows>,
    #[module(skip)]
    phi: PhiConfig,
    image_token_offset: usize,
    codebook_size: usize,
    text_vocab_size: usize,
    fused_attention: bool,
    #[module(skip)]
    precision: Precision,
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
            concept_tokens: None,
            phi: self.phi.clone(),
            image_token_offset: self.image_token_offset as usize,
            codebook_size: self.codebook_size,
            text_vocab_size: self.text_vocab_size,
            fused_attention: true,
            precision: Precision::default(),
        })
    }
}

/// Token ids are below the vocabulary's size and positions below `max_position_embeddings`; the functions of
/// [`prompting`](crate::prompting) give only such.
impl Showo {
    /// A model with the weights of a safetensors file in the original's layout.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) for the config, [`Weights`](counterpoint::ErrorKind::Weights) when
    /// any tensor is missing, unexpected or of another shape than the config says.
    pub fn load(config: &ShowoConfig, path: &Path, device: &Device) -> Result<Self> {
        let mut model = config.init(device)?;
        load_safetensors(&mut model, path, &[], &[])?;
        Ok(model)
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
        if let Some(rows) = merged.concept_tokens.take() {
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

    /// This model with its concept tokens' rows as trainable parameters beside the rest.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when the model has no concept tokens.
    pub(crate) fn with_concept_rows(mut self, config: &ShowoConfig) -> Result<Self> {
        let count = config.num_concept_tokens;
        if count == 0 {
            return Err(Error::config(
                "concept_tokens: expected a model with concept tokens, got one whose num_concept_tokens is 0; choose \
                 `all`, `decoder` or `lora`, or give the model some",
            ));
        }
        let PhiForCausalLm { model, lm_head } = &self.showo;
        let bias =
            lm_head.bias.as_ref().ok_or_else(|| Error::contract("expected an output head with a bias, got none"))?;
        let first = config.text_vocab_size - count;
        self.concept_tokens = Some(ConceptRows::new(
            first,
            model.embed_tokens.weight.val().narrow(0, first, count).cast(DType::F32),
            lm_head.weight.val().narrow(1, first, count).cast(DType::F32),
            bias.val().narrow(0, first, count),
        ));
        Ok(self)
    }

    /// Hidden states of whole sequences.
    ///
    /// # Shapes
    /// `ids` `[B, L]`; `allowed` `[B, L, L]` or `[1, L, L]`, true where a query may attend a key; output `[B, L, H]`.
    pub fn forward(&self, ids: Tensor<2, Int>, allowed: Tensor<3, Bool>) -> Tensor<3> {
        let batch = ids.dims()[0];
        self.run(ids, allowed, &KvCache::empty(batch), None)
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
        self.run(ids, allowed, prefix, None)
    }

    /// Hidden states of the next tokens, whose keys and values are appended to the cache.
    ///
    /// # Shapes
    /// `ids` `[B, L]`, `cache` of P keys before and P + L after, `allowed` `[B or 1, L, P + L]`; output `[B, L, H]`.
    pub fn forward_cached(&self, ids: Tensor<2, Int>, cache: &mut KvCache, allowed: Tensor<3, Bool>) -> Tensor<3> {
        let length = ids.dims()[1];
        let mut layers = Vec::with_capacity(self.showo.model.layers.len());
        let hidden = self.run(ids, allowed, cache, Some(&mut layers));
        cache.layers = layers;
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
        match &self.concept_tokens {
            Some(rows) => rows.score(hidden, logits, start),
            None => logits,
        }
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

    /// Whether attention to these states runs as one operation: it has no gradient, and off the CPU it rounds to half
    /// precision.
    fn attends_fused(&self, hidden: &Tensor<3>) -> bool {
        let device = hidden.device();
        self.fused_attention && !device.is_autodiff() && (is_cpu(&device) || hidden.dtype() != DType::F32)
    }

    fn run(
        &self,
        ids: Tensor<2, Int>,
        allowed: Tensor<3, Bool>,
        past: &KvCache,
        mut seen: Option<&mut Vec<(Tensor<4>, Tensor<4>)>>,
    ) -> Tensor<3> {
        let model = &self.showo.model;
        let length = ids.dims()[1];
        let mut hidden = model.embed_tokens.forward(ids.clone());
        if let Some(rows) = &self.concept_tokens {
            hidden = rows.embed(ids, hidden.cast(DType::F32));
        }
        let mut hidden = hidden.cast(self.precision.dtype());
        let rotary = Rotary::new(&self.phi, &past.next, length, &hidden.device(), hidden.dtype());
        let mask = Mask::new(allowed, self.attends_fused(&hidden));
        for (i, layer) in model.layers.iter().enumerate() {
            let (next, pair) = layer.forward(hidden, &rotary, &mask, past.layers.get(i));
            hidden = next;
            if let Some(seen) = seen.as_deref_mut() {
                seen.push(pair);
            }
        }
        normed(&model.final_layernorm, hidden)
    }
}
