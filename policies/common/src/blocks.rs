//! Building blocks of convolutional image tokenizers (VQGAN, MAGVIT-v2). Field names are the originals' tensor names.

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{GroupNorm, GroupNormConfig, PaddingConfig2d};
use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use counterpoint_kernels::{self as kernels, conv2d, group_norm_silu};

/// How channels are normalised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norm {
    /// Groups of channels.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f64,
}

/// Two normalised convolutions and a shortcut.
#[derive(Module, Debug)]
pub struct ResnetBlock {
    norm1: GroupNorm,
    conv1: Conv2d,
    norm2: GroupNorm,
    conv2: Conv2d,
    nin_shortcut: Option<Conv2d>,
}

impl ResnetBlock {
    /// With fresh weights.
    pub fn init(from: usize, to: usize, norm: Norm, device: &Device) -> Self {
        let conv3 = |from, to| conv(from, to, 3, 1, PaddingConfig2d::Explicit(1, 1, 1, 1), device);
        Self {
            norm1: group_norm(from, norm, device),
            conv1: conv3(from, to),
            norm2: group_norm(to, norm, device),
            conv2: conv3(to, to),
            nin_shortcut: (from != to).then(|| conv(from, to, 1, 1, PaddingConfig2d::Valid, device)),
        }
    }

    /// # Shapes
    /// `[B, from, H, W]` to `[B, to, H, W]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let h = conv2d(&self.conv1, group_norm_silu(&self.norm1, x.clone()));
        let h = conv2d(&self.conv2, group_norm_silu(&self.norm2, h));
        let shortcut = match &self.nin_shortcut {
            Some(conv) => conv2d(conv, x),
            None => x,
        };
        shortcut + h
    }
}

/// The blocks at the lowest resolution.
#[derive(Module, Debug)]
pub struct Mid {
    block_1: ResnetBlock,
    attn_1: AttnBlock,
    block_2: ResnetBlock,
}

impl Mid {
    /// With fresh weights.
    pub fn init(channels: usize, norm: Norm, device: &Device) -> Self {
        Self {
            block_1: ResnetBlock::init(channels, channels, norm, device),
            attn_1: AttnBlock::init(channels, norm, device),
            block_2: ResnetBlock::init(channels, channels, norm, device),
        }
    }

    /// # Shapes
    /// `[B, channels, H, W]`, in and out.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.block_2.forward(self.attn_1.forward(self.block_1.forward(x)))
    }
}

/// Self-attention with one head over all positions.
#[derive(Module, Debug)]
pub struct AttnBlock {
    norm: GroupNorm,
    q: Conv2d,
    k: Conv2d,
    v: Conv2d,
    proj_out: Conv2d,
}

impl AttnBlock {
    /// With fresh weights.
    pub fn init(channels: usize, norm: Norm, device: &Device) -> Self {
        let conv1 = || conv(channels, channels, 1, 1, PaddingConfig2d::Valid, device);
        Self { norm: group_norm(channels, norm, device), q: conv1(), k: conv1(), v: conv1(), proj_out: conv1() }
    }

    /// # Shapes
    /// `[B, channels, H, W]`, in and out.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, channels, height, width] = x.dims();
        let normed = kernels::group_norm(&self.norm, x.clone());
        let flat = |conv: &Conv2d| conv2d(conv, normed.clone()).reshape([batch, channels, height * width]);
        let query = flat(&self.q).swap_dims(1, 2) * (channels as f64).powf(-0.5);
        let weights = softmax(query.matmul(flat(&self.k)), 2);
        let mixed = flat(&self.v).matmul(weights.swap_dims(1, 2));
        x + conv2d(&self.proj_out, mixed.reshape([batch, channels, height, width]))
    }
}

/// A convolution of odd `kernel` that keeps an image's size, with fresh weights.
pub fn same_conv(from: usize, to: usize, kernel: usize, device: &Device) -> Conv2d {
    let pad = kernel / 2;
    conv(from, to, kernel, 1, PaddingConfig2d::Explicit(pad, pad, pad, pad), device)
}

/// A square convolution with fresh weights.
pub fn conv(from: usize, to: usize, kernel: usize, stride: usize, padding: PaddingConfig2d, device: &Device) -> Conv2d {
    Conv2dConfig::new([from, to], [kernel, kernel]).with_stride([stride, stride]).with_padding(padding).init(device)
}

/// A norm of groups of channels that does nothing yet.
pub fn group_norm(channels: usize, norm: Norm, device: &Device) -> GroupNorm {
    GroupNormConfig::new(norm.groups, channels).with_epsilon(norm.epsilon).init(device)
}
