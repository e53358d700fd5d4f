//! From the features of a CLIP tower to embeddings of the decoder, in the checkpoints `w-clip-vit`.

use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Device, Tensor};
use counterpoint_kernels::gelu;

use counterpoint_policy_common::lora::project;

/// Linear, GELU, Linear, or nothing. The GELU has a place but no parameters, so that the others have the original's
/// names, `0` and `2`.
pub(crate) type Projector = Vec<Option<Linear>>;

pub(crate) fn init(from: usize, to: usize, device: &Device) -> Projector {
    let linear = |from| Some(LinearConfig::new(from, to).init(device));
    vec![linear(from), None, linear(to)]
}

pub(crate) fn forward(projector: &Projector, features: Tensor<3>) -> Tensor<3> {
    projector.iter().fold(features, |x, layer| match layer {
        Some(linear) => project(linear, x),
        None => gelu(x),
    })
}
