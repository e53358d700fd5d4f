//! Work on the numbers of a tensor where they lie: on the CPU, without gradients.
//!
//! Burn's CPU backend does elementwise operations one after the other, on one core, with the scalar functions of libm. What
//! stands between two matrix products is here one pass over memory, row by row on all cores, in vectors: the reason why a
//! tower is as fast as PyTorch's. Every function equals the composition of burn's operations up to rounding.

use burn::tensor::{DType, Device, Tensor};
use counterpoint::device::is_cpu;
use pulp::Arch;
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use super::Activation;

/// Numbers of one task: enough work to be worth a task, few enough to stay in a core's cache.
const TASK: usize = 1 << 14;

/// Whether `x` may be worked on where it lies.
pub(super) fn may_work_on<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && is_here(&x.device())
}

/// Whether the tensors of `device` lie in the CPU's memory and keep no gradients.
pub(super) fn is_here(device: &Device) -> bool {
    !device.is_autodiff() && is_cpu(device)
}

/// The numbers of a tensor of f32.
pub(super) fn numbers<const D: usize>(x: Tensor<D>) -> Vec<f32> {
    x.into_data().iter::<f32>().collect()
}

/// `x + bias`.
///
/// # Shapes
/// - x and result: `[b, l, d]`, bias: `[d]`
pub(super) fn add_bias(x: Tensor<3>, bias: &[f32]) -> Tensor<3> {
    map_rows(x, |_, row| {
        for (x, b) in row.iter_mut().zip(bias) {
            *x += b;
        }
    })
}

/// `activation(x + bias)`.
///
/// # Shapes
/// - x and result: `[b, l, d]`, bias: `[d]`
pub(super) fn activate(x: Tensor<3>, bias: &[f32], activation: Activation) -> Tensor<3> {
    match activation {
        Activation::Gelu => map_rows(x, |_, row| {
            for (x, b) in row.iter_mut().zip(bias) {
                let y = *x + b;
                *x = y * normal_below(y);
            }
        }),
        Activation::QuickGelu => map_rows(x, |_, row| {
            for (x, b) in row.iter_mut().zip(bias) {
                let y = *x + b;
                *x = y / (1.0 + exp(-1.702 * y));
            }
        }),
    }
}

/// `residual + (x + bias) * scale`.
///
/// # Shapes
/// - x, residual and result: `[b, l, d]`, bias and scale: `[d]`
pub(super) fn add_scaled(x: Tensor<3>, bias: &[f32], scale: Option<&[f32]>, residual: Tensor<3>) -> Tensor<3> {
    let residual = residual.into_data();
    let Ok(residual) = residual.as_slice::<f32>() else { return x };
    let width = bias.len();
    map_rows(x, |i, row| {
        let residual = &residual[i * width..(i + 1) * width];
        match scale {
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
        }
    })
}

/// The softmax of `scale * x` along the last axis; `hidden` says how a row is hidden from: by its number, the rest of the row
/// from the position that it returns on, and the positions for which the mask of its batch is false.
///
/// # Shapes
/// - x and result: `[b, heads, queries, keys]`
pub(super) fn softmax(
    x: Tensor<4>,
    scale: f32,
    seen: impl Fn(usize) -> usize + Sync,
    keep: Option<&[bool]>,
) -> Tensor<4> {
    let [_, heads, queries, keys] = x.dims();
    map_rows(x, |i, row| {
        let (seen, rest) = row.split_at_mut(seen(i % queries));
        rest.fill(0.0);
        if let Some(keep) = keep {
            let keep = &keep[i / (heads * queries) * keys..][..keys];
            for (x, keep) in seen.iter_mut().zip(keep) {
                *x = if *keep { *x } else { f32::NEG_INFINITY };
            }
        }
        softmax_row(seen, scale);
    })
}

