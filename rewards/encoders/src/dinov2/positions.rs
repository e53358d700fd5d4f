//! Position embeddings for images of another size: bicubic interpolation as PyTorch's (a = -0.75, half-pixel centres,
//! border repeated), as two small matrix products.

use burn::tensor::{Device, Tensor, TensorData};

/// # Shapes
/// - positions: `[1, 1 + side * side, d]`, class token first
/// - result: `[1, 1 + rows * columns, d]`
pub(super) fn interpolate(positions: Tensor<3>, side: usize, [rows, columns]: [usize; 2]) -> Tensor<3> {
    let [_, length, d] = positions.dims();
    let device = positions.device();
    let class = positions.clone().slice([0..1, 0..1]);
    let grid = positions.slice([0..1, 1..length]);
    // [rows, side] x [side, side * d], then [columns, side] x [rows, side, d]
    let tall = matrix(side, rows, &device).matmul(grid.reshape([side, side * d])).reshape([rows, side, d]);
    let wide = matrix(side, columns, &device).unsqueeze::<3>().expand([rows, columns, side]).matmul(tall);
    Tensor::cat(vec![class, wide.reshape([1, rows * columns, d])], 1)
}

/// Weights `[to, from]` of one axis.
fn matrix(from: usize, to: usize, device: &Device) -> Tensor<2> {
    let mut weights = vec![0_f32; to * from];
    for i in 0..to {
        let centre = (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        let left = centre.floor();
        for tap in -1..=2_i64 {
            let source = (left as i64 + tap).clamp(0, from as i64 - 1) as usize;
            weights[i * from + source] += kernel(centre - left - tap as f64) as f32;
        }
    }
    Tensor::from_data(TensorData::new(weights, [to, from]), device)
}

/// Cubic convolution kernel with a = -0.75.
fn kernel(x: f64) -> f64 {
    const A: f64 = -0.75;
    let x = x.abs();
    if x <= 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((x - 5.0) * x + 8.0) * x * A - 4.0 * A
    } else {
        0.0
    }
}
