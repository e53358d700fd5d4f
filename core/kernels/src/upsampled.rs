//! Larger pictures.

use burn::tensor::{DType, Tensor, TensorData};
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSlice, ParallelSliceMut};

use crate::may_work_on;
use crate::product::with_numbers;

/// Twice the size, nearest neighbour, on any device, with or without gradients.
///
/// # Shapes
/// `[b, channels, h, w]` to `[b, channels, 2h, 2w]`
pub fn upsampled(x: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let shape = [batch, channels, 2 * height, 2 * width];
    if !may_work_on(&x) {
        let pixels = x.reshape([batch, channels, height, 1, width, 1]);
        return pixels.expand([batch, channels, height, 2, width, 2]).reshape(shape);
    }
    let (device, width, area) = (x.device(), width.max(1), (height * width).max(1));
    let mut large = vec![0.0; shape.iter().product()];
    with_numbers(x, |small| {
        large.par_chunks_mut(4 * area).zip(small.par_chunks(area)).for_each(|(large, small)| {
            for (rows, row) in large.chunks_mut(4 * width).zip(small.chunks(width)) {
                let (upper, lower) = rows.split_at_mut(2 * width);
                for (pair, x) in upper.as_chunks_mut::<2>().0.iter_mut().zip(row) {
                    *pair = [*x; 2];
                }
                lower.copy_from_slice(upper);
            }
        });
    });
    Tensor::from_data(TensorData::new(large, shape), (&device, DType::F32))
}
