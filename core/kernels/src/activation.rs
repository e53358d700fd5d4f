//! Activations of feed-forward blocks.

use std::f64::consts::FRAC_1_SQRT_2;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::Tensor;
use burn::tensor::activation::{gelu as burn_gelu, sigmoid, silu};
use pulp::Simd;

use crate::lanes::{Lanes, map};
use crate::product::with_numbers;
use crate::rows::{OnRow, by_rows, map_rows, matrix};
use crate::tracked::{elsewhere, opened, record, register, split, tracked};
use crate::{is_tracked_here, may_work_on};

/// What follows the widening projection of a feed-forward block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x Phi(x)`, with the error function.
    Gelu,
    /// `x sigmoid(1.702 x)`, CLIP's.
    QuickGelu,
}

impl Activation {
    /// On any device.
    pub fn apply(self, x: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Gelu => gelu(x),
            Self::QuickGelu if is_passable(&x) => by_rows(x, |x| pass(x, QuickGelu)),
            Self::QuickGelu => x.clone() * sigmoid(x * QuickGelu::STEEPNESS),
        }
    }

    /// Of `x + bias`, where the numbers lie.
    ///
    /// # Shapes
    /// - x and result: `[b, l, d]`, bias: `[d]`
    pub fn apply_biased(self, x: Tensor<3>, bias: &[f32]) -> Tensor<3> {
        match self {
            Self::Gelu => map_rows(x, Biased(bias, Gelu)),
            Self::QuickGelu => map_rows(x, Biased(bias, QuickGelu)),
        }
    }
}

/// A function of each number. `#[inline(always)]`, with all that it calls.
trait Curve: Sync {
    /// The function and its derivative.
    fn at<S: Simd>(x: Lanes<S>) -> [Lanes<S>; 2];
}

/// The function of each number, or its derivative: which of the two.
struct Of<C, const WHICH: usize>(C);

const VALUE: usize = 0;
const SLOPE: usize = 1;

impl<C: Curve, const WHICH: usize> OnRow for Of<C, WHICH> {
    #[inline(always)]
    fn on_row<S: Simd>(&self, simd: S, _i: usize, row: &mut [f32]) {
        map(
            simd,
            row,
            [],
            #[inline(always)]
            |x, []| C::at(x)[WHICH],
        );
    }
}

/// The function of the sum of each number and the one of its column.
struct Biased<'a, C>(&'a [f32], C);

impl<C: Curve> OnRow for Biased<'_, C> {
    #[inline(always)]
    fn on_row<S: Simd>(&self, simd: S, _i: usize, row: &mut [f32]) {
        map(
            simd,
            row,
            [self.0],
            #[inline(always)]
            |x, [bias]| C::at(x + bias)[VALUE],
        );
    }
}

/// Whether a [`pass`] over the numbers of x is possible.
fn is_passable<const D: usize>(x: &Tensor<D>) -> bool {
    may_work_on(x) || is_tracked_here(x)
}

/// `curve` of each number where it lies; where gradients flow its derivative is all that is kept for the way back.
fn pass<C: Curve + Copy>(x: Tensor<2>, curve: C) -> Tensor<2> {
    let value = |x| map_rows(x, Of::<_, VALUE>(curve));
    if may_work_on(&x) {
        return value(x);
    }
    let recorded = |x: Tensor<2>| (value(x.clone()), map_rows(x, Of::<_, SLOPE>(curve)));
    tracked(x, value, recorded, times).unwrap_or_else(|| elsewhere())
}

/// `a b` number by number, on all cores, as burn does it on one.
fn times(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    with_numbers(b, |b| map_rows(a, Times(b)))
}

struct Times<'a>(&'a [f32]);

impl OnRow for Times<'_> {
    #[inline(always)]
    fn on_row<S: Simd>(&self, simd: S, i: usize, row: &mut [f32]) {
        let by = &self.0[i * row.len()..];
        map(
            simd,
            row,
            [by],
            #[inline(always)]
            |x, [by]| x * by,
        );
    }
}

/// `x Phi(x)` with the error function, on any device, with or without gradients.
///
/// Not burn's where gradients flow: but for its CPU backend, burn 0.22 takes the derivative of the other GELU, of tanh, on the way back, which
/// is off by up to 1e-3 (docs/upstream.md).
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    if is_passable(&x) {
        return by_rows(x, gelu_pass);
    }
    if !x.is_autodiff() {
        return burn_gelu(x);
    }
    let below = (x.clone() * FRAC_1_SQRT_2).erf();
    x * (below * 0.5 + 0.5)
}

fn gelu_pass(x: Tensor<2>) -> Tensor<2> {
    pass(x, Gelu)
}

#[derive(Clone, Copy)]
struct Gelu;

impl Curve for Gelu {
    /// The derivative is `Phi(x) + x phi(x)`.
    #[inline(always)]
    fn at<S: Simd>(x: Lanes<S>) -> [Lanes<S>; 2] {
        /// 1 / sqrt(2 pi)
        const DENSITY: f32 = 0.398_942_3;
        let below = x.normal_below();
        [x * below, below + x * DENSITY * (x * x * -0.5).exp()]
    }
}

