//! The pre-norm blocks of ViT, which CLIP's text tower shares.

use burn::module::{Module, Param};
use burn::nn::{Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::tensor::activation::silu;
use burn::tensor::{Device, Tensor};

use crate::ops::{Activation, Visible, activate, add_projection, attend, project};

/// Sizes of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockConfig {
    pub(crate) hidden: usize,
    pub(crate) heads: usize,
    pub(crate) feed_forward: FeedForward,
    pub(crate) epsilon: f64,
    /// Whether query, key and value are one projection.
    pub(crate) fused: bool,
    /// Whether the projections of query, key and value have a bias.
    pub(crate) qkv_bias: bool,
    /// What layer scales start from; none without.
    pub(crate) layer_scale: Option<f64>,
}

/// The second half of a block, and its width.
#[derive(Debug, Clone, Copy)]
pub(crate) enum FeedForward {
    Plain {
        width: usize,
        activation: Activation,
    },
    /// `one_matrix`: gate and up are stored as one.
    SwiGlu {
        width: usize,
        one_matrix: bool,
    },
}

/// Attention and feed-forward, each on the norm of what it is added to.
#[derive(Module, Debug)]
pub(crate) struct Block {
    norm1: LayerNorm,
    attention: SelfAttention,
    scale1: Option<Param<Tensor<1>>>,
    norm2: LayerNorm,
    mlp: Mlp,
    scale2: Option<Param<Tensor<1>>>,
}

#[derive(Module, Debug)]
struct SelfAttention {
    projections: Projections,
    output: Linear,
    heads: usize,
}

#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
enum Projections {
    Fused(Fused),
    Separate(Separate),
}

#[derive(Module, Debug)]
struct Fused {
    qkv: Linear,
}

#[derive(Module, Debug)]
struct Separate {
    query: Linear,
    key: Linear,
    value: Linear,
}

#[derive(Module, Debug)]
#[allow(clippy::large_enum_variant)]
enum Mlp {
    Plain(Plain),
    SwiGlu(SwiGlu),
    GateUp(GateUp),
}

#[derive(Module, Debug)]
struct Plain {
    fc1: Linear,
    fc2: Linear,
    #[module(skip)]
    activation: Activation,
}

#[derive(Module, Debug)]
struct SwiGlu {
    gate: Linear,
    up: Linear,
    down: Linear,
}

#[derive(Module, Debug)]
struct GateUp {
    gate_up: Linear,
    down: Linear,
}

impl BlockConfig {
    pub(crate) fn init(&self, device: &Device) -> Block {
        let h = self.hidden;
        let norm = || LayerNormConfig::new(h).with_epsilon(self.epsilon).init(device);
        let scale = || self.layer_scale.map(|value| Initializer::Constant { value }.init([h], device));
        let projection = |width| LinearConfig::new(h, width).with_bias(self.qkv_bias).init(device);
        let linear = |from, to| LinearConfig::new(from, to).init(device);
        Block {
            norm1: norm(),
            attention: SelfAttention {
                projections: if self.fused {
                    Projections::Fused(Fused { qkv: projection(3 * h) })
                } else {
                    Projections::Separate(Separate { query: projection(h), key: projection(h), value: projection(h) })
                },
                output: linear(h, h),
                heads: self.heads,
            },
            scale1: scale(),
            norm2: norm(),
            mlp: match self.feed_forward {
                FeedForward::Plain { width, activation } => {
                    Mlp::Plain(Plain { fc1: linear(h, width), fc2: linear(width, h), activation })
                }
                FeedForward::SwiGlu { width, one_matrix: true } => {
                    Mlp::GateUp(GateUp { gate_up: linear(h, 2 * width), down: linear(width, h) })
                }
                FeedForward::SwiGlu { width, one_matrix: false } => {
                    Mlp::SwiGlu(SwiGlu { gate: linear(h, width), up: linear(h, width), down: linear(width, h) })
                }
            },
            scale2: scale(),
        }
    }
}

impl Block {
    /// # Shapes
    /// - x and result: `[b, l, hidden]`
    pub(crate) fn forward(&self, x: Tensor<3>, visible: Visible<'_>) -> Tensor<3> {
        let scale = |scale: &Option<Param<Tensor<1>>>| scale.as_ref().map(Param::val);
        let attended = self.attention.forward(self.norm1.forward(x.clone()), visible);
        let x = add_projection(&self.attention.output, attended, scale(&self.scale1), x);
        let (widened, narrow) = self.mlp.widen(self.norm2.forward(x.clone()));
        add_projection(narrow, widened, scale(&self.scale2), x)
    }
}

impl SelfAttention {
    /// Everything but the output projection.
    fn forward(&self, x: Tensor<3>, visible: Visible<'_>) -> Tensor<3> {
        let (q, k, v) = match &self.projections {
            Projections::Fused(Fused { qkv }) => {
                let h = x.dims()[2];
                let qkv = project(qkv, x);
                (qkv.clone().narrow(2, 0, h), qkv.clone().narrow(2, h, h), qkv.narrow(2, 2 * h, h))
            }
            Projections::Separate(Separate { query, key, value }) => {
                (project(query, x.clone()), project(key, x.clone()), project(value, x))
            }
        };
        attend(q, k, v, self.heads, visible, self.output.weight.dtype())
    }
}

impl Mlp {
    /// What the projection back, which is returned too, is applied to.
    fn widen(&self, x: Tensor<3>) -> (Tensor<3>, &Linear) {
        match self {
            Self::Plain(m) => (activate(&m.fc1, x, m.activation), &m.fc2),
            Self::SwiGlu(m) => (silu(project(&m.gate, x.clone())) * project(&m.up, x), &m.down),
            Self::GateUp(m) => {
                let both = project(&m.gate_up, x);
                let width = both.dims()[2] / 2;
                (silu(both.clone().narrow(2, 0, width)) * both.narrow(2, width, width), &m.down)
            }
        }
    }
}
