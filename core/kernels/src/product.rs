//! Products of matrices that lie in slices.
#![allow(unsafe_code)]

use burn::backend::Flex;
use burn::tensor::Tensor;
use gemm::Parallelism;

use crate::tracked::elsewhere;

/// A matrix in a slice, row after row, `stride` numbers from one row to the next.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) numbers: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) columns: usize,
    pub(crate) stride: usize,
}

impl<'a> Rows<'a> {
    /// Rows without gaps.
    pub(crate) fn dense(numbers: &'a [f32], rows: usize, columns: usize) -> Self {
        Self { numbers, rows, columns, stride: columns }
    }

    fn fits(&self) -> bool {
        self.rows == 0 || (self.rows - 1) * self.stride + self.columns <= self.numbers.len()
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

/// `a b` into `into`, row after row.
///
/// # Panics
/// When the sizes do not fit each other or their slices.
pub(crate) fn multiply(a: Rows<'_>, b: Rows<'_>, into: &mut [f32], parallel: Parallelism) {
    let (rows, inner, columns) = (a.rows, a.columns, b.columns);
    assert!(inner == b.rows && into.len() == rows * columns && a.fits() && b.fits(), "matrices that do not fit");
    if into.is_empty() {
        return;
    }
    // SAFETY: every index below the sizes lies within the three slices, as was just checked; `into` is borrowed by nobody else.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            into.as_mut_ptr(),
            1,
            columns as isize,
            false,
            a.numbers.as_ptr(),
            1,
            a.stride as isize,
            b.numbers.as_ptr(),
            1,
            b.stride as isize,
            0.0,
            1.0,
            false,
            false,
            false,
            parallel,
        );
    }
}
