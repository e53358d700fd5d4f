//! Layer norm.

use std::sync::Arc;

use burn::nn::LayerNorm;
use burn::tensor::Tensor;

use crate::rows::{map_rows, map_rows_with};
use crate::tracked::tracked;
use crate::{is_tracked_here, numbers};

/// `norm`, whose epsilon this is, on `x`, on any device, with or without gradients.
///
/// # Shapes
/// `[.., d]`, in and out.
pub fn layer_norm<const D: usize>(norm: &LayerNorm, epsilon: f64, x: Tensor<D>) -> Tensor<D> {
    if !is_tracked_here(&x) {
        return norm.forward(x);
    }
    let (gamma, beta) = (norm.gamma.val(), norm.beta.as_ref().map(|beta| beta.val()));
    let trained = gamma.is_tracked() || beta.as_ref().is_some_and(Tensor::is_tracked);
    let width = gamma.dims()[0];
    let fixed = |vector: &Tensor<1>| numbers(vector.clone().inner());
    let affine = match trained {
        true => Affine { gamma: vec![1.0; width], beta: vec![0.0; width], epsilon: epsilon as f32 },
        false => Affine {
            gamma: fixed(&gamma),
            beta: beta.as_ref().map_or_else(|| vec![0.0; width], fixed),
            epsilon: epsilon as f32,
        },
    };
    let affine = Arc::new(affine);
    let plain = |x| forward(x, &affine);
    let Some(y) = tracked(x.clone(), plain, |x| (plain(x.clone()), (x, affine.clone())), back) else {
        return norm.forward(x);
    };
    match (trained, beta) {
        (false, _) => y,
        (true, Some(beta)) => y * gamma.unsqueeze() + beta.unsqueeze(),
        (true, None) => y * gamma.unsqueeze(),
    }
}

/// What a normalised row is multiplied with, and what is added to it.
#[derive(Debug)]
struct Affine {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    epsilon: f32,
}

fn forward<const D: usize>(x: Tensor<D>, Affine { gamma, beta, epsilon }: &Affine) -> Tensor<D> {
    map_rows(
        x,
        #[inline(always)]
        |_, row| {
            let (mean, factor) = moments(row, *epsilon);
            for ((x, g), b) in row.iter_mut().zip(gamma).zip(beta) {
                *x = (*x - mean) * factor * g + b;
            }
        },
    )
}

/// With `n` the normalised row and `h = gradient gamma`: `factor (h - mean(h) - n mean(h n))`.
fn back<const D: usize>(gradient: Tensor<D>, (x, affine): (Tensor<D>, Arc<Affine>)) -> Tensor<D> {
    let Affine { gamma, epsilon, .. } = &*affine;
    map_rows_with(
        gradient,
        x,
        #[inline(always)]
        |_, row, x| {
            let (mean, factor) = moments(x, *epsilon);
            let (mut sum, mut weighed) = ([0.0; LANES], [0.0; LANES]);
            for (h, g) in row.iter_mut().zip(gamma) {
                *h *= g;
            }
            let ((h_whole, h_rest), (x_whole, x_rest)) = (row.as_chunks::<LANES>(), x.as_chunks::<LANES>());
            for (h, x) in h_whole.iter().zip(x_whole) {
                for i in 0..LANES {
                    sum[i] += h[i];
                    weighed[i] += h[i] * (x[i] - mean);
                }
            }
            for (h, x) in h_rest.iter().zip(x_rest) {
                sum[0] += h;
                weighed[0] += h * (x - mean);
            }
            let count = x.len() as f32;
            let (sum, weighed) = (sum.iter().sum::<f32>() / count, weighed.iter().sum::<f32>() / count);
            let slope = weighed * factor * factor;
            for (h, x) in row.iter_mut().zip(x) {
                *h = factor * (*h - sum - (x - mean) * slope);
            }
        },
    )
}

/// How many sums run side by side.
const LANES: usize = 16;

/// The mean of a row and `1 / sqrt(variance + epsilon)`.
#[inline(always)]
fn moments(row: &[f32], epsilon: f32) -> (f32, f32) {
    let count = row.len() as f32;
    let mean = total(row, |x| x) / count;
    let variance = total(row, |x| (x - mean) * (x - mean)) / count;
    (mean, (variance + epsilon).sqrt().recip())
}

#[inline(always)]
fn total(row: &[f32], of: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for chunk in whole {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += of(*x);
        }
    }
    sums.iter().sum::<f32>() + rest.iter().map(|x| of(*x)).sum::<f32>()
}