#[derive(Clone, Copy)]
struct QuickGelu;

impl QuickGelu {
    const STEEPNESS: f32 = 1.702;
}

impl Curve for QuickGelu {
    #[inline(always)]
    fn at<S: Simd>(x: Lanes<S>) -> [Lanes<S>; 2] {
        let steep = x * Self::STEEPNESS;
        let gate = steep.sigmoid();
        [x * gate, gate * (steep * (gate * -1.0 + 1.0) + 1.0)]
    }
}

/// `2 u(x)` of [`gelu_tanh`] is `x (LINEAR + CUBIC x^2)`.
const LINEAR: f32 = 1.595_769; // 2 sqrt(2/pi)
const CUBIC: f32 = 0.044_715 * LINEAR;

/// `x/2 (1 + tanh(u))` with `u = sqrt(2/pi) (x + 0.044715 x^3)`: GELU as GPT-2 and Phi have it, on any device, with or without
/// gradients.
///
/// It is `x s` with `s = sigmoid(2u)`; where gradients flow the derivative `s (1 + x (1 - s) 2u')` is all that is kept for
/// the way back.
pub fn gelu_tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    match is_passable(&x) {
        true => by_rows(x, gelu_tanh_pass),
        false => gelu_tanh_by_burn(x),
    }
}

fn gelu_tanh_pass(x: Tensor<2>) -> Tensor<2> {
    pass(x, GeluTanh)
}

#[derive(Clone, Copy)]
struct GeluTanh;

impl Curve for GeluTanh {
    #[inline(always)]
    fn at<S: Simd>(x: Lanes<S>) -> [Lanes<S>; 2] {
        let square = x * x;
        let gate = (x * (square * CUBIC + LINEAR)).sigmoid();
        [x * gate, gate * (x * (gate * -1.0 + 1.0) * (square * (3.0 * CUBIC) + LINEAR) + 1.0)]
    }
}

fn gelu_tanh_by_burn<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let gate = |x: &Tensor<D>| sigmoid((x.clone() * x.clone() * CUBIC + LINEAR) * x.clone());
    if !x.is_autodiff() {
        let gate = gate(&x);
        return x * gate;
    }
    let device = x.device();
    let constant = |inner| counterpoint::device::constant(inner, &device);
    let inner = x.clone().inner();
    let gate = gate(&inner);
    let slope = (inner.clone() * inner.clone() * (3.0 * CUBIC) + LINEAR) * inner.clone();
    let slope = ((gate.clone().neg() + 1.0) * slope + 1.0) * gate.clone();
    let difference = x - constant(inner.clone());
    difference * constant(slope) + constant(inner * gate)
}

/// `x sigmoid(x) y`: the gate of SwiGLU and what it lets through, on any device, with or without gradients.
pub fn silu_gate<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<D> {
    if may_work_on(&x) && may_work_on(&y) {
        by_rows(x, |x| gate(x, matrix(y)))
    } else if is_tracked_here(&x) && is_tracked_here(&y) {
        by_rows(x, |x| gate_tracked(x, matrix(y)).unwrap_or_else(|| elsewhere()))
    } else {
        silu(x) * y
    }
}

fn gate(x: Tensor<2>, y: Tensor<2>) -> Tensor<2> {
    with_numbers(y, |y| map_rows(x, Gated(y)))
}

/// SiLU of each number, times the one in its place.
struct Gated<'a>(&'a [f32]);

impl OnRow for Gated<'_> {
    #[inline(always)]
    fn on_row<S: Simd>(&self, simd: S, i: usize, row: &mut [f32]) {
        map(
            simd,
            row,
            [&self.0[i * row.len()..]],
            #[inline(always)]
            |x, [y]| Silu::at(x)[VALUE] * y,
        );
    }
}

#[derive(Clone, Copy)]
struct Silu;

impl Curve for Silu {
    #[inline(always)]
    fn at<S: Simd>(x: Lanes<S>) -> [Lanes<S>; 2] {
        let gate = x.sigmoid();
        [x * gate, gate * (x * (gate * -1.0 + 1.0) + 1.0)]
    }
}

fn gate_tracked(x: Tensor<2>, y: Tensor<2>) -> Option<Tensor<2>> {
    let ((x, of_x), (y, of_y)) = (split(x)?, split(y)?);
    let result = gate(x.clone(), y.clone());
    record(Gate, [of_x, of_y], (x, y), result)
}

#[derive(Debug)]
struct Gate;

impl Backward<Flex, 2> for Gate {
    type State = (Tensor<2>, Tensor<2>);

    /// With g of the result: `dx = g y silu'(x)`, `dy = g silu(x)`.
    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ([of_x, of_y], gradient, (x, y)) = opened::<_, 2, 2>(ops, gradients);
        register(gradients, of_y, || times(gradient.clone(), map_rows(x.clone(), Of::<_, VALUE>(Silu))));
        register(gradients, of_x, || times(times(gradient, y), map_rows(x, Of::<_, SLOPE>(Silu))));
    }
}
