//! Convolution, pooling and slopes on `[b, h, w, c]`.
//!
//! A convolution gathers its windows into the rows of a matrix and multiplies once. On the CPU this is faster than the
//! backend's own convolution, which lays out pixels and weights anew at each call.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::relu;
use burn::tensor::module::linear;
use burn::tensor::ops::PadMode;
use burn::tensor::{Device, Tensor, s};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

/// Most numbers that the gathered windows of one matrix product hold: they should stay in the processor's cache.
const GATHERED: usize = 1 << 21;

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
        let image = rows * columns * kh * kw * from;
        let chunk = (GATHERED / image.max(1)).clamp(1, batch.max(1));
        let gather = |x: Tensor<4>| {
            let count = x.dims()[0];
            let windows: Tensor<5> = x.unfold(1, kh, self.stride);
            let windows: Tensor<6> = windows.unfold(2, kw, self.stride);
            let windows = windows.permute([0, 1, 2, 4, 5, 3]);
            product(windows.reshape([count * rows * columns, kh * kw * from])).reshape([count, rows, columns, to])
        };
        // A graph of gradients grows in one order.
        if chunk >= batch || x.device().is_autodiff() {
            return gather(x);
        }
        Tensor::cat(x.split(chunk, 0).into_par_iter().map(gather).collect(), 0)
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
