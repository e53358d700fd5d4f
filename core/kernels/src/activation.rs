//! Activations of feed-forward blocks.

use std::f64::consts::FRAC_1_SQRT_2;

use burn::backend::Flex;
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops};
use burn::tensor::Tensor;
use burn::tensor::activation::{gelu as burn_gelu, sigmoid, silu};

use crate::math::{exp, normal_below, sigmoid as logistic};
use crate::rows::{map_numbers, map_rows, map_rows_with};
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
            Self::QuickGelu => x.clone() * sigmoid(x * 1.702),
        }
    }

    /// Of `x + bias`, where the numbers lie.
    ///
    /// # Shapes
    /// - x and result: `[b, l, d]`, bias: `[d]`
    pub fn apply_biased(self, x: Tensor<3>, bias: &[f32]) -> Tensor<3> {
        match self {
            Self::Gelu => map_rows(
                x,
                #[inline(always)]
                |_, row| {
                    for (x, b) in row.iter_mut().zip(bias) {
                        let y = *x + b;
                        *x = y * normal_below(y);
                    }
                },
            ),
            Self::QuickGelu => map_rows(
                x,
                #[inline(always)]
                |_, row| {
                    for (x, b) in row.iter_mut().zip(bias) {
                        let y = *x + b;
                        *x = y / (1.0 + exp(-1.702 * y));
                    }
                },
            ),
        }
    }
}

/// `value` of each number where it lies; where gradients flow `slope`, its derivative, is all that is kept for the way back. `elsewhere` of
/// an x that is elsewhere.
fn pass<const D: usize>(
    x: Tensor<D>,
    value: impl Fn(f32) -> f32 + Copy + Sync,
    slope: impl Fn(f32) -> f32 + Sync,
    elsewhere: impl FnOnce(Tensor<D>) -> Tensor<D>,
) -> Tensor<D> {
    if may_work_on(&x) {
        return map_numbers(x, value);
    }
    if !is_tracked_here(&x) {
        return elsewhere(x);
    }
    let recorded = |x: Tensor<D>| (map_numbers(x.clone(), value), map_numbers(x, slope));
    tracked(x.clone(), |x| map_numbers(x, value), recorded, |gradient, slope| gradient * slope)
        .unwrap_or_else(|| elsewhere(x))
}

/// `x Phi(x)` with the error function, on any device, with or without gradients.
///
/// Not burn's where gradients flow: but for its CPU backend, burn 0.22 takes the derivative of the other GELU, of tanh, on the way back, which
/// is off by up to 1e-3 (docs/upstream.md).
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    pass(x, gelu_of, gelu_slope, |x| match x.is_autodiff() {
        false => burn_gelu(x),
        true => {
            let below = (x.clone() * FRAC_1_SQRT_2).erf();
            x * (below * 0.5 + 0.5)
        }
    })
}

#[inline(always)]
fn gelu_of(x: f32) -> f32 {
    x * normal_below(x)
}

/// `Phi(x) + x phi(x)`.
#[inline(always)]
fn gelu_slope(x: f32) -> f32 {
    /// 1 / sqrt(2 pi)
    const DENSITY: f32 = 0.398_942_3;
    normal_below(x) + x * DENSITY * exp(-0.5 * x * x)
}

/// `2 u(x)` of [`gelu_tanh`] is `x (LINEAR + CUBIC x^2)`.
const LINEAR: f32 = 1.595_769; // 2 sqrt(2/pi)
const CUBIC: f32 = 0.044_715 * LINEAR;

/// `x/2 (1 + tanh(u))` with `u = sqrt(2/pi) (x + 0.044715 x^3)`: GELU as GPT-2 and Phi have it, on any device, with or without
/// gradients.
///
/// It is `x s` with `s = sigmoid(2u)`; where gradients flow the derivative `s (1 + x (1 - s) 2u')` is computed along with the value,
/// and is all that is kept for the way back.
pub fn gelu_tanh<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    pass(x, gelu_tanh_of, gelu_tanh_slope, gelu_tanh_by_burn)
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

#[inline(always)]
fn gelu_tanh_of(x: f32) -> f32 {
    x * logistic(x * (CUBIC * x * x + LINEAR))
}

#[inline(always)]
fn gelu_tanh_slope(x: f32) -> f32 {
    let square = x * x;
    let gate = logistic(x * (CUBIC * square + LINEAR));
    gate * (1.0 + x * (1.0 - gate) * (3.0 * CUBIC * square + LINEAR))
}

/// `x sigmoid(x) y`: the gate of SwiGLU and what it lets through, on any device, with or without gradients.
pub fn silu_gate<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Tensor<D> {
    if may_work_on(&x) && may_work_on(&y) {
        return map_rows_with(
            x,
            y,
            #[inline(always)]
            |_, row, other| {
                for (x, y) in row.iter_mut().zip(other) {
                    *x *= logistic(*x) * y;
                }
            },
        );
    }
    if is_tracked_here(&x) && is_tracked_here(&y) {
        return gate_tracked(x, y).unwrap_or_else(|| elsewhere());
    }
    pass(x, silu_of, silu_slope, silu) * y
}

fn gate_tracked<const D: usize>(x: Tensor<D>, y: Tensor<D>) -> Option<Tensor<D>> {
    let ((x, of_x), (y, of_y)) = (split(x)?, split(y)?);
    let result = silu_gate(x.clone(), y.clone());
    record(Gate::<D>, [of_x, of_y], (x, y), result)
}

#[derive(Debug)]
struct Gate<const D: usize>;

impl<const D: usize> Backward<Flex, 2> for Gate<D> {
    type State = (Tensor<D>, Tensor<D>);

    /// With g of the result: `dx = g y silu'(x)`, `dy = g silu(x)`.
    fn backward(self, ops: Ops<Self::State, 2>, gradients: &mut Gradients, _checkpointer: &mut Checkpointer) {
        let ([of_x, of_y], gradient, (x, y)) = opened::<_, 2, D>(ops, gradients);
        register(gradients, of_y, || {
            map_rows_with(
                gradient.clone(),
                x.clone(),
                #[inline(always)]
                |_, row, x| {
                    for (g, x) in row.iter_mut().zip(x) {
                        *g *= silu_of(*x);
                    }
                },
            )
        });
        register(gradients, of_x, || {
            let let_through = map_rows_with(
                gradient,
                y,
                #[inline(always)]
                |_, row, y| {
                    for (g, y) in row.iter_mut().zip(y) {
                        *g *= y;
                    }
                },
            );
            map_rows_with(
                let_through,
                x,
                #[inline(always)]
                |_, row, x| {
                    for (g, x) in row.iter_mut().zip(x) {
                        *g *= silu_slope(*x);
                    }
                },
            )
        });
    }
}

#[inline(always)]
fn silu_of(x: f32) -> f32 {
    x * logistic(x)
}

/// `s (1 + x (1 - s))` with `s = sigmoid(x)`.
#[inline(always)]
fn silu_slope(x: f32) -> f32 {
    let gate = logistic(x);
    gate * (1.0 + x * (1.0 - gate))
}
