//! One pass over the rows of a tensor.

use std::borrow::Cow;

use burn::tensor::Tensor;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::lanes::map;
use crate::product::with_numbers;

/// Numbers of one task: enough work to be worth a task, few enough to stay in a core's cache.
const TASK: usize = 1 << 14;

/// `of` of `x` as a matrix, with as many rows as it has. What is for any number of axes is done here by what is for two: so it is compiled with
/// this crate, as it is to be, and not once more wherever it is called.
pub(crate) fn by_rows<const D: usize>(x: Tensor<D>, of: impl FnOnce(Tensor<2>) -> Tensor<2>) -> Tensor<D> {
    let mut shape = x.dims();
    let y = of(matrix(x));
    shape[D - 1] = y.dims()[1];
    y.reshape(shape)
}

/// The rows (the last axis) of `x`, one under the other.
pub(crate) fn matrix<const D: usize>(x: Tensor<D>) -> Tensor<2> {
    let shape = x.dims();
    x.reshape([shape[..D - 1].iter().product(), shape[D - 1]])
}

/// What is done with a row, given its number. `#[inline(always)]`, with all that it calls: what is not inlined is not compiled for the vectors.
/// Nor is a closure without that attribute, or what `for_each` is given.
pub(crate) trait OnRow: Sync {
    fn on_row<S: Simd>(&self, simd: S, i: usize, row: &mut [f32]);
}

/// Does `work` on every row (the last axis) of `x`, on all cores.
pub(crate) fn map_rows<const D: usize>(x: Tensor<D>, work: impl OnRow) -> Tensor<D> {
    let device = x.device();
    let (width, dtype) = (x.dims()[D - 1].max(1), x.dtype());
    let mut data = x.into_data();
    if let Ok(numbers) = data.as_mut_slice::<f32>() {
        let rows = (TASK / width).max(1);
        let arch = Arch::new();
        if numbers.len() <= TASK {
            arch.dispatch(Rows { first: 0, width, numbers, work: &work });
        } else {
            let pieces = numbers.par_chunks_mut(rows * width).enumerate();
            pieces.for_each(|(i, numbers)| arch.dispatch(Rows { first: i * rows, width, numbers, work: &work }));
        }
    }
    Tensor::from_data(data, (&device, dtype))
}

/// Does `work` on every row of so many `numbers`, on this core.
pub(crate) fn on_rows(numbers: &mut [f32], width: usize, work: impl OnRow) {
    Arch::new().dispatch(Rows { first: 0, width: width.max(1), numbers, work: &work });
}

/// What is read of a row, given its number; as [`OnRow`].
pub(crate) trait OfRow: Sync {
    type Read: Send;

    fn of_row<S: Simd>(&self, simd: S, i: usize, row: &[f32]) -> Self::Read;
}

/// What `of` reads of every row of `x`.
pub(crate) fn read_rows<W: OfRow>(x: Tensor<2>, of: W) -> Vec<W::Read> {
    let width = x.dims()[1].max(1);
    let (rows, arch) = ((TASK / width).max(1), Arch::new());
    with_numbers(x, |numbers| {
        let pieces = numbers.par_chunks(rows * width).enumerate();
        let seen =
            pieces.flat_map_iter(|(i, numbers)| arch.dispatch(Reads { first: i * rows, width, numbers, of: &of }));
        seen.collect()
    })
}

/// Some rows that are read.
struct Reads<'a, W> {
    first: usize,
    width: usize,
    numbers: &'a [f32],
    of: &'a W,
}

impl<W: OfRow> WithSimd for Reads<'_, W> {
    type Output = Vec<W::Read>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<W::Read> {
        let mut found = Vec::with_capacity(self.numbers.len() / self.width);
        for (i, row) in self.numbers.chunks(self.width).enumerate() {
            found.push(self.of.of_row(simd, self.first + i, row));
        }
        found
    }
}

/// Some rows, the first of which has the number `first`.
struct Rows<'a, W> {
    first: usize,
    width: usize,
    numbers: &'a mut [f32],
    work: &'a W,
}

impl<W: OnRow> WithSimd for Rows<'_, W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for (i, row) in self.numbers.chunks_mut(self.width).enumerate() {
            self.work.on_row(simd, self.first + i, row);
        }
    }
}

/// `x + bias`.
///
/// # Shapes
/// - x and result: `[b, l, d]`, bias: `[d]`
pub fn add_bias(x: Tensor<3>, bias: &[f32]) -> Tensor<3> {
    map_rows(x, Plus(bias))
}

struct Plus<'a>(&'a [f32]);

impl OnRow for Plus<'_> {
    #[inline(always)]
    fn on_row<S: Simd>(&self, simd: S, _i: usize, row: &mut [f32]) {
        map(
            simd,
            row,
            [self.0],
            #[inline(always)]
            |x, [bias]| x + bias,
        );
    }
}

/// `residual + (x + bias) * scale`.
///
/// # Shapes
/// - x, residual and result: `[b, l, d]`, bias and scale: `[d]`
pub fn add_scaled(x: Tensor<3>, bias: &[f32], scale: Option<&[f32]>, residual: Tensor<3>) -> Tensor<3> {
    let ones = || vec![1.0; bias.len()].into();
    let scale: Cow<'_, [f32]> = scale.map_or_else(ones, Cow::Borrowed);
    with_numbers(residual, |residual| map_rows(x, PlusScaled { bias, scale: &scale, residual }))
}

struct PlusScaled<'a> {
    bias: &'a [f32],
    scale: &'a [f32],
    residual: &'a [f32],
}

impl OnRow for PlusScaled<'_> {
    #[inline(always)]
    fn on_row<S: Simd>(&self, simd: S, i: usize, row: &mut [f32]) {
        let residual = &self.residual[i * row.len()..];
        map(
            simd,
            row,
            [self.bias, self.scale, residual],
            #[inline(always)]
            |x, [bias, scale, residual]| residual + (x + bias) * scale,
        );
    }
}
