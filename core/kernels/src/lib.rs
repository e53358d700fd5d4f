//! What models compute between their matrix products, for the CPU: one pass over memory each.
//!
//! Burn's CPU backend does elementwise operations one after the other, on one core, with the scalar functions of libm. Here the numbers
//! of a tensor are worked on where they lie, row by row on all cores, in vectors. Every function equals the composition of burn's
//! operations up to rounding.
//!
//! [`Mask`], [`Rotation`], [`layer_norm`], [`rms_norm`], [`group_norm`], [`group_norm_silu`], [`gelu`], [`gelu_tanh`], [`silu_gate`],
//! [`conv2d`], [`upsampled`], [`linear`], [`adapted`] and [`chosen_log_probs`] are for any device, with or without gradients: elsewhere
//! than on the CPU they are burn's operations. The others are for tensors that [`may_work_on`] accepts.

mod activation;
mod attention;
mod chosen;
mod conv;
mod heads;
mod lanes;
mod linear;
mod norm;
mod pages;
mod product;
mod rotary;
mod rows;
mod seen;
mod single;
mod softmax;
mod tracked;
mod upsampled;
mod windows;
mod winograd;

pub use activation::{Activation, gelu, gelu_tanh, silu_gate};
pub use attention::Mask;
pub use chosen::chosen_log_probs;
pub use conv::conv2d;
pub use linear::{adapted, linear};
pub use norm::{group_norm, group_norm_silu, layer_norm, rms_norm};
pub use pages::keep_pages;
pub use rotary::Rotation;
pub use rows::{add_bias, add_scaled};
pub use seen::{KeyValues, Seen, repeated};
pub use upsampled::upsampled;
pub use windows::{Windows, conv2d_channels_last};

use burn::tensor::{DType, Device, GradientCheckpointingStrategy, Tensor};
use counterpoint::device::is_cpu;

/// Whether `x` may be worked on where it lies: f32 on the CPU, without gradients.
pub fn may_work_on<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && is_here(&x.device())
}

/// Whether the tensors of `device` lie in the CPU's memory and keep no gradients.
pub fn is_here(device: &Device) -> bool {
    !device.is_autodiff() && is_cpu(device)
}

/// Whether passes over the numbers of `device` are possible, with or without gradients: not where burn is to compute parts of the
/// graph again on the way back, of which it knows its own operations alone.
fn works_on(device: &Device) -> bool {
    is_cpu(device) && device.gradient_checkpointing_strategy() != Some(GradientCheckpointingStrategy::Balanced)
}

/// Whether a pass with a way back of its own is possible.
fn is_tracked_here<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && x.device().is_autodiff() && works_on(&x.device())
}

/// The numbers of a tensor of f32.
pub fn numbers<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}
