//! The text tower: pre-norm blocks whose tokens see those before them.

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Initializer, LayerNorm, LayerNormConfig};
use burn::tensor::{Device, Int, Tensor, TensorData};
use counterpoint::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::files::{activation, check_sizes};
use crate::ops::{Visible, embed_tokens, in_pieces};
use crate::transformer::{Block, BlockConfig, FeedForward};

/// Architecture of CLIP's text tower. Defaults: that of ViT-B/32.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClipTextConfig {
    /// Number of tokens.
    pub vocab_size: usize,
    /// Width.
    pub hidden_size: usize,
    /// Width of the feed-forward blocks.
    pub intermediate_size: usize,
    /// Depth.
    pub num_hidden_layers: usize,
    /// Heads of each attention; divides the width.
    pub num_attention_heads: usize,
    /// Longest text, in tokens.
    pub max_position_embeddings: usize,
    /// Activation: `"gelu"` or `"quick_gelu"`.
    pub hidden_act: String,
    /// Epsilon of the norms.
    pub layer_norm_eps: f64,
    /// The token that ends a text. 2, which the first published configs say by mistake, stands for the greatest id.
    pub eos_token_id: usize,
}

impl Default for ClipTextConfig {
    fn default() -> Self {
        Self {
            vocab_size: 49408,
            hidden_size: 512,
            intermediate_size: 2048,
            num_hidden_layers: 12,
            num_attention_heads: 8,
            max_position_embeddings: 77,
            hidden_act: "quick_gelu".into(),
            layer_norm_eps: 1e-5,
            eos_token_id: 49407,
        }
    }
}

/// CLIP's text tower, without its projection.
#[derive(Module, Debug)]
pub(super) struct TextModel {
    tokens: Embedding,
    positions: Embedding,
    layers: Vec<Block>,
    norm: LayerNorm,
}

impl ClipTextConfig {
    pub(super) fn init(&self, device: &Device) -> Result<TextModel> {
        let activation = activation("clip text", &self.hidden_act)?;
        check_sizes(
            "clip text",
            self.hidden_size,
            self.num_attention_heads,
            &[
                ("vocab_size", self.vocab_size),
                ("intermediate_size", self.intermediate_size),
                ("max_position_embeddings", self.max_position_embeddings),
            ],
        )?;
        if self.eos_token_id >= self.vocab_size {
            return Err(Error::config(format!(
                "clip text: expected eos_token_id below vocab_size {}, got {}; check config.json",
                self.vocab_size, self.eos_token_id
            )));
        }
        let h = self.hidden_size;
        let block = BlockConfig {
            hidden: h,
            heads: self.num_attention_heads,
            feed_forward: FeedForward::Plain { width: self.intermediate_size, activation },
            epsilon: self.layer_norm_eps,
            fused: false,
            qkv_bias: true,
            layer_scale: None,
        };
        let normal = Initializer::Normal { mean: 0.0, std: 0.02 };
        let table = |n| EmbeddingConfig::new(n, h).with_initializer(normal.clone()).init(device);
        Ok(TextModel {
            tokens: table(self.vocab_size),
            positions: table(self.max_position_embeddings),
            layers: (0..self.num_hidden_layers).map(|_| block.init(device)).collect(),
            norm: LayerNormConfig::new(h).with_epsilon(self.layer_norm_eps).init(device),
        })
    }
}

impl TextModel {
    /// Padding needs no mask: it comes after the end, which does not see it.
    ///
    /// # Shapes
    /// - ids: `[m, l]`, result: `[m, l, hidden]`
    pub(super) fn forward(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let [batch, length] = ids.dims();
        in_pieces(batch, length, &ids.device(), |from, n| self.encode(ids.clone().narrow(0, from, n)))
    }

    fn encode(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let positions = Tensor::<1, Int>::arange(0..ids.dims()[1] as i64, &ids.device()).unsqueeze_dim::<2>(0);
        let mut x = embed_tokens(&self.tokens, ids) + embed_tokens(&self.positions, positions);
        for layer in &self.layers {
            x = layer.forward(x, Visible::Before);
        }
        self.norm.forward(x)
    }
}

/// 1 where each text ends, else 0: its first token `end`, or with the mistaken 2 its first token of the greatest id.
///
/// # Shapes
/// - ids: `[m, l]`, result: `[m, l]`
pub(super) fn ends(ids: &Tensor<2, Int>, end: usize) -> Tensor<2> {
    const MISTAKEN: usize = 2;
    let [texts, length] = ids.dims();
    let values: Vec<i64> = ids.clone().into_data().iter::<i64>().collect();
    let mut ends = vec![0_f32; texts * length];
    for (text, row) in values.chunks(length.max(1)).enumerate() {
        let wanted = if end == MISTAKEN { row.iter().copied().max() } else { Some(end as i64) };
        // A text without an end is read at its first token, as the original's argmax does.
        let place = row.iter().position(|id| Some(*id) == wanted).unwrap_or(0);
        ends[text * length + place] = 1.0;
    }
    Tensor::from_data(TensorData::new(ends, [texts, length]), &ids.device())
}
