//! A convolution without bias, its norm and a rectifier; or a convolution with bias that the norm was merged into.

use burn::module::{Module, Param};
use burn::nn::{BatchNorm, BatchNormConfig};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor};

use crate::face::conv::{Conv, ConvConfig};

/// Epsilon of the norms, as in TensorFlow.
pub(super) const EPSILON: f64 = 1e-3;

#[derive(Module, Debug)]
pub(super) struct Unit {
    pub(super) conv: Conv,
    bn: Option<BatchNorm>,
}

impl Unit {
    /// A unit with a square kernel that makes the image smaller.
    pub(super) fn valid(channels: [usize; 2], kernel: usize, stride: usize, device: &Device) -> Self {
        Self::new(ConvConfig { channels, kernel: [kernel; 2], stride, same: false, bias: false }, device)
    }

    /// A unit that keeps the size of the image.
    pub(super) fn same(channels: [usize; 2], kernel: [usize; 2], device: &Device) -> Self {
        Self::new(ConvConfig { channels, kernel, stride: 1, same: true, bias: false }, device)
    }

    fn new(conv: ConvConfig, device: &Device) -> Self {
        let bn = BatchNormConfig::new(conv.channels[1]).with_epsilon(EPSILON).init(device);
        Self { conv: conv.init(device), bn: Some(bn) }
    }

    /// # Shapes
    /// - x: `[b, h, w, in]`, result: `[b, h', w', out]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let Some(bn) = &self.bn else { return self.conv.rectified(x) };
        let x = self.conv.forward(x);
        let shape = x.dims();
        let rows = x.reshape([shape[0] * shape[1] * shape[2], shape[3]]);
        relu(bn.forward(rows)).reshape(shape)
    }

    pub(super) fn fold(&mut self) {
        let Some(bn) = self.bn.take() else { return };
        let (mean, variance) = (bn.running_mean.value(), bn.running_var.value());
        let scale = bn.gamma.val() / (variance + EPSILON).sqrt();
        let weight = self.conv.weight.val() * scale.clone().reshape([-1, 1, 1, 1]);
        self.set(weight, bn.beta.val() - mean * scale);
    }

    /// Puts in the weight `[out, in, kh, kw]` and the bias of a convolution that needs no norm.
    pub(super) fn set(&mut self, weight: Tensor<4>, bias: Tensor<1>) {
        self.bn = None;
        // In memory it is the matrix that the convolution multiplies with.
        let [to, from, kh, kw] = weight.dims();
        let matrix = weight.permute([2, 3, 1, 0]).reshape([kh * kw * from * to]);
        self.conv.weight = Param::from_tensor(matrix.reshape([kh, kw, from, to]).permute([3, 2, 0, 1]));
        self.conv.bias = Some(Param::from_tensor(bias));
    }
}

/// The units of a branch one after the other.
///
/// # Shapes
/// - x: `[b, h, w, in]`, result: `[b, h', w', out]`
pub(super) fn chain(units: &[Unit], x: Tensor<4>) -> Tensor<4> {
    units.iter().fold(x, |x, unit| unit.forward(x))
}
