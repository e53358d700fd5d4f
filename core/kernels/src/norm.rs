//! Layer norm, RMS norm and group norm.

use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::nn::{GroupNorm, LayerNorm, RmsNorm};
use burn::tensor::activation::silu;
use burn::tensor::{DType, Tensor, TensorData};

use crate::math::{self, sigmoid};
use crate::rows::{map_rows, map_rows_with, map_with, sum_rows_with};
use crate::tracked::{opened, record, register, split, split_some, tracked};
use crate::{is_tracked_here, may_work_on, numbers};

/// `norm`, whose epsilon this is, on `x`, on any device, with or without gradients.
///
/// # Shapes
/// `[.., d]`, in and out.
pub fn layer_norm<const D: usize>(norm: &LayerNorm, epsilon: f64, x: Tensor<D>) -> Tensor<D> {
    if !is_tracked_here(&x) {
        return norm.forward(x);
    }
    let beta = norm.beta.as_ref().map(|beta| beta.val());
    normalised::<D, true>(x.clone(), norm.gamma.val(), beta, epsilon).unwrap_or_else(|| norm.forward(x))
}

/// `norm` on `x`, on any device, with or without gradients.
///
/// # Shapes
/// `[.., d]`, in and out.
pub fn rms_norm<const D: usize>(norm: &RmsNorm, x: Tensor<D>) -> Tensor<D> {
    if may_work_on(&x) {
        let affine = Affine::new(numbers(norm.gamma.val()), None, norm.epsilon);
        return forward::<D, false>(x, &affine);
    }
    if !is_tracked_here(&x) {
        return norm.forward(x);
    }
    normalised::<D, false>(x.clone(), norm.gamma.val(), None, norm.epsilon).unwrap_or_else(|| norm.forward(x))
}

/// `norm` on `x`, on any device, with or without gradients.
///
/// # Shapes
/// `[b, channels, h, w]`, in and out.
pub fn group_norm(norm: &GroupNorm, x: Tensor<4>) -> Tensor<4> {
    match may_work_on(&x) {
        true => grouped::<false>(norm, x),
        false => norm.forward(x),
    }
}

/// SiLU of [`group_norm`].
///
/// # Shapes
/// `[b, channels, h, w]`, in and out.
pub fn group_norm_silu(norm: &GroupNorm, x: Tensor<4>) -> Tensor<4> {
    match may_work_on(&x) {
        true => grouped::<true>(norm, x),
        false => silu(norm.forward(x)),
    }
}

/// A row for each group of each image.
fn grouped<const SILU: bool>(norm: &GroupNorm, x: Tensor<4>) -> Tensor<4> {
    let shape = x.dims();
    let [batch, channels, height, width] = shape;
    let (groups, area) = (norm.num_groups, (height * width).max(1));
    let vector = |values: Option<Tensor<1>>, default: f32| values.map_or_else(|| vec![default; channels], numbers);
    let gamma = vector(norm.gamma.as_ref().map(|gamma| gamma.val()), 1.0);
    let beta = vector(norm.beta.as_ref().map(|beta| beta.val()), 0.0);
    let (of_group, epsilon) = (channels / groups, norm.epsilon as f32);
    let rows: Tensor<2> = x.reshape([batch * groups, of_group * height * width]);
    let rows = map_rows(
        rows,
        #[inline(always)]
        |i, row| {
            let (mean, factor) = moments::<true>(row, epsilon);
            let first = i % groups * of_group;
            for (channel, row) in (first..).zip(row.chunks_mut(area)) {
                let (scale, shift) = (factor * gamma[channel], beta[channel]);
                for x in row {
                    let y = (*x - mean) * scale + shift;
                    *x = if SILU { y * sigmoid(y) } else { y };
                }
            }
        },
    );
    rows.reshape(shape)
}

/// Around its mean where it is `CENTRED`; none where x is elsewhere.
fn normalised<const D: usize, const CENTRED: bool>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Option<Tensor<1>>,
    epsilon: f64,
) -> Option<Tensor<D>> {
    if gamma.is_tracked() || beta.as_ref().is_some_and(Tensor::is_tracked) {
        return trained::<D, CENTRED>(x, gamma, beta, epsilon);
    }
    let fixed = |vector: Tensor<1>| numbers(vector.inner());
    let affine = Arc::new(Affine::new(fixed(gamma), beta.map(fixed), epsilon));
    let plain = |x| forward::<D, CENTRED>(x, &affine);
    let recorded = |x: Tensor<D>| (plain(x.clone()), (x, affine.clone()));
    tracked(x, plain, recorded, back::<D, CENTRED>)
}

/// The same where what it is multiplied with, or what is added, is trained.
fn trained<const D: usize, const CENTRED: bool>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Option<Tensor<1>>,
    epsilon: f64,
) -> Option<Tensor<D>> {
    let device = x.device();
    let ((x, of_x), (gamma, of_gamma), (beta, of_beta)) = (split(x)?, split(gamma)?, split_some(beta, &device)?);
    let affine = Arc::new(Affine::new(numbers(gamma), beta.map(numbers), epsilon));
    let y = forward::<D, CENTRED>(x.clone(), &affine);
    record(Trained::<D, CENTRED>, [of_x, of_gamma, of_beta], (x, affine), y)
}

#[derive(Debug)]
struct Trained<const D: usize, const CENTRED: bool>;

