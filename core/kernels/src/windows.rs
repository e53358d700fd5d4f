//! Convolutions of images whose channels come last: a window is a few runs of memory, and what is multiplied goes straight to its place.

use std::borrow::Cow;

use burn::tensor::{DType, Tensor, TensorData};
use gemm::Parallelism;
use rayon::prelude::{IntoParallelIterator, ParallelIterator};

use crate::product::{Matrix, multiply, with_numbers};

/// Most numbers of one gathered matrix, unless a single row of the image has more: they should stay in a core's cache.
const GATHERED: usize = 1 << 18;

/// How the windows of a convolution lie.
#[derive(Debug, Clone, Copy)]
pub struct Windows {
    /// Height and width.
    pub kernel: [usize; 2],
    /// From one to the next, down and to the right.
    pub stride: usize,
    /// Zeros above and below, and left and right of the image.
    pub padding: [usize; 2],
}

/// A convolution of images whose channels come last, what is below 0 cut off where it is `rectified`; of tensors that
/// [`may_work_on`](crate::may_work_on) accepts. Windows fit into the padded image.
///
/// # Shapes
/// x `[b, h, w, in]`, weight `[kh * kw * in, out]`, bias `[out]`; result `[b, h', w', out]`
pub fn conv2d_channels_last(
    x: Tensor<4>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    windows: Windows,
    rectified: bool,
) -> Tensor<4> {
    let ([batch, height, width, channels], device) = (x.dims(), x.device());
    let [window, outputs] = weight.dims();
    let Windows { kernel, stride, padding } = windows;
    let side = |size, axis: usize| (size + 2 * padding[axis] - kernel[axis]) / stride + 1;
    let (rows, columns) = (side(height, 0), side(width, 1));
    let bias: Vec<f32> = bias.map_or_else(|| vec![0.0; outputs], |bias| bias.into_data().iter::<f32>().collect());
    let mut result = vec![0.0; batch * rows * columns * outputs];
    let at_once = (GATHERED / (window * columns).max(1)).clamp(1, rows);
    let of_row = columns * outputs;
    let parts = result.chunks_mut((rows * of_row).max(1)).enumerate().flat_map(|(image, pixels)| {
        let parts = pixels.chunks_mut(at_once * of_row).enumerate();
        parts.map(move |(part, pixels)| (image, part * at_once, pixels))
    });
    let parts: Vec<(usize, usize, &mut [f32])> = parts.collect();
    // One part has all cores to itself.
    let parallel = if parts.len() == 1 { Parallelism::Rayon(0) } else { Parallelism::None };
    let gather = Gather { size: [height, width], channels, windows, columns };
    with_numbers(weight, |weight| {
        with_numbers(x, |x| {
            parts.into_par_iter().for_each(|(image, first, into)| {
                let pixels = &x[image * height * width * channels..][..height * width * channels];
                let places = into.len() / outputs.max(1);
                let gathered = gather.rows(pixels, first, places);
                let gathered = Matrix::dense(&gathered, places, window);
                multiply(gathered, Matrix::dense(weight, window, outputs), into, outputs, parallel);
                let least = if rectified { 0.0 } else { f32::NEG_INFINITY };
                // What is no number stays none.
                let cut = |number: f32| if number < least { least } else { number };
                for place in into.chunks_mut(outputs.max(1)) {
                    place.iter_mut().zip(&bias).for_each(|(number, bias)| *number = cut(*number + bias));
                }
            });
        });
    });
    Tensor::from_data(TensorData::new(result, [batch, rows, columns, outputs]), (&device, DType::F32))
}

/// What the windows are gathered from.
struct Gather {
    size: [usize; 2],
    channels: usize,
    windows: Windows,
    columns: usize,
}

impl Gather {
    /// The windows of so many `places` from row `first` of the result on.
    fn rows<'a>(&self, pixels: &'a [f32], first: usize, places: usize) -> Cow<'a, [f32]> {
        let ([height, width], Windows { kernel: [kh, kw], stride, padding }) = (self.size, self.windows);
        let (run, line) = (kw * self.channels, width * self.channels);
        if [kh, kw, stride] == [1; 3] && padding == [0; 2] {
            return Cow::Borrowed(&pixels[first * line..][..places * run]);
        }
        let mut gathered = vec![0.0; places * kh * run];
        for (place, window) in gathered.chunks_mut((kh * run).max(1)).enumerate() {
            let (row, column) = (first + place / self.columns, place % self.columns);
            // The part of the run that lies inside the image.
            let from = column * stride;
            let skipped = padding[1].saturating_sub(from).min(kw);
            let start = (from + skipped).saturating_sub(padding[1]).min(width);
            let count = (kw - skipped).min(width - start);
            for (ky, target) in window.chunks_mut(run.max(1)).enumerate() {
                let Some(y) = (row * stride + ky).checked_sub(padding[0]).filter(|y| *y < height) else { continue };
                let source = &pixels[y * line + start * self.channels..][..count * self.channels];
                target[skipped * self.channels..][..source.len()].copy_from_slice(source);
            }
        }
        Cow::Owned(gathered)
    }
}
