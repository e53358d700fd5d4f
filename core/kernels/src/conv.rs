//! Convolutions of images, a few rows of the result at a time: windows are gathered into the columns of a matrix and multiplied at once, or, where
//! there are many of 3 x 3, transformed ([`Winograd`]).

use burn::nn::PaddingConfig2d;
use burn::nn::conv::Conv2d;
use burn::tensor::{DType, Tensor, TensorData};
use gemm::Parallelism;
use rayon::prelude::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator, ParallelSliceMut};

use crate::may_work_on;
use crate::product::{Matrix, multiply, with_numbers};
use crate::winograd::Winograd;

/// Most numbers of one gathered matrix, unless a single row of the image has more: they should stay in a core's cache.
const GATHERED: usize = 1 << 18;

/// `conv` of `x`, as burn's [`Conv2d::forward`].
///
/// # Shapes
/// - x: `[b, in, h, w]`, result: `[b, out, h', w']`
pub fn conv2d(conv: &Conv2d, x: Tensor<4>) -> Tensor<4> {
    let weight = conv.weight.val();
    let plain = conv.groups == 1 && conv.dilation == [1, 1] && weight.dtype() == DType::F32 && !weight.is_tracked();
    let padding = padding(conv).filter(|_| plain && may_work_on(&x));
    match padding.and_then(|padding| Gather::of(weight.dims(), conv.stride, padding, x.dims())) {
        Some(gather) => gather.convolve(weight, conv.bias.as_ref().map(|bias| bias.val()), x),
        None => conv.forward(x),
    }
}

/// Zeros above and left of the image, and below and right.
fn padding(conv: &Conv2d) -> Option<[usize; 4]> {
    match conv.padding {
        PaddingConfig2d::Valid => Some([0; 4]),
        PaddingConfig2d::Explicit(top, left, bottom, right) => Some([top, left, bottom, right]),
        PaddingConfig2d::Same => None,
    }
}

/// Sizes of a convolution, and how its windows lie.
#[derive(Debug, Clone, Copy)]
struct Gather {
    channels: usize,
    size: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    /// Zeros above and left of the image.
    before: [usize; 2],
    out: [usize; 2],
}

impl Gather {
    /// None where a window does not fit, of which burn says so.
    fn of(
        [_, channels, kh, kw]: [usize; 4],
        stride: [usize; 2],
        [top, left, bottom, right]: [usize; 4],
        [_, from, height, width]: [usize; 4],
    ) -> Option<Self> {
        let beyond = [(height + top + bottom).checked_sub(kh)?, (width + left + right).checked_sub(kw)?];
        let out = [beyond[0] / stride[0] + 1, beyond[1] / stride[1] + 1];
        let (kernel, before) = ([kh, kw], [top, left]);
        (channels == from).then_some(Self { channels, size: [height, width], kernel, stride, before, out })
    }

    /// Numbers of a window.
    fn window(&self) -> usize {
        self.channels * self.kernel[0] * self.kernel[1]
    }

    /// The same in tiles, where windows are such.
    fn tiled(&self, outputs: usize) -> Option<Winograd> {
        let Self { channels, size, kernel, stride, before, out } = *self;
        (kernel == [3, 3] && stride == [1, 1]).then_some(Winograd { channels, outputs, size, before, out })
    }

    fn convolve(self, weight: Tensor<4>, bias: Option<Tensor<1>>, x: Tensor<4>) -> Tensor<4> {
        let (batch, outputs, device) = (x.dims()[0], weight.dims()[0], x.device());
        let [rows, columns] = self.out;
        let bias: Vec<f32> = bias.map_or_else(|| vec![0.0; outputs], |bias| bias.into_data().iter::<f32>().collect());
        let result = with_numbers(weight, |weight| with_numbers(x, |x| self.numbers(batch, outputs, weight, &bias, x)));
        Tensor::from_data(TensorData::new(result, [batch, outputs, rows, columns]), (&device, DType::F32))
    }

