//! BERT and ERNIE text encoders, as sentence encoders: pooled over their tokens, length 1.
//!
//! ERNIE 3.0 is BERT with one more embedding, the task type (`use_task_id` in its config).

use std::path::Path;

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig, Initializer, LayerNorm, LayerNormConfig};
use burn::tensor::{Bool, Device, Int, Tensor};
use counterpoint::Result;
use counterpoint_weights::Precision;
use serde::{Deserialize, Serialize};

use crate::files::{self, Names, activation, check_sizes};
use crate::ops::{Visible, embed_tokens, in_pieces};
use crate::residual::{AddNorm, Attention, Intermediate};

mod pooling;

pub use pooling::Pooling;

const NAMES: Names = Names {
    load: &[&[
        (r"^(bert|ernie|model)\.", ""),
        // The norms of files from before 2019.
        (r"\.LayerNorm\.gamma$", ".LayerNorm.weight"),
        (r"\.LayerNorm\.beta$", ".LayerNorm.bias"),
        (r"\.attention\.self\.", ".attention.attention."),
        (r"\.LayerNorm\.", ".layer_norm."),
    ]],
    save: &[&[(r"\.attention\.attention\.", ".attention.self."), (r"\.layer_norm\.", ".LayerNorm.")]],
    ignored: &["pooler.", "cls.", "embeddings.position_ids", "embeddings.token_type_ids"],
};

/// Architecture of a [`BertEncoder`]: the original's `config.json`, whose other keys are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BertConfig {
    /// Number of tokens.
    pub vocab_size: usize,
    /// Width.
    pub hidden_size: usize,
    /// Depth.
    pub num_hidden_layers: usize,
    /// Heads of each attention; divides the width.
    pub num_attention_heads: usize,
    /// Width of the feed-forward blocks.
    pub intermediate_size: usize,
    /// Activation: `"gelu"` or `"quick_gelu"`.
    pub hidden_act: String,
    /// Longest sequence, in tokens.
    pub max_position_embeddings: usize,
    /// Number of segment types.
    pub type_vocab_size: usize,
    /// Whether task types are embedded too (ERNIE).
    pub use_task_id: bool,
    /// Number of task types.
    pub task_type_vocab_size: usize,
    /// Epsilon of the norms.
    pub layer_norm_eps: f64,
}

impl Default for BertConfig {
    fn default() -> Self {
        Self {
            vocab_size: 30522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".into(),
            max_position_embeddings: 512,
            type_vocab_size: 2,
            use_task_id: false,
            task_type_vocab_size: 3,
            layer_norm_eps: 1e-12,
        }
    }
}

impl BertConfig {
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
    /// When a size is zero, the heads do not divide the width, or the activation is not supported.
    pub fn init(&self, device: &Device) -> Result<BertEncoder> {
        let activation = activation("bert", &self.hidden_act)?;
        check_sizes(
            "bert",
            self.hidden_size,
            self.num_attention_heads,
            &[
                ("vocab_size", self.vocab_size),
                ("intermediate_size", self.intermediate_size),
                ("max_position_embeddings", self.max_position_embeddings),
                ("type_vocab_size", self.type_vocab_size),
            ],
        )?;
        let (h, eps) = (self.hidden_size, self.layer_norm_eps);
        let table =
            |n| EmbeddingConfig::new(n, h).with_initializer(Initializer::Normal { mean: 0.0, std: 0.02 }).init(device);
        let layer = |_| Layer {
            attention: Attention::new(h, h, self.num_attention_heads, eps, device),
            intermediate: Intermediate::new(h, self.intermediate_size, activation, device),
            output: AddNorm::new(self.intermediate_size, h, eps, device),
        };
        Ok(BertEncoder {
            embeddings: Embeddings {
                word_embeddings: table(self.vocab_size),
                position_embeddings: table(self.max_position_embeddings),
                token_type_embeddings: table(self.type_vocab_size),
                task_type_embeddings: self.use_task_id.then(|| table(self.task_type_vocab_size)),
                layer_norm: LayerNormConfig::new(h).with_epsilon(eps).init(device),
            },
            encoder: Layers { layer: (0..self.num_hidden_layers).map(layer).collect() },
        })
    }

    /// The tower in `dir`: `config.json` and its weights (safetensors or `pytorch_model.bin`, sharded or not), the matrices
    /// in `precision`.
    ///
    /// # Errors
    /// When a file is missing or damaged, or the weights do not fit the config.
    pub fn load(dir: &Path, precision: Precision, device: &Device) -> Result<BertEncoder> {
        let mut tower = Self::read(dir)?.init(device)?;
        files::load(&mut tower, &files::open(dir)?, &NAMES, precision)?;
        Ok(tower)
    }
}