impl<const D: usize, const CENTRED: bool> Backward<Flex, 3> for Trained<D, CENTRED> {
    type State = (Tensor<D>, Arc<Affine>);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ([of_x, of_gamma, of_beta], gradient, (x, affine)) = opened::<_, 3, D>(ops, gradients);
        let device = x.device();
        let vector = |numbers: Vec<f32>| {
            let shape = [numbers.len()];
            Tensor::<1>::from_data(TensorData::new(numbers, shape), (&device, DType::F32))
        };
        register(gradients, of_gamma, || {
            let epsilon = affine.epsilon;
            vector(sum_rows_with(
                gradient.clone(),
                x.clone(),
                #[inline(always)]
                |sums, gradient, x| {
                    let (mean, factor) = moments::<CENTRED>(x, epsilon);
                    for ((sum, g), x) in sums.iter_mut().zip(gradient).zip(x) {
                        *sum += g * (x - mean) * factor;
                    }
                },
            ))
        });
        register(gradients, of_beta, || {
            vector(sum_rows_with(
                gradient.clone(),
                gradient.clone(),
                #[inline(always)]
                |sums, gradient, _| {
                    for (sum, g) in sums.iter_mut().zip(gradient) {
                        *sum += g;
                    }
                },
            ))
        });
        register(gradients, of_x, || back::<D, CENTRED>(gradient, (x, affine)));
    }
}

/// What a normalised row is multiplied with, and what is added to it.
#[derive(Debug)]
struct Affine {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    epsilon: f32,
}

impl Affine {
    fn new(gamma: Vec<f32>, beta: Option<Vec<f32>>, epsilon: f64) -> Self {
        let beta = beta.unwrap_or_else(|| vec![0.0; gamma.len()]);
        Self { gamma, beta, epsilon: epsilon as f32 }
    }
}

fn forward<const D: usize, const CENTRED: bool>(x: Tensor<D>, Affine { gamma, beta, epsilon }: &Affine) -> Tensor<D> {
    map_rows(
        x,
        #[inline(always)]
        |_, row| {
            let (mean, factor) = moments::<CENTRED>(row, *epsilon);
            map_with(
                row,
                gamma,
                beta,
                #[inline(always)]
                |x, g, b| (x - mean) * factor * g + b,
            );
        },
    )
}

/// With `n` the normalised row and `h = gradient gamma`: `factor (h - mean(h) - n mean(h n))`, without `mean(h)` where it was not
/// centred.
fn back<const D: usize, const CENTRED: bool>(gradient: Tensor<D>, (x, affine): (Tensor<D>, Arc<Affine>)) -> Tensor<D> {
    let Affine { gamma, epsilon, .. } = &*affine;
    map_rows_with(
        gradient,
        x,
        #[inline(always)]
        |_, row, x| {
            let (mean, factor) = moments::<CENTRED>(x, *epsilon);
            map_with(
                row,
                gamma,
                gamma,
                #[inline(always)]
                |gradient, g, _| gradient * g,
            );
            let count = x.len() as f32;
            let sum = if CENTRED { total(row) / count } else { 0.0 };
            let weighed = products(row, 0.0, x, mean) / count;
            let slope = weighed * factor * factor;
            map_with(
                row,
                x,
                x,
                #[inline(always)]
                |h, x, _| factor * (h - sum - (x - mean) * slope),
            );
        },
    )
}

/// How many sums run side by side.
const LANES: usize = 16;
/// Numbers that are summed by themselves.
const PART: usize = 1 << 13;

/// The mean of a row, 0 where it is not to be centred, and `1 / sqrt(variance + epsilon)`.
#[inline(always)]
fn moments<const CENTRED: bool>(row: &[f32], epsilon: f32) -> (f32, f32) {
    let count = row.len() as f32;
    let mean = if CENTRED { total(row) / count } else { 0.0 };
    let variance = products(row, mean, row, mean) / count;
    (mean, (variance + epsilon).sqrt().recip())
}

/// A sum of sums, so that long rows lose nothing.
#[inline(always)]
fn total(row: &[f32]) -> f32 {
    let mut all = 0.0;
    for row in row.chunks(PART) {
        let mut sums = [0.0; LANES];
        let (whole, rest) = row.as_chunks::<LANES>();
        for row in whole {
            for i in 0..LANES {
                sums[i] += row[i];
            }
        }
        let (fours, rest) = rest.as_chunks::<4>();
        for row in fours {
            for i in 0..4 {
                sums[i] += row[i];
            }
        }
        for i in 0..rest.len() {
            sums[i] += rest[i];
        }
        all += math::sum(sums);
    }
    all
}

/// The same of `(a - from_a) (b - from_b)`.
#[inline(always)]
fn products(a: &[f32], from_a: f32, b: &[f32], from_b: f32) -> f32 {
    let mut all = 0.0;
    for (a, b) in a.chunks(PART).zip(b.chunks(PART)) {
        let mut sums = [0.0; LANES];
        let ((whole, a), (others, b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
        for (a, b) in whole.iter().zip(others) {
            for i in 0..LANES {
                sums[i] += (a[i] - from_a) * (b[i] - from_b);
            }
        }
        let ((fours, a), (others, b)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
        for (a, b) in fours.iter().zip(others) {
            for i in 0..4 {
                sums[i] += (a[i] - from_a) * (b[i] - from_b);
            }
        }
        for i in 0..a.len() {
            sums[i] += (a[i] - from_a) * (b[i] - from_b);
        }
        all += math::sum(sums);
    }
    all
}
