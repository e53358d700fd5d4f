//! The small networks between other widths and that of the decoder.

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use counterpoint_kernels::gelu;
use counterpoint_policy_common::lora::{project, scores};
use counterpoint_weights::Precision;

/// Linear layers with GELU between them.
#[derive(Module, Debug)]
pub(crate) struct Aligner {
    fc1: Linear,
    hidden_layers: Vec<Linear>,
}

impl Aligner {
    /// `depth` layers, 1 or more.
    pub(crate) fn init(from: usize, to: usize, depth: usize, device: &Device) -> Self {
        let layer = |from| LinearConfig::new(from, to).init(device);
        Self { fc1: layer(from), hidden_layers: (1..depth).map(|_| layer(to)).collect() }
    }

    /// # Shapes
    /// `[b, l, from]` to `[b, l, to]`.
    pub(crate) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.hidden_layers.iter().fold(project(&self.fc1, x), |x, layer| project(layer, gelu(x)))
    }
}

/// Scores of all codes at a state of the decoder.
#[derive(Module, Debug)]
pub(crate) struct CodeHead {
    proj_out: Linear,
    vision_head: Linear,
}

impl CodeHead {
    pub(crate) fn init(width: usize, inner: usize, codes: usize, device: &Device) -> Self {
        Self {
            proj_out: LinearConfig::new(width, inner).init(device),
            vision_head: LinearConfig::new(inner, codes).init(device),
        }
    }

    /// # Shapes
    /// `[b, l, width]` to f32 `[b, l, codes]`.
    pub(crate) fn forward(&self, x: Tensor<3>, precision: Precision) -> Tensor<3> {
        scores(&self.vision_head, gelu(project(&self.proj_out, x)), precision)
    }
}