    fn numbers(&self, batch: usize, outputs: usize, weight: &[f32], bias: &[f32], pixels: &[f32]) -> Vec<f32> {
        let [rows, columns] = self.out;
        let tiled = self.tiled(outputs).filter(|tiled| tiled.is_worth()).map(|tiled| (tiled, tiled.weights(weight)));
        let at_once = match &tiled {
            Some((tiled, _)) => tiled.rows_at_once(GATHERED),
            None => (GATHERED / (self.window() * columns).max(1)).clamp(1, rows.max(1)),
        };
        let parts: Vec<(usize, usize)> =
            (0..batch).flat_map(|b| (0..rows).step_by(at_once).map(move |row| (b, row))).collect();
        // One part has all cores to itself.
        let parallel = if parts.len() == 1 { Parallelism::Rayon(0) } else { Parallelism::None };
        let image = self.channels * self.size[0] * self.size[1];
        let product = |&(b, first): &(usize, usize)| {
            let (pixels, count) = (&pixels[b * image..(b + 1) * image], at_once.min(rows - first));
            if let Some((tiled, weights)) = &tiled {
                return tiled.rows(pixels, weights, first, count, parallel);
            }
            let windows = self.gathered(pixels, first, count);
            let windows = Matrix::dense(&windows, self.window(), count * columns);
            let mut product = vec![0.0; outputs * count * columns];
            multiply(Matrix::dense(weight, outputs, self.window()), windows, &mut product, count * columns, parallel);
            product
        };
        let products: Vec<Vec<f32>> = parts.par_iter().map(product).collect();
        let of_image = rows.div_ceil(at_once);
        let mut result = vec![0.0; batch * outputs * rows * columns];
        // One channel of one image after the other, from the parts of that image.
        result.par_chunks_mut((rows * columns).max(1)).enumerate().for_each(|(i, channel)| {
            let (b, output) = (i / outputs, i % outputs);
            let parts = &products[b * of_image..(b + 1) * of_image];
            for (part, target) in parts.iter().zip(channel.chunks_mut(at_once * columns)) {
                let source = &part[output * target.len()..(output + 1) * target.len()];
                target.iter_mut().zip(source).for_each(|(to, from)| *to = from + bias[output]);
            }
        });
        result
    }

    /// The windows of `count` rows of the result from `first` on: one column for each place, one row for each number of a window.
    fn gathered(&self, image: &[f32], first: usize, count: usize) -> Vec<f32> {
        let ([height, width], [kh, kw], columns) = (self.size, self.kernel, self.out[1]);
        let mut windows = vec![0.0; self.window() * count * columns];
        for (number, places) in windows.chunks_mut((count * columns).max(1)).enumerate() {
            let (channel, ky, kx) = (number / (kh * kw), number / kw % kh, number % kw);
            for (row, target) in places.chunks_mut(columns).enumerate() {
                let Some(y) = ((first + row) * self.stride[0] + ky).checked_sub(self.before[0]) else { continue };
                if y >= height {
                    continue;
                }
                let source = &image[(channel * height + y) * width..][..width];
                self.copy_row(source, kx, target);
            }
        }
        windows
    }

    /// Of one row of the image what stands at column `kx` of each window.
    fn copy_row(&self, source: &[f32], kx: usize, target: &mut [f32]) {
        let (stride, left) = (self.stride[1], self.before[1]);
        // The first window whose column is inside the image.
        let start = left.saturating_sub(kx).div_ceil(stride);
        let Some(from) = (start * stride + kx).checked_sub(left).filter(|from| *from < source.len()) else { return };
        let inside = target.get_mut(start..).unwrap_or_default();
        match stride {
            1 => {
                let length = inside.len().min(source.len() - from);
                inside[..length].copy_from_slice(&source[from..from + length]);
            }
            _ => inside.iter_mut().zip(source[from..].iter().step_by(stride)).for_each(|(to, from)| *to = *from),
        }
    }
}