/// A BERT or ERNIE encoder.
#[derive(Module, Debug)]
pub struct BertEncoder {
    embeddings: Embeddings,
    encoder: Layers,
}

#[derive(Module, Debug)]
struct Embeddings {
    word_embeddings: Embedding,
    position_embeddings: Embedding,
    token_type_embeddings: Embedding,
    task_type_embeddings: Option<Embedding>,
    layer_norm: LayerNorm,
}

#[derive(Module, Debug)]
struct Layers {
    layer: Vec<Layer>,
}

#[derive(Module, Debug)]
struct Layer {
    attention: Attention,
    intermediate: Intermediate,
    output: AddNorm,
}

/// Segment and task types of the tokens; those not given are all 0.
#[derive(Debug, Clone, Default)]
pub struct TokenTypes {
    /// Segment of each token, `[b, l]`.
    pub segment: Option<Tensor<2, Int>>,
    /// Task of each token, `[b, l]`; ERNIE only, ignored by BERT.
    pub task: Option<Tensor<2, Int>>,
}

impl BertEncoder {
    /// Hidden states of the last layer.
    ///
    /// # Shapes
    /// - ids: `[b, l]`, each below `vocab_size`; l at most `max_position_embeddings`
    /// - keep: `[b, l]`, true at real tokens
    /// - result: `[b, l, hidden]`
    ///
    /// # Panics
    /// When an id or the length is out of range: [`TextTokenizer`](crate::TextTokenizer) truncates.
    pub fn forward(&self, ids: Tensor<2, Int>, keep: &Tensor<2, Bool>, types: TokenTypes) -> Tensor<3> {
        self.forward_to(self.encoder.layer.len(), ids, keep, types)
    }

    /// Hidden states of layer number `depth`: 0 are the embeddings, 1 is the first layer; the last one's where there are fewer.
    ///
    /// # Shapes
    /// As [`forward`](Self::forward).
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn forward_to(
        &self,
        depth: usize,
        ids: Tensor<2, Int>,
        keep: &Tensor<2, Bool>,
        types: TokenTypes,
    ) -> Tensor<3> {
        let [batch, length] = ids.dims();
        let encode = |from, n| {
            let piece = |x: &Tensor<2, Int>| x.clone().narrow(0, from, n);
            let types = TokenTypes { segment: types.segment.as_ref().map(piece), task: types.task.as_ref().map(piece) };
            self.encode(depth, piece(&ids), &keep.clone().narrow(0, from, n), types)
        };
        in_pieces(batch, length, &ids.device(), encode)
    }

    fn encode(&self, depth: usize, ids: Tensor<2, Int>, keep: &Tensor<2, Bool>, types: TokenTypes) -> Tensor<3> {
        let e = &self.embeddings;
        let [batch, length] = ids.dims();
        let device = ids.device();
        let zeros = || Tensor::<2, Int>::zeros([batch, length], &device);
        let positions = Tensor::<1, Int>::arange(0..length as i64, &device).unsqueeze_dim::<2>(0);
        let mut x = embed_tokens(&e.word_embeddings, ids)
            + embed_tokens(&e.position_embeddings, positions)
            + embed_tokens(&e.token_type_embeddings, types.segment.unwrap_or_else(zeros));
        if let Some(table) = &e.task_type_embeddings {
            x = x + embed_tokens(table, types.task.unwrap_or_else(zeros));
        }
        let mut x = e.layer_norm.forward(x);
        for layer in self.encoder.layer.iter().take(depth) {
            x = layer.attention.forward(x.clone(), x, Visible::Kept(keep));
            x = layer.output.forward(layer.intermediate.forward(x.clone()), x);
        }
        x
    }

    /// Sentence embeddings of length 1.
    ///
    /// # Shapes
    /// - ids, keep: `[b, l]`, as in [`forward`](Self::forward)
    /// - result: `[b, hidden]`
    ///
    /// # Panics
    /// As [`forward`](Self::forward).
    pub fn embed(&self, ids: Tensor<2, Int>, keep: &Tensor<2, Bool>, pooling: Pooling) -> Tensor<2> {
        pooling.pool(self.forward(ids, keep, TokenTypes::default()), keep)
    }

    /// Writes `config.json` and `model.safetensors` into `dir`, under the original's names.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, config: &BertConfig, dir: &Path) -> Result<()> {
        files::save(self, config, dir, &NAMES)
    }
}
