//! Layer norm, RMS norm and group norm.

use std::sync::Arc;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::nn::{GroupNorm, LayerNorm, RmsNorm};
use burn::tensor::Tensor;
use burn::tensor::activation::silu;
use pulp::Simd;

use crate::lanes::{Vectors, map};
use crate::product::with_numbers;
use crate::rows::{OnRow, by_rows, map_rows};
use crate::tracked::{elsewhere, opened, record, register, split, split_some, tracked};
use crate::{is_tracked_here, may_work_on, numbers};

/// `norm`, whose epsilon this is, on `x`, on any device, with or without gradients.
///
/// # Shapes
/// `[.., d]`, in and out.
pub fn layer_norm<const D: usize>(norm: &LayerNorm, epsilon: f64, x: Tensor<D>) -> Tensor<D> {
    if !is_tracked_here(&x) {
        return norm.forward(x);
    }
    let by = Norm { gamma: norm.gamma.val(), beta: norm.beta.as_ref().map(|beta| beta.val()), epsilon, centred: true };
    by_rows(x, |x| by.tracked(x))
}

/// `norm` on `x`, on any device, with or without gradients.
///
/// # Shapes
/// `[.., d]`, in and out.
pub fn rms_norm<const D: usize>(norm: &RmsNorm, x: Tensor<D>) -> Tensor<D> {
    let (here, tracked_here) = (may_work_on(&x), is_tracked_here(&x));
    if !here && !tracked_here {
        return norm.forward(x);
    }
    let by = Norm { gamma: norm.gamma.val(), beta: None, epsilon: norm.epsilon, centred: false };
    by_rows(x, |x| if here { by.affine(|vector| vector).forward(x) } else { by.tracked(x) })
}

/// `norm` on `x`, on any device, with or without gradients.
///
/// # Shapes
/// `[b, channels, h, w]`, in and out.
pub fn group_norm(norm: &GroupNorm, x: Tensor<4>) -> Tensor<4> {
    match may_work_on(&x) {
        true => grouped(norm, x, false),
        false => norm.forward(x),
    }
}

/// SiLU of [`group_norm`].
///
/// # Shapes
/// `[b, channels, h, w]`, in and out.
pub fn group_norm_silu(norm: &GroupNorm, x: Tensor<4>) -> Tensor<4> {
    match may_work_on(&x) {
        true => grouped(norm, x, true),
        false => silu(norm.forward(x)),
    }
}

/// A row for each group of each image.
fn grouped(norm: &GroupNorm, x: Tensor<4>, with_silu: bool) -> Tensor<4> {
    let shape = x.dims();
    let [batch, channels, height, width] = shape;
    let (groups, area) = (norm.num_groups, (height * width).max(1));
    let vector = |values: Option<Tensor<1>>, default: f32| values.map_or_else(|| vec![default; channels], numbers);
    let gamma = vector(norm.gamma.as_ref().map(|gamma| gamma.val()), 1.0);
    let beta = vector(norm.beta.as_ref().map(|beta| beta.val()), 0.0);
    let of_group = channels / groups;
    let rows: Tensor<2> = x.reshape([batch * groups, of_group * height * width]);
    let epsilon = norm.epsilon as f32;
    map_rows(rows, Groups { gamma, beta, epsilon, groups, of_group, area, with_silu }).reshape(shape)
}

/// The groups of every image, in whose rows each channel has an area.
struct Groups {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    epsilon: f32,
    groups: usize,
    of_group: usize,
    area: usize,
    with_silu: bool,
}

impl OnRow for Groups {
    #[inline(always)]
    fn on_row<S: Simd>(&self, simd: S, i: usize, row: &mut [f32]) {
        let (mean, factor) = moments(simd, row, true, self.epsilon);
        let first = i % self.groups * self.of_group;
        for (channel, row) in (first..).zip(row.chunks_mut(self.area)) {
            let (scale, shift) = (factor * self.gamma[channel], self.beta[channel]);
            if self.with_silu {
                map(
                    simd,
                    row,
                    [],
                    #[inline(always)]
                    |x, []| {
                        let y = (x - mean) * scale + shift;
                        y * y.sigmoid()
                    },
                );
            } else {
                map(
                    simd,
                    row,
                    [],
                    #[inline(always)]
                    |x, []| (x - mean) * scale + shift,
                );
            }
        }
    }
}

/// Layer norm, or RMS norm where it is not `centred` around its mean.
struct Norm {
    gamma: Tensor<1>,
    beta: Option<Tensor<1>>,
    epsilon: f64,
    centred: bool,
}

impl Norm {
    fn affine(self, inner: impl Fn(Tensor<1>) -> Tensor<1>) -> Affine {
        let (gamma, beta) = (numbers(inner(self.gamma)), self.beta.map(|beta| numbers(inner(beta))));
        let beta = beta.unwrap_or_else(|| vec![0.0; gamma.len()]);
        Affine { gamma, beta, epsilon: self.epsilon as f32, centred: self.centred }
    }

    /// Where gradients flow.
    fn tracked(self, x: Tensor<2>) -> Tensor<2> {
        if self.gamma.is_tracked() || self.beta.as_ref().is_some_and(Tensor::is_tracked) {
            return self.trained(x).unwrap_or_else(|| elsewhere());
        }
        let affine = Arc::new(self.affine(Tensor::inner));
        let recorded = |x: Tensor<2>| (affine.forward(x.clone()), (x, affine.clone()));
        let back = |gradient, (x, affine): (Tensor<2>, Arc<Affine>)| affine.back(gradient, x);
        tracked(x, |x| affine.forward(x), recorded, back).unwrap_or_else(|| elsewhere())
    }

