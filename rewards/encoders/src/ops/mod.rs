//! The tensor operations that the towers share.
//!
//! Matrices may be stored in half precision: their products are then taken in it, and all else is f32. On the CPU, without
//! gradients, what stands between two products is one pass over memory ([`counterpoint_kernels`]).

use burn::nn::conv::Conv2d;
use burn::nn::{Embedding, Linear};
use burn::tensor::{DType, Device, Int, Tensor};
use counterpoint_kernels::{add_bias, add_scaled, is_here, may_work_on, numbers};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

mod attention;

pub(crate) use attention::{Visible, attend};
pub(crate) use counterpoint_kernels::Activation;

/// Scales the vectors along the last axis of `x` to length 1.
///
/// # Shapes
/// - x and result: `[..., d]`; a zero vector stays zero.
pub fn l2_normalise<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let norm = x.clone().square().sum_dim(D - 1).sqrt().clamp_min(1e-12);
    x / norm
}

/// The dot product, of unit vectors the cosine, summed in double precision.
pub fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

/// Cosine of each row of `a` with the same row of `b`.
///
/// # Shapes
/// - a, b: `[n, d]`
/// - result: `[n]`, in -1..=1 up to rounding
pub fn cosine(a: Tensor<2>, b: Tensor<2>) -> Tensor<1> {
    (l2_normalise(a) * l2_normalise(b)).sum_dim(1).squeeze_dim(1)
}

/// The projection of `x`.
pub(crate) fn project(linear: &Linear, x: Tensor<3>) -> Tensor<3> {
    if !may_work_on(&x) {
        return burn_linear(linear, x);
    }
    let product = product(linear, x);
    match bias(linear) {
        Some(bias) => add_bias(product, &bias),
        None => product,
    }
}

/// The activation of a projection of `x`.
pub(crate) fn activate(linear: &Linear, x: Tensor<3>, activation: Activation) -> Tensor<3> {
    if !may_work_on(&x) {
        return activation.apply(burn_linear(linear, x));
    }
    activation.apply_biased(product(linear, x), &bias_or_zero(linear))
}

/// `residual` and, on top of it, a projection of `x`, which may be scaled channel by channel.
pub(crate) fn add_projection(
    linear: &Linear,
    x: Tensor<3>,
    scale: Option<Tensor<1>>,
    residual: Tensor<3>,
) -> Tensor<3> {
    if !(may_work_on(&x) && may_work_on(&residual)) {
        let projected = burn_linear(linear, x);
        return match scale {
            Some(scale) => residual + projected * scale.unsqueeze::<3>(),
            None => residual + projected,
        };
    }
    add_scaled(product(linear, x), &bias_or_zero(linear), scale.map(numbers).as_deref(), residual)
}

/// Rows of a table.
///
/// # Shapes
/// - ids: `[b, l]`, result: `[b, l, d]`
pub(crate) fn embed_tokens(table: &Embedding, ids: Tensor<2, Int>) -> Tensor<3> {
    table.forward(ids).cast(DType::F32)
}

/// The convolution of a ViT's patch embedding (kernel = stride = patch) as one matrix product.
///
/// # Shapes
/// - pixels: `[b, c, h, w]`; rows and columns beyond the last whole patch are left out, as a convolution does
/// - result: `[b, (h / patch) * (w / patch), d]`
pub(crate) fn embed_patches(conv: &Conv2d, pixels: Tensor<4>) -> Tensor<3> {
    let [batch, channels, height, width] = pixels.dims();
    let weight = conv.weight.val();
    let [d, _, patch, _] = weight.dims();
    let (rows, columns) = (height / patch, width / patch);
    let patches: Tensor<3> = pixels
        .slice([0..batch, 0..channels, 0..rows * patch, 0..columns * patch])
        .reshape([batch, channels, rows, patch, columns, patch])
        .permute([0, 2, 4, 1, 3, 5])
        .reshape([batch, rows * columns, channels * patch * patch]);
    let weight = weight.reshape([d, channels * patch * patch]).transpose();
    let linear = burn::tensor::module::linear(patches.cast(weight.dtype()), weight, None).cast(DType::F32);
    match &conv.bias {
        Some(bias) => linear + bias.val().unsqueeze::<3>(),
        None => linear,
    }
}

/// Rows (tokens) of a matrix product that are enough to keep a core busy.
const ROWS: usize = 256;

/// What `work` makes of the `batch` items of a tower's input, each `tokens` rows of a matrix product; it is given where a
/// piece of the batch begins and how long it is. On the CPU without gradients a large batch is cut into pieces that stay in
/// a core's cache, side by side on all cores; elsewhere it is one piece.
pub(crate) fn in_pieces<const D: usize>(
    batch: usize,
    tokens: usize,
    device: &Device,
    work: impl Fn(usize, usize) -> Tensor<D> + Sync,
) -> Tensor<D> {
    let items = (ROWS / tokens.max(1)).max(1);
    if batch <= items || !is_here(device) {
        return work(0, batch);
    }
    let pieces = (0..batch.div_ceil(items)).into_par_iter().map(|i| work(i * items, items.min(batch - i * items)));
    Tensor::cat(pieces.collect(), 0)
}

fn burn_linear(linear: &Linear, x: Tensor<3>) -> Tensor<3> {
    if linear.weight.dtype() == x.dtype() {
        return linear.forward(x);
    }
    let product = product(linear, x);
    match &linear.bias {
        Some(bias) => product + bias.val().unsqueeze::<3>(),
        None => product,
    }
}

/// The matrix product alone.
fn product(linear: &Linear, x: Tensor<3>) -> Tensor<3> {
    let weight = linear.weight.val();
    let dtype = x.dtype();
    burn::tensor::module::linear(x.cast(weight.dtype()), weight, None).cast(dtype)
}

fn bias(linear: &Linear) -> Option<Vec<f32>> {
    linear.bias.as_ref().map(|bias| numbers(bias.val()))
}

fn bias_or_zero(linear: &Linear) -> Vec<f32> {
    bias(linear).unwrap_or_else(|| vec![0.0; linear.weight.dims()[1]])
}
