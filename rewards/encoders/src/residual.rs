//! The post-norm blocks of BERT, which the Q-Former shares.

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::{Device, Tensor};

use crate::ops::{Activation, Visible, activate, add_projection, attend, project};

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
        self.layer_norm.forward(add_projection(&self.dense, x, None, residual))
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
    /// - x and result: `[b, l, hidden]`, source: `[b, k, source]`
    pub(crate) fn forward(&self, x: Tensor<3>, source: Tensor<3>, visible: Visible<'_>) -> Tensor<3> {
        let memory = self.memorise(source);
        self.recall(x, &memory, visible)
    }

    /// # Shapes
    /// - source: `[b, k, source]`
    pub(crate) fn memorise(&self, source: Tensor<3>) -> Memory {
        Memory { key: project(&self.attention.key, source.clone()), value: project(&self.attention.value, source) }
    }

    /// # Shapes
    /// - x and result: `[b, l, hidden]`
    pub(crate) fn recall(&self, x: Tensor<3>, memory: &Memory, visible: Visible<'_>) -> Tensor<3> {
        let query = &self.attention.query;
        let (q, k, v) = (project(query, x.clone()), memory.key.clone(), memory.value.clone());
        self.output.forward(attend(q, k, v, self.heads, visible, query.weight.dtype()), x)
    }
}

/// Keys and values of a sequence, `[b, k, hidden]`.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    key: Tensor<3>,
    value: Tensor<3>,
}

impl Memory {
    /// This sequence and then `next`.
    pub(crate) fn followed_by(self, next: Self) -> Self {
        Self { key: Tensor::cat(vec![self.key, next.key], 1), value: Tensor::cat(vec![self.value, next.value], 1) }
    }
}

/// The widening half of a feed-forward block.
#[derive(Module, Debug)]
pub(crate) struct Intermediate {
    dense: Linear,
    #[module(skip)]
    activation: Activation,
}

impl Intermediate {
    pub(crate) fn new(hidden: usize, intermediate: usize, activation: Activation, device: &Device) -> Self {
        Self { dense: LinearConfig::new(hidden, intermediate).init(device), activation }
    }

    pub(crate) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        activate(&self.dense, x, self.activation)
    }
}