    /// Where what is multiplied with, or what is added, is trained; none of tensors that are elsewhere.
    fn trained(self, x: Tensor<2>) -> Option<Tensor<2>> {
        let Self { gamma, beta, epsilon, centred } = self;
        let device = x.device();
        let ((x, of_x), (gamma, of_gamma), (beta, of_beta)) = (split(x)?, split(gamma)?, split_some(beta, &device)?);
        let affine = Arc::new(Self { gamma, beta, epsilon, centred }.affine(|vector| vector));
        let y = affine.forward(x.clone());
        record(Trained, [of_x, of_gamma, of_beta], (x, affine), y)
    }
}

#[derive(Debug)]
struct Trained;

impl Backward<Flex, 3> for Trained {
    type State = (Tensor<2>, Arc<Affine>);

    fn backward(self, ops: Ops<Self::State, 3>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ([of_x, of_gamma, of_beta], gradient, (x, affine)) = opened::<_, 3, 2>(ops, gradients);
        let sum = |rows: Tensor<2>| rows.sum_dim(0).squeeze_dim::<1>(0);
        register(gradients, of_gamma, || sum(affine.normalised_times(x.clone(), gradient.clone())));
        register(gradients, of_beta, || sum(gradient.clone()));
        register(gradients, of_x, || affine.back(gradient, x));
    }
}

/// What a normalised row is multiplied with, and what is added to it.
#[derive(Debug)]
struct Affine {
    gamma: Vec<f32>,
    beta: Vec<f32>,
    epsilon: f32,
    centred: bool,
}

impl Affine {
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        map_rows(x, self)
    }

    fn back(&self, gradient: Tensor<2>, x: Tensor<2>) -> Tensor<2> {
        with_numbers(x, |x| map_rows(gradient, Back { affine: self, x }))
    }

    /// Each row of `x` normalised, times that of `gradient`.
    fn normalised_times(&self, x: Tensor<2>, gradient: Tensor<2>) -> Tensor<2> {
        with_numbers(gradient, |gradient| map_rows(x, NormalisedTimes { affine: self, gradient }))
    }

    #[inline(always)]
    fn moments<S: Simd>(&self, simd: S, row: &[f32]) -> (f32, f32) {
        moments(simd, row, self.centred, self.epsilon)
    }
}

impl OnRow for &Affine {
    #[inline(always)]
    fn on_row<S: Simd>(&self, simd: S, _i: usize, row: &mut [f32]) {
        let (mean, factor) = self.moments(simd, row);
        map(
            simd,
            row,
            [&self.gamma, &self.beta],
            #[inline(always)]
            |x, [g, b]| ((x - mean) * factor).times_plus(g, b),
        );
    }
}

/// Makes of the gradient of each row of the result that of the row of `x`.
struct Back<'a> {
    affine: &'a Affine,
    x: &'a [f32],
}

impl OnRow for Back<'_> {
    /// With `n` the normalised row and `h = gradient gamma`: `factor (h - mean(h) - n mean(h n))`, without `mean(h)` where it was not
    /// centred.
    #[inline(always)]
    fn on_row<S: Simd>(&self, simd: S, i: usize, row: &mut [f32]) {
        let x = &self.x[i * row.len()..][..row.len()];
        let (mean, factor) = self.affine.moments(simd, x);
        map(
            simd,
            row,
            [&self.affine.gamma],
            #[inline(always)]
            |gradient, [g]| gradient * g,
        );
        let count = x.len() as f32;
        let sum = if self.affine.centred { total(simd, row) / count } else { 0.0 };
        let slope = products(simd, [row, x], [0.0, mean]) / count * factor * factor;
        map(
            simd,
            row,
            [x],
            #[inline(always)]
            |h, [x]| ((x - mean) * -slope + (h - sum)) * factor,
        );
    }
}

struct NormalisedTimes<'a> {
    affine: &'a Affine,
    gradient: &'a [f32],
}

impl OnRow for NormalisedTimes<'_> {
    #[inline(always)]
    fn on_row<S: Simd>(&self, simd: S, i: usize, row: &mut [f32]) {
        let (mean, factor) = self.affine.moments(simd, row);
        map(
            simd,
            row,
            [&self.gradient[i * row.len()..]],
            #[inline(always)]
            |x, [g]| (x - mean) * factor * g,
        );
    }
}

/// Numbers that are summed by themselves, so that long rows lose nothing.
const PART: usize = 1 << 13;

/// The mean of a row, 0 where it is not to be centred, and `1 / sqrt(variance + epsilon)`.
#[inline(always)]
fn moments<S: Simd>(simd: S, row: &[f32], centred: bool, epsilon: f32) -> (f32, f32) {
    let count = row.len() as f32;
    let mean = if centred { total(simd, row) / count } else { 0.0 };
    let variance = products(simd, [row, row], [mean, mean]) / count;
    (mean, (variance + epsilon).sqrt().recip())
}

/// The sum of a row.
#[inline(always)]
fn total<S: Simd>(simd: S, row: &[f32]) -> f32 {
    let mut all = 0.0;
    for part in row.chunks(PART) {
        all += Vectors::of(simd, part).sum();
    }
    all
}

/// The same of the products of two rows from which `less` was taken.
#[inline(always)]
fn products<S: Simd>(simd: S, [a, b]: [&[f32]; 2], less: [f32; 2]) -> f32 {
    let mut all = 0.0;
    for (a, b) in a.chunks(PART).zip(b.chunks(PART)) {
        let (a, b) = (Vectors::of(simd, a), Vectors::of(simd, b));
        // What fills the last ones up comes to 0.
        let mut sums = (a.last(less[0]) - less[0]) * (b.last(less[1]) - less[1]);
        for i in 0..a.whole() {
            sums = (a.at(i) - less[0]).times_plus(b.at(i) - less[1], sums);
        }
        all += sums.sum();
    }
    all
}
