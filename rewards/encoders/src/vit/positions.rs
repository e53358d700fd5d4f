//! Position embeddings for images of another size: PyTorch's bicubic interpolation, with half-pixel centres, as two small
//! matrix products.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::Resizing;

/// # Shapes
/// - positions: `[1, 1 + side * side, d]`, class token first
/// - result: `[1, 1 + rows * columns, d]`
pub(super) fn interpolate(
    positions: Tensor<3>,
    side: usize,
    [rows, columns]: [usize; 2],
    resizing: Resizing,
) -> Tensor<3> {
    let [_, length, d] = positions.dims();
    let device = positions.device();
    let class = positions.clone().narrow(1, 0, 1);
    let grid = positions.narrow(1, 1, length - 1);
    // [rows, side] x [side, side * d], then [columns, side] x [rows, side, d]
    let tall = matrix(side, rows, resizing, &device).matmul(grid.reshape([side, side * d])).reshape([rows, side, d]);
    let wide = matrix(side, columns, resizing, &device).unsqueeze::<3>().expand([rows, columns, side]).matmul(tall);
    Tensor::cat(vec![class, wide.reshape([1, rows * columns, d])], 1)
}

/// Weights `[to, from]` of one axis.
fn matrix(from: usize, to: usize, resizing: Resizing, device: &Device) -> Tensor<2> {
    let weights = if resizing == Resizing::AntiAliased { anti_aliased(from, to) } else { plain(from, to) };
    Tensor::from_data(TensorData::new(weights, [to, from]), (device, DType::F32))
}

/// Four taps whatever the scale, the border repeated, a = -0.75.
fn plain(from: usize, to: usize) -> Vec<f32> {
    let mut weights = vec![0_f32; to * from];
    for i in 0..to {
        let centre = (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        let left = centre.floor();
        for tap in -1..=2_i64 {
            let source = (left as i64 + tap).clamp(0, from as i64 - 1) as usize;
            weights[i * from + source] += cubic(-0.75, centre - left - tap as f64) as f32;
        }
    }
    weights
}

/// As many taps as the scale asks for, those inside alone and summing to one, a = -0.5: Pillow's filter.
fn anti_aliased(from: usize, to: usize) -> Vec<f32> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let mut weights = vec![0_f32; to * from];
    for (i, row) in weights.chunks_mut(from).enumerate() {
        let centre = (i as f64 + 0.5) * scale;
        let taps: Vec<f64> = (0..from).map(|s| cubic(-0.5, (s as f64 + 0.5 - centre) / stretch)).collect();
        let total: f64 = taps.iter().sum();
        for (weight, tap) in row.iter_mut().zip(taps) {
            *weight = (tap / total) as f32;
        }
    }
    weights
}

/// The cubic convolution kernel.
fn cubic(a: f64, x: f64) -> f64 {
    let x = x.abs();
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((x - 5.0) * x + 8.0) * x * a - 4.0 * a
    } else {
        0.0
    }
}
