//! One pass over the rows of a tensor.

use burn::tensor::Tensor;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::product::with_numbers;

/// Numbers of one task: enough work to be worth a task, few enough to stay in a core's cache.
const TASK: usize = 1 << 14;

/// Does `work` on every row (the last axis) of `x`, given its number. For vectors `work` is to be `#[inline(always)]`.
pub(crate) fn map_rows<const D: usize>(x: Tensor<D>, work: impl Fn(usize, &mut [f32]) + Sync) -> Tensor<D> {
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

/// Does `work` on every row of so many `numbers`, on this core. For vectors `work` is to be `#[inline(always)]`.
pub(crate) fn on_rows(numbers: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32])) {
    Arch::new().dispatch(Rows { first: 0, width: width.max(1), numbers, work: &work });
}

/// `of` of every number of `x`. For vectors `of` is to be `#[inline(always)]`.
pub(crate) fn map_numbers<const D: usize>(x: Tensor<D>, of: impl Fn(f32) -> f32 + Sync) -> Tensor<D> {
    map_rows(
        x,
        #[inline(always)]
        |_, row| {
            for x in row {
                *x = of(*x);
            }
        },
    )
}

/// [`map_rows`] with the row of the same number of `other`, which has the same shape.
pub(crate) fn map_rows_with<const D: usize>(
    x: Tensor<D>,
    other: Tensor<D>,
    work: impl Fn(usize, &mut [f32], &[f32]) + Sync,
) -> Tensor<D> {
    let width = x.dims()[D - 1];
    with_numbers(other, |numbers| {
        map_rows(
            x,
            #[inline(always)]
            |i, row| work(i, row, &numbers[i * width..(i + 1) * width]),
        )
    })
}

/// `of` of every number of a row and those in its place in `a` and `b`, in pieces whose length is known when this is compiled: a loop
/// over a row of a few dozen numbers does most of them one by one. For vectors `of` is to be `#[inline(always)]`.
#[inline(always)]
pub(crate) fn map_with(row: &mut [f32], a: &[f32], b: &[f32], of: impl Fn(f32, f32, f32) -> f32 + Copy) {
    let (row, a, b) = pieces::<16>(row, a, b, of);
    let (row, a, b) = pieces::<4>(row, a, b, of);
    pieces::<1>(row, a, b, of);
}

/// The same of whole pieces of `N` numbers alone; the rest comes back.
#[inline(always)]
fn pieces<'a, const N: usize>(
    row: &'a mut [f32],
    a: &'a [f32],
    b: &'a [f32],
    of: impl Fn(f32, f32, f32) -> f32,
) -> (&'a mut [f32], &'a [f32], &'a [f32]) {
    let ((row, rest), (a, rest_a), (b, rest_b)) = (row.as_chunks_mut::<N>(), a.as_chunks::<N>(), b.as_chunks::<N>());
    for ((row, a), b) in row.iter_mut().zip(a).zip(b) {
        let mut new = [0.0; N];
        for i in 0..N {
            new[i] = of(row[i], a[i], b[i]);
        }
        *row = new;
    }
    (rest, rest_a, rest_b)
}

/// What `of` makes of every row of `x`, given its number.
pub(crate) fn read_rows<T: Send>(x: Tensor<2>, of: impl Fn(usize, &[f32]) -> T + Sync) -> Vec<T> {
    let width = x.dims()[1].max(1);
    let (rows, arch) = ((TASK / width).max(1), Arch::new());
    with_numbers(x, |numbers| {
        let pieces = numbers.par_chunks(rows * width).enumerate();
        let seen =
            pieces.flat_map_iter(|(i, numbers)| arch.dispatch(Reads { first: i * rows, width, numbers, of: &of }));
        seen.collect()
    })
}

/// What `add` adds up over the rows of `x` and those of the same number of `other`, which has the same shape: a number for each column.
pub(crate) fn sum_rows_with<const D: usize>(
    x: Tensor<D>,
    other: Tensor<D>,
    add: impl Fn(&mut [f32], &[f32], &[f32]) + Sync,
) -> Vec<f32> {
    let width = x.dims()[D - 1].max(1);
    let (piece, arch) = ((TASK / width).max(1) * width, Arch::new());
    let sums: Vec<Vec<f32>> = with_numbers(x, |x| {
        with_numbers(other, |other| {
            let pieces = x.par_chunks(piece).zip(other.par_chunks(piece));
            pieces.map(|(x, other)| arch.dispatch(Sums { width, x, other, add: &add })).collect()
        })
    });
    // In the order of the rows, whoever was done first.
    let mut all = vec![0.0; width];
    for sum in sums {
        all.iter_mut().zip(sum).for_each(|(all, sum)| *all += sum);
    }
    all
}

/// Some rows that are added up.
struct Sums<'a, W> {
    width: usize,
    x: &'a [f32],
    other: &'a [f32],
    add: &'a W,
}

impl<W: Fn(&mut [f32], &[f32], &[f32])> WithSimd for Sums<'_, W> {
    type Output = Vec<f32>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Vec<f32> {
        let mut sums = vec![0.0; self.width];
        for (x, other) in self.x.chunks(self.width).zip(self.other.chunks(self.width)) {
            (*self.add)(&mut sums, x, other);
        }
        sums
    }
}

/// Some rows that are read.
struct Reads<'a, W> {
    first: usize,
    width: usize,
    numbers: &'a [f32],
    of: &'a W,
}

impl<T, W: Fn(usize, &[f32]) -> T> WithSimd for Reads<'_, W> {
    type Output = Vec<T>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> Vec<T> {
        let mut found = Vec::with_capacity(self.numbers.len() / self.width);
        for (i, row) in self.numbers.chunks(self.width).enumerate() {
            found.push((*self.of)(self.first + i, row));
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

// What is not inlined into `with_simd` is not compiled for the vectors: a closure in its place is not, nor is a call through a reference to
// one (`self.work` without the star), nor what `for_each` is given.
impl<W: Fn(usize, &mut [f32])> WithSimd for Rows<'_, W> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        for (i, row) in self.numbers.chunks_mut(self.width).enumerate() {
            (*self.work)(self.first + i, row);
        }
    }
}

/// `x + bias`.
///
/// # Shapes
/// - x and result: `[b, l, d]`, bias: `[d]`
pub fn add_bias(x: Tensor<3>, bias: &[f32]) -> Tensor<3> {
    map_rows(
        x,
        #[inline(always)]
        |_, row| {
            for (x, b) in row.iter_mut().zip(bias) {
                *x += b;
            }
        },
    )
}

/// `residual + (x + bias) * scale`.
///
/// # Shapes
/// - x, residual and result: `[b, l, d]`, bias and scale: `[d]`
pub fn add_scaled(x: Tensor<3>, bias: &[f32], scale: Option<&[f32]>, residual: Tensor<3>) -> Tensor<3> {
    map_rows_with(
        x,
        residual,
        #[inline(always)]
        |_, row, residual| match scale {
            Some(scale) => {
                for (((x, b), s), r) in row.iter_mut().zip(bias).zip(scale).zip(residual) {
                    *x = r + (*x + b) * s;
                }
            }
            None => {
                for ((x, b), r) in row.iter_mut().zip(bias).zip(residual) {
                    *x = r + (*x + b);
                }
            }
        },
    )
}