#[inline(always)]
fn softmax_row(row: &mut [f32], scale: f32) {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (whole, rest) = row.as_chunks::<LANES>();
    for chunk in whole {
        for (max, x) in lanes.iter_mut().zip(chunk) {
            *max = if *x > *max { *x } else { *max };
        }
    }
    let max = lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    if max == f32::NEG_INFINITY {
        // Nothing to see: a row of zeros.
        row.fill(0.0);
        return;
    }
    let mut sums = [0.0; LANES];
    let (whole, rest) = row.as_chunks_mut::<LANES>();
    for chunk in whole {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *x = exp((*x - max) * scale);
            *sum += *x;
        }
    }
    let mut sum: f32 = sums.iter().sum();
    for x in rest {
        *x = exp((*x - max) * scale);
        sum += *x;
    }
    let factor = 1.0 / sum;
    for x in row {
        *x *= factor;
    }
}

/// How many sums run side by side: two vectors of AVX-512.
const LANES: usize = 32;

/// Does `work` on every row (the last axis) of `x`, given its number.
fn map_rows<const D: usize>(x: Tensor<D>, work: impl Fn(usize, &mut [f32]) + Sync) -> Tensor<D> {
    let device = x.device();
    let (width, dtype) = (x.dims()[D - 1].max(1), x.dtype());
    let mut data = x.into_data();
    if let Ok(numbers) = data.as_mut_slice::<f32>() {
        let rows = (TASK / width).max(1);
        let arch = Arch::new();
        let task = |(task, piece): (usize, &mut [f32])| {
            arch.dispatch(
                #[inline(always)]
                || {
                    for (i, row) in piece.chunks_mut(width).enumerate() {
                        work(task * rows + i, row);
                    }
                },
            );
        };
        if numbers.len() <= TASK {
            task((0, numbers));
        } else {
            numbers.par_chunks_mut(rows * width).enumerate().for_each(task);
        }
    }
    Tensor::from_data(data, (&device, dtype))
}

/// `e^x` to 2 units in the last place; 0 far below, no infinity above.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // 2^n e^r with |r| <= ln 2 / 2; adding 1.5 * 2^23 rounds to a whole number, which is then in the lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let x = x.clamp(-103.0, 88.0);
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.0;
    // Two factors, so that a power below the smallest normal number does not wrap.
    let half = |n: u32| f32::from_bits((n << 23).wrapping_add(127 << 23));
    let bits = shifted.to_bits();
    let n = bits.wrapping_sub(ROUND.to_bits()) as i32;
    p * half((n >> 1) as u32) * half((n - (n >> 1)) as u32)
}

/// The share of a normal distribution below `x`, to 6e-8.
#[inline(always)]
fn normal_below(x: f32) -> f32 {
    // Phi(-t sqrt 2) = erfc(t) / 2; -ln erfc(t) / t is smooth, and fitted here on [0, 4.2], beyond which erfc is below 3e-9.
    let t = (x.abs() * std::f32::consts::FRAC_1_SQRT_2).min(4.2);
    let p = -3.902_868e-6;
    let p = p * t + 6.350_556e-5;
    let p = p * t - 4.130_474e-4;
    let p = p * t + 1.204_888_5e-3;
    let p = p * t + 3.814_703e-4;
    let p = p * t - 1.950_827_6e-2;
    let p = p * t + 1.029_011_5e-1;
    let p = p * t + 6.365_996e-1;
    let p = p * t + 1.128_380_2;
    let tail = 0.5 * exp(-t * p);
    if x < 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::{exp, normal_below};

    /// Every 97th number of the range, against the functions in double precision.
    fn numbers() -> impl Iterator<Item = f32> {
        (0..u32::MAX).step_by(9973).map(f32::from_bits).filter(|x| x.is_finite())
    }

    #[test]
    fn exp_is_exp() {
        for x in numbers().filter(|x| (-87.0..88.0).contains(x)) {
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 2.5e-7, "exp({x}): {} {expected}", exp(x));
        }
        assert_eq!(exp(-1e30), exp(-103.0));
        assert!(exp(-103.0) < 1e-44);
        assert_eq!(exp(0.0), 1.0);
    }

    #[test]
    fn the_normal_distribution_is_that_of_the_error_function() {
        for x in numbers().filter(|x| x.abs() < 20.0) {
            let expected = 0.5 * libm::erfc(-f64::from(x) * std::f64::consts::FRAC_1_SQRT_2);
            let error = (f64::from(normal_below(x)) - expected).abs();
            assert!(error < 1e-7, "{x}: {} {expected}", normal_below(x));
        }
    }
}
