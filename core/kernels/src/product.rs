//! Products of matrices that lie in slices.
#![allow(unsafe_code)]

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use gemm::Parallelism;

use crate::tracked::elsewhere;

/// A matrix in a slice.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) numbers: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    /// From one row to the next, and from one column to the next.
    pub(crate) strides: [usize; 2],
}

impl<'a> Matrix<'a> {
    /// Row after row, without gaps.
    pub(crate) fn dense(numbers: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { numbers, rows, columns, strides: [columns, 1] }
    }

    /// Rows as columns.
    pub(crate) fn transposed(self) -> Self {
        let [down, across] = self.strides;
        Self { rows: self.columns, columns: self.rows, strides: [across, down], ..self }
    }

    /// The numbers of row `i`, where those of a row lie side by side.
    #[inline(always)]
    pub(crate) fn row(&self, i: usize) -> &'a [f32] {
        &self.numbers[i * self.strides[0]..][..self.columns]
    }

    fn fits(&self) -> bool {
        let last = |count: usize, stride: usize| count.saturating_sub(1) * stride;
        self.rows * self.columns == 0
            || last(self.rows, self.strides[0]) + last(self.columns, self.strides[1]) < self.numbers.len()
    }
}

/// `a b` into `into`, whose rows are `stride` numbers apart; what is between them stays.
///
/// # Panics
/// When the sizes do not fit each other or their slices.
pub(crate) fn multiply(a: Matrix<'_>, b: Matrix<'_>, into: &mut [f32], stride: usize, parallel: Parallelism) {
    let place = Matrix { numbers: into, rows: a.rows, columns: b.columns, strides: [stride, 1] };
    let [rows, columns, length] = [place.rows, place.columns, place.numbers.len()];
    assert!(place.fits() && stride >= columns, "a product of {rows} x {columns} into {length} by {stride}");
    if a.columns == 0 {
        into.chunks_mut(stride.max(1)).take(rows).for_each(|row| row[..columns].fill(0.0));
        return;
    }
    // SAFETY: it has a place for every row and column, no two of which are one, and is borrowed by nobody else.
    unsafe { write(a, b, into.as_mut_ptr(), stride, false, 1.0, parallel) }
}

/// `scale a b` added to `sum`, whose rows lie without gaps.
///
/// # Panics
/// As [`multiply`].
pub(crate) fn add_product(a: Matrix<'_>, b: Matrix<'_>, scale: f32, sum: &mut [f32]) {
    assert!(sum.len() == a.rows * b.columns, "a product of {} x {} onto {}", a.rows, b.columns, sum.len());
    // SAFETY: it has a place for every row and column and is borrowed by nobody else.
    unsafe { write(a, b, sum.as_mut_ptr(), b.columns, true, scale, worthwhile(a, b)) }
}

/// `scale a b`, into memory that is not cleared before.
///
/// # Panics
/// As [`multiply`].
pub(crate) fn product(a: Matrix<'_>, b: Matrix<'_>, scale: f32) -> Vec<f32> {
    let count = a.rows * b.columns;
    if a.columns == 0 {
        return vec![0.0; count];
    }
    let mut into = Vec::with_capacity(count);
    // SAFETY: it has room for every row and column, and all of them are written, as the sums are not empty.
    unsafe {
        write(a, b, into.as_mut_ptr(), b.columns, false, scale, worthwhile(a, b));
        into.set_len(count);
    }
    into
}

/// Multiplications from which on a product is worth all cores: those of a few rows that are written token by token are.
const PARALLEL: usize = 1 << 20;

fn worthwhile(a: Matrix<'_>, b: Matrix<'_>) -> Parallelism {
    let work = a.rows.saturating_mul(a.columns).saturating_mul(b.columns);
    if work >= PARALLEL { Parallelism::Rayon(0) } else { Parallelism::None }
}

/// `scale a b` into what is there, added to it where it has `begun`; nothing where the sums are empty.
///
/// # Safety
/// `into` has a place for every row of `a` and column of `b`, its rows `stride` apart, and nobody else refers to it meanwhile.
unsafe fn write(
    a: Matrix<'_>,
    b: Matrix<'_>,
    into: *mut f32,
    stride: usize,
    begun: bool,
    scale: f32,
    parallel: Parallelism,
) {
    let (rows, inner, columns) = (a.rows, a.columns, b.columns);
    assert!(inner == b.rows && a.fits() && b.fits(), "a product of {rows} x {inner} and {} x {columns}", b.rows);
    if rows * inner * columns == 0 {
        return;
    }
    let strides = |matrix: Matrix<'_>| matrix.strides.map(|stride| stride as isize);
    let ([a_row, a_column], [b_row, b_column]) = (strides(a), strides(b));
    // SAFETY: every index below the sizes lies within both slices, as was just checked; the caller's for `into`.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            into,
            1,
            stride as isize,
            begun,
            a.numbers.as_ptr(),
            a_column,
            a_row,
            b.numbers.as_ptr(),
            b_column,
            b_row,
            f32::from(u8::from(begun)),
            scale,
            false,
            false,
            false,
            parallel,
        );
    }
}

/// What a tensor of f32 on the CPU without gradients is there, in order where it lies backwards.
pub(crate) fn primitive<const D: usize>(x: Tensor<D>) -> FlexTensor {
    let Ok(x) = x.try_into_primitive::<Flex>() else { elsewhere() };
    if x.layout().strides().iter().any(|stride| *stride < 0) { x.to_contiguous() } else { x }
}

/// Steps from one number to the next along axis `axis`.
pub(crate) fn stride(x: &FlexTensor, axis: usize) -> usize {
    usize::try_from(x.layout().strides()[axis]).unwrap_or_else(|_| elsewhere())
}

impl<'a> From<&'a FlexTensor> for Matrix<'a> {
    /// Of two axes.
    fn from(x: &'a FlexTensor) -> Self {
        let [rows, columns] = [0, 1].map(|axis| x.layout().shape()[axis]);
        let numbers = &x.storage::<f32>()[x.layout().start_offset()..];
        Self { numbers, rows, columns, strides: [stride(x, 0), stride(x, 1)] }
    }
}

/// What `f` makes of the numbers of `x`, f32 on the CPU without gradients, which are copied where they do not lie in order alone.
pub(crate) fn with_numbers<const D: usize, R>(x: Tensor<D>, f: impl FnOnce(&[f32]) -> R) -> R {
    let count = x.dims().iter().product::<usize>();
    let x = primitive(x).to_contiguous();
    let first = x.layout().start_offset();
    f(&x.storage::<f32>()[first..first + count])
}
