//! The post-norm blocks of BERT, which the Q-Former shares.

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::gelu;
use burn::tensor::{Bool, Device, Tensor};

use crate::ops::attend;

/// A projection, then the norm of its sum with the residual.
#[derive(Module, Debug)]
pub(crate) struct AddNorm {
    dense: Linear,
    layer_norm: LayerNorm,
}

impl AddNorm {
    pub(crate) fn new(from: usize, to: usize, epsilon: f64, device: &Device) -> Self {
        Self {
            dense: LinearConfig::new(from, to).init(device),
            layer_norm: LayerNormConfig::new(to).with_epsilon(epsilon).init(device),
        }
    }

    pub(crate) fn forward(&self, x: Tensor<3>, residual: Tensor<3>) -> Tensor<3> {
        self.layer_norm.forward(self.dense.forward(x) + residual)
    }
}

/// The three projections of an attention.
#[derive(Module, Debug)]
pub(crate) struct Projections {
    query: Linear,
    key: Linear,
    value: Linear,
}

/// Attention over itself or over another sequence, with residual and norm.
#[derive(Module, Debug)]
pub(crate) struct Attention {
    attention: Projections,
    output: AddNorm,
    heads: usize,
}

impl Attention {
    /// `source` is the width of the sequence that keys and values come from.
    pub(crate) fn new(hidden: usize, source: usize, heads: usize, epsilon: f64, device: &Device) -> Self {
        Self {
            attention: Projections {
                query: LinearConfig::new(hidden, hidden).init(device),
                key: LinearConfig::new(source, hidden).init(device),
                value: LinearConfig::new(source, hidden).init(device),
            },
            output: AddNorm::new(hidden, hidden, epsilon, device),
            heads,
        }
    }

    /// # Shapes
    /// - x and result: `[b, l, hidden]`, source: `[b, k, source]`, keep: `[b, k]`
    pub(crate) fn forward(&self, x: Tensor<3>, source: Tensor<3>, keep: Option<&Tensor<2, Bool>>) -> Tensor<3> {
        let p = &self.attention;
        let (q, k, v) = (p.query.forward(x.clone()), p.key.forward(source.clone()), p.value.forward(source));
        self.output.forward(attend(q, k, v, self.heads, keep), x)
    }
}

/// The widening half of a feed-forward block.
#[derive(Module, Debug)]
pub(crate) struct Intermediate {
    dense: Linear,
}

impl Intermediate {
    pub(crate) fn new(hidden: usize, intermediate: usize, device: &Device) -> Self {
        Self { dense: LinearConfig::new(hidden, intermediate).init(device) }
    }

    pub(crate) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        gelu(self.dense.forward(x))
    }
}
