//! Products of matrices that lie in slices.
#![allow(unsafe_code)]

use burn::backend::Flex;
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
    let (rows, inner, columns) = (a.rows, a.columns, b.columns);
    let place = Matrix { numbers: into, rows, columns, strides: [stride, 1] };
    let fit = a.fits() && b.fits() && place.fits() && stride >= columns;
    assert!(inner == b.rows && fit, "a product of {rows} x {inner} and {} x {columns} into {}", b.rows, into.len());
    if rows * columns == 0 {
        return;
    }
    let strides = |matrix: Matrix<'_>| matrix.strides.map(|stride| stride as isize);
    let ([a_row, a_column], [b_row, b_column]) = (strides(a), strides(b));
    // SAFETY: every index below the sizes lies within the three slices, as was just checked, and no two places of `into` are one; it is
    // borrowed by nobody else.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            into.as_mut_ptr(),
            1,
            stride as isize,
            false,
            a.numbers.as_ptr(),
            a_column,
            a_row,
            b.numbers.as_ptr(),
            b_column,
            b_row,
            0.0,
            1.0,
            false,
            false,
            false,
            parallel,
        );
    }
}

/// What `f` makes of the numbers of `x`, f32 on the CPU without gradients, which are copied where they do not lie in order alone.
pub(crate) fn with_numbers<const D: usize, R>(x: Tensor<D>, f: impl FnOnce(&[f32]) -> R) -> R {
    let count = x.dims().iter().product::<usize>();
    let Ok(x) = x.try_into_primitive::<Flex>() else { elsewhere() };
    let x = x.to_contiguous();
    let first = x.layout().start_offset();
    f(&x.storage::<f32>()[first..first + count])
}
