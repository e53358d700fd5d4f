//! The decoder: BERT's blocks with a look at the image in each, and a head that shares the word embeddings.

use burn::module::{Module, Param};
use burn::nn::{Embedding, EmbeddingConfig, Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{DType, Device, Int, Tensor};
use counterpoint::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::files::{activation, check_sizes};
use crate::ops::{Activation, Visible, activate, embed_tokens};
use crate::residual::{AddNorm, Attention, Intermediate, Memory};

/// Architecture of BLIP's text decoder. Defaults: BLIP base.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TextDecoderConfig {
    /// Number of tokens.
    pub vocab_size: usize,
    /// Width.
    pub hidden_size: usize,
    /// Width of the image tower.
    pub encoder_hidden_size: usize,
    /// Depth.
    pub num_hidden_layers: usize,
    /// Heads of each attention; divides the width.
    pub num_attention_heads: usize,
    /// Width of the feed-forward blocks.
    pub intermediate_size: usize,
    /// Activation: `"gelu"` or `"quick_gelu"`.
    pub hidden_act: String,
    /// Longest text, in tokens.
    pub max_position_embeddings: usize,
    /// Epsilon of the norms.
    pub layer_norm_eps: f64,
    /// The token that begins a caption.
    pub bos_token_id: usize,
    /// The token that ends a caption.
    pub sep_token_id: usize,
}

impl Default for TextDecoderConfig {
    fn default() -> Self {
        Self {
            vocab_size: 30524,
            hidden_size: 768,
            encoder_hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".into(),
            max_position_embeddings: 512,
            layer_norm_eps: 1e-12,
            bos_token_id: 30522,
            sep_token_id: 102,
        }
    }
}

#[derive(Module, Debug)]
pub(super) struct TextDecoder {
    word_embeddings: Embedding,
    position_embeddings: Embedding,
    layer_norm: LayerNorm,
    layers: Vec<Layer>,
    head: Head,
}

#[derive(Module, Debug)]
struct Layer {
    attention: Attention,
    crossattention: Attention,
    intermediate: Intermediate,
    output: AddNorm,
}

#[derive(Module, Debug)]
struct Head {
    dense: Linear,
    layer_norm: LayerNorm,
    bias: Param<Tensor<1>>,
    #[module(skip)]
    activation: Activation,
}

/// An image as each layer reads it, and the tokens that each has seen.
pub(super) struct Read {
    image: Vec<Memory>,
    tokens: Vec<Option<Memory>>,
    length: usize,
}

impl TextDecoderConfig {
    pub(super) fn init(&self, device: &Device) -> Result<TextDecoder> {
        let activation = activation("captioner text", &self.hidden_act)?;
        check_sizes(
            "captioner text",
            self.hidden_size,
            self.num_attention_heads,
            &[
                ("vocab_size", self.vocab_size),
                ("encoder_hidden_size", self.encoder_hidden_size),
                ("intermediate_size", self.intermediate_size),
                ("max_position_embeddings", self.max_position_embeddings),
            ],
        )?;
        for (name, id) in [("bos_token_id", self.bos_token_id), ("sep_token_id", self.sep_token_id)] {
            if id >= self.vocab_size {
                return Err(Error::config(format!(
                    "captioner text: expected {name} below vocab_size {}, got {id}; check config.json",
                    self.vocab_size
                )));
            }
        }
        let (h, heads, eps) = (self.hidden_size, self.num_attention_heads, self.layer_norm_eps);
        let normal = Initializer::Normal { mean: 0.0, std: 0.02 };
        let table = |n| EmbeddingConfig::new(n, h).with_initializer(normal.clone()).init(device);
        let norm = || LayerNormConfig::new(h).with_epsilon(eps).init(device);
        let layer = |_| Layer {
            attention: Attention::new(h, h, heads, eps, device),
            crossattention: Attention::new(h, self.encoder_hidden_size, heads, eps, device),
            intermediate: Intermediate::new(h, self.intermediate_size, activation, device),
            output: AddNorm::new(self.intermediate_size, h, eps, device),
        };
        Ok(TextDecoder {
            word_embeddings: table(self.vocab_size),
            position_embeddings: table(self.max_position_embeddings),
            layer_norm: norm(),
            layers: (0..self.num_hidden_layers).map(layer).collect(),
            head: Head {
                dense: LinearConfig::new(h, h).init(device),
                layer_norm: norm(),
                bias: Initializer::Zeros.init([self.vocab_size], device),
                activation,
            },
        })
    }
}

impl TextDecoder {
    pub(super) fn vocab_size(&self) -> usize {
        self.word_embeddings.weight.dims()[0]
    }

    /// # Shapes
    /// - image: `[b, patches, encoder_hidden]`
    pub(super) fn read(&self, image: Tensor<3>) -> Read {
        Read {
            image: self.layers.iter().map(|layer| layer.crossattention.memorise(image.clone())).collect(),
            tokens: vec![None; self.layers.len()],
            length: 0,
        }
    }

    /// Logits of the tokens after each of `ids`, which come after those that `state` has seen; it has seen them then, too.
    ///
    /// # Shapes
    /// - ids: `[b, l]`, result: `[b, l, vocab]`
    pub(super) fn forward(&self, ids: Tensor<2, Int>, state: &mut Read) -> Tensor<3> {
        let [_, length] = ids.dims();
        let positions = state.length as i64..(state.length + length) as i64;
        let positions = Tensor::<1, Int>::arange(positions, &ids.device()).unsqueeze_dim::<2>(0);
        state.length += length;
        let x = embed_tokens(&self.word_embeddings, ids) + embed_tokens(&self.position_embeddings, positions);
        let mut x = self.layer_norm.forward(x);
        for ((layer, image), seen) in self.layers.iter().zip(&state.image).zip(&mut state.tokens) {
            let new = layer.attention.memorise(x.clone());
            let tokens = match seen.take() {
                Some(seen) => seen.followed_by(new),
                None => new,
            };
            x = layer.attention.recall(x, &tokens, Visible::Before);
            *seen = Some(tokens);
            x = layer.crossattention.recall(x, image, Visible::All);
            x = layer.output.forward(layer.intermediate.forward(x.clone()), x);
        }
        let x = self.head.layer_norm.forward(activate(&self.head.dense, x, self.head.activation));
        let words = self.word_embeddings.weight.val().transpose();
        let logits = burn::tensor::module::linear(x.cast(words.dtype()), words, None).cast(DType::F32);
        logits + self.head.bias.val().unsqueeze::<3>()
    }
}
