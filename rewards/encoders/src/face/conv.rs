//! Convolution, pooling and slopes on `[b, h, w, c]`.
//!
//! A convolution gathers its windows into the rows of a matrix and multiplies once.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::relu;
use burn::tensor::module::linear;
use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor, s};
use counterpoint_kernels::{Windows, conv2d_channels_last, may_work_on};

/// A convolution. Its weight has the originals' layout, `[out, in, kh, kw]`.
#[derive(Module, Debug)]
pub(super) struct Conv {
    pub(super) weight: Param<Tensor<4>>,
    pub(super) bias: Option<Param<Tensor<1>>>,
    stride: usize,
    padding: [usize; 2],
}

/// Sizes of a [`Conv`].
#[derive(Debug, Clone, Copy)]
pub(super) struct ConvConfig {
    /// Channels in and out.
    pub(super) channels: [usize; 2],
    /// Height and width.
    pub(super) kernel: [usize; 2],
    pub(super) stride: usize,
    /// Whether zeros around the image keep its size at stride 1.
    pub(super) same: bool,
    pub(super) bias: bool,
}

impl ConvConfig {
    /// A square kernel at stride 1, without padding, with a bias.
    pub(super) fn new(from: usize, to: usize, kernel: usize) -> Self {
        Self { channels: [from, to], kernel: [kernel; 2], stride: 1, same: false, bias: true }
    }

    pub(super) fn init(self, device: &Device) -> Conv {
        let ([from, to], [kh, kw]) = (self.channels, self.kernel);
        let fan = from * kh * kw;
        let random = Initializer::KaimingUniform { gain: 1.0 / 3.0_f64.sqrt(), fan_out_only: false };
        Conv {
            weight: random.init_with([to, from, kh, kw], Some(fan), None, device),
            bias: self.bias.then(|| random.init_with([to], Some(fan), None, device)),
            stride: self.stride,
            padding: if self.same { [kh / 2, kw / 2] } else { [0, 0] },
        }
    }
}

impl Conv {
    /// # Shapes
    /// - x: `[b, h, w, in]`, at least as large as the kernel; result: `[b, h', w', out]`
    pub(super) fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        if self.works_on(&x) { self.at_once(x, false) } else { self.composed(x) }
    }

    /// The same, what is below 0 cut off.
    pub(super) fn rectified(&self, x: Tensor<4>) -> Tensor<4> {
        if self.works_on(&x) { self.at_once(x, true) } else { relu(self.composed(x)) }
    }

    fn works_on(&self, x: &Tensor<4>) -> bool {
        may_work_on(x) && self.weight.val().dtype() == x.dtype()
    }

    fn at_once(&self, x: Tensor<4>, rectified: bool) -> Tensor<4> {
        let weight = self.weight.val();
        let [to, from, kh, kw] = weight.dims();
        let weight = weight.permute([2, 3, 1, 0]).reshape([kh * kw * from, to]);
        let windows = Windows { kernel: [kh, kw], stride: self.stride, padding: self.padding };
        conv2d_channels_last(x, weight, self.bias.as_ref().map(Param::val), windows, rectified)
    }

    /// By burn's operations, for any device and with gradients.
    fn composed(&self, x: Tensor<4>) -> Tensor<4> {
        let [pad_h, pad_w] = self.padding;
        let x = match self.padding {
            [0, 0] => x,
            _ => x.pad([(0, 0), (pad_h, pad_h), (pad_w, pad_w), (0, 0)], PadMode::Constant(0.0)),
        };
        let [batch, height, width, from] = x.dims();
        let weight = self.weight.val();
        let [to, _, kh, kw] = weight.dims();
        let (rows, columns) = ((height - kh) / self.stride + 1, (width - kw) / self.stride + 1);
        let weight = weight.permute([2, 3, 1, 0]).reshape([kh * kw * from, to]);
        let bias = self.bias.as_ref().map(Param::val);
        let product = |x: Tensor<2>| match (x.dtype(), weight.dtype()) {
            (own, stored) if own == stored => linear(x, weight.clone(), bias.clone()),
            (own, stored) => {
                let product = linear(x.cast(stored), weight.clone(), None).cast(own);
                bias.iter().fold(product, |product, bias| product + bias.clone().unsqueeze::<2>())
            }
        };
        if [kh, kw, self.stride] == [1, 1, 1] {
            return product(x.reshape([batch * height * width, from])).reshape([batch, rows, columns, to]);
        }
        let windows: Tensor<5> = x.unfold(1, kh, self.stride);
        let windows: Tensor<6> = windows.unfold(2, kw, self.stride);
        let windows = windows.permute([0, 1, 2, 4, 5, 3]);
        product(windows.reshape([batch * rows * columns, kh * kw * from])).reshape([batch, rows, columns, to])
    }
}

/// Largest value in windows of `kernel` at stride 2.
///
/// # Shapes
/// - x: `[b, h, w, c]`, at least as large as the kernel; result: `[b, h', w', c]`; a last window that reaches beyond the
///   image counts if `ceil`
pub(super) fn max_pool(x: Tensor<4>, kernel: usize, ceil: bool) -> Tensor<4> {
    pool_axis(pool_axis(x, 1, kernel, ceil), 2, kernel, ceil)
}

fn pool_axis(x: Tensor<4>, axis: usize, kernel: usize, ceil: bool) -> Tensor<4> {
    let length = x.dims()[axis];
    let beyond = length - kernel;
    let windows = if ceil { beyond.div_ceil(2) } else { beyond / 2 } + 1;
    let missing = (2 * (windows - 1) + kernel).saturating_sub(length);
    let x = if missing == 0 {
        x
    } else {
        // The last row again changes no maximum.
        let last = x.clone().narrow(axis, length - missing, missing);
        Tensor::cat(vec![x, last], axis)
    };
    let at = |offset: usize| x.clone().slice_dim(axis, s![offset..offset + 2 * windows - 1;2]);
    // The larger of two: up to rounding, and on the CPU twice as fast as comparing and choosing.
    (1..kernel).fold(at(0), |largest, offset| relu(at(offset) - largest.clone()) + largest)
}

/// A rectifier with a learned slope per channel for what is below 0.
#[derive(Module, Debug)]
pub(super) struct Slope {
    weight: Param<Tensor<1>>,
}

impl Slope {
    pub(super) fn new(channels: usize, device: &Device) -> Self {
        Self { weight: Initializer::Constant { value: 0.25 }.init([channels], device) }
    }

    /// # Shapes
    /// - x and result: `[..., channels]`
    pub(super) fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let below = x.clone().clamp_max(0.0) * (self.weight.val() - 1.0).unsqueeze::<D>();
        x + below
    }
}
