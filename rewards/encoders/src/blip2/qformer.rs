//! The Q-Former: one BERT whose query positions read the image and have feed-forward blocks of their own.

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig};
use burn::tensor::{Device, Tensor};
use counterpoint::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::files::{activation, check_sizes};
use crate::ops::Visible;
use crate::residual::{AddNorm, Attention, Intermediate};

/// Architecture of BLIP-2's Q-Former.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QFormerConfig {
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
    /// Longest text, in tokens.
    pub max_position_embeddings: usize,
    /// Epsilon of the norms.
    pub layer_norm_eps: f64,
    /// Every how many layers the queries read the image, from the first on.
    pub cross_attention_frequency: usize,
    /// Width of the image tower.
    pub encoder_hidden_size: usize,
}

impl Default for QFormerConfig {
    fn default() -> Self {
        Self {
            vocab_size: 30522,
            hidden_size: 768,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            intermediate_size: 3072,
            hidden_act: "gelu".into(),
            max_position_embeddings: 512,
            layer_norm_eps: 1e-12,
            cross_attention_frequency: 2,
            encoder_hidden_size: 1408,
        }
    }
}

impl QFormerConfig {
    pub(super) fn init(&self, device: &Device) -> Result<QFormer> {
        let activation = activation("blip2 q-former", &self.hidden_act)?;
        check_sizes(
            "blip2 q-former",
            self.hidden_size,
            self.num_attention_heads,
            &[
                ("vocab_size", self.vocab_size),
                ("intermediate_size", self.intermediate_size),
                ("max_position_embeddings", self.max_position_embeddings),
                ("encoder_hidden_size", self.encoder_hidden_size),
            ],
        )?;
        if self.cross_attention_frequency == 0 {
            return Err(Error::config("blip2 q-former: expected cross_attention_frequency above 0, got 0"));
        }
        let (h, heads, eps) = (self.hidden_size, self.num_attention_heads, self.layer_norm_eps);
        let layer = |i: usize| Layer {
            attention: Attention::new(h, h, heads, eps, device),
            crossattention: i
                .is_multiple_of(self.cross_attention_frequency)
                .then(|| Attention::new(h, self.encoder_hidden_size, heads, eps, device)),
            intermediate: Intermediate::new(h, self.intermediate_size, activation, device),
            output: AddNorm::new(self.intermediate_size, h, eps, device),
            intermediate_query: Intermediate::new(h, self.intermediate_size, activation, device),
            output_query: AddNorm::new(self.intermediate_size, h, eps, device),
        };
        Ok(QFormer {
            layernorm: LayerNormConfig::new(h).with_epsilon(eps).init(device),
            encoder: Layers { layer: (0..self.num_hidden_layers).map(layer).collect() },
        })
    }
}

#[derive(Module, Debug)]
pub(super) struct QFormer {
    layernorm: LayerNorm,
    encoder: Layers,
}

#[derive(Module, Debug)]
struct Layers {
    layer: Vec<Layer>,
}

#[derive(Module, Debug)]
struct Layer {
    attention: Attention,
    crossattention: Option<Attention>,
    intermediate: Intermediate,
    output: AddNorm,
    intermediate_query: Intermediate,
    output_query: AddNorm,
}

impl QFormer {
    /// The first `queries` positions of `x` are queries, the rest is text.
    ///
    /// # Shapes
    /// - x and result: `[b, l, hidden]`; image: `[b, patches, encoder_hidden_size]`
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        queries: usize,
        visible: Visible<'_>,
        image: Option<Tensor<3>>,
    ) -> Tensor<3> {
        let [batch, length, _] = x.dims();
        let mut x = self.layernorm.forward(x);
        for layer in &self.encoder.layer {
            x = layer.attention.forward(x.clone(), x, visible);
            let query = (queries > 0).then(|| layer.read_image(x.clone().slice([0..batch, 0..queries]), &image));
            let text = (queries < length).then(|| {
                let text = x.slice([0..batch, queries..length]);
                layer.output.forward(layer.intermediate.forward(text.clone()), text)
            });
            x = match (query, text) {
                (Some(query), Some(text)) => Tensor::cat(vec![query, text], 1),
                (Some(only), None) | (None, Some(only)) => only,
                (None, None) => return Tensor::zeros([batch, 0, 0], &self.layernorm.gamma.device()),
            };
        }
        x
    }
}

impl Layer {
    fn read_image(&self, mut query: Tensor<3>, image: &Option<Tensor<3>>) -> Tensor<3> {
        if let (Some(cross), Some(image)) = (&self.crossattention, image) {
            query = cross.forward(query, image.clone(), Visible::All);
        }
        self.output_query.forward(self.intermediate_query.forward(query.clone()), query)
    }
}
