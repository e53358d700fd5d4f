//! The few tensor operations that the towers share.

use burn::nn::conv::Conv2d;
use burn::tensor::module::{attention, linear};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, Tensor};

/// Scales the vectors along the last axis of `x` to length 1.
///
/// # Shapes
/// - x and result: `[..., d]`; a zero vector stays zero.
pub fn l2_normalise<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    let norm = x.clone().square().sum_dim(D - 1).sqrt().clamp_min(1e-12);
    x / norm
}

/// Cosine of each row of `a` with the same row of `b`.
///
/// # Shapes
/// - a, b: `[n, d]`
/// - result: `[n]`, in -1..=1 up to rounding
pub fn cosine(a: Tensor<2>, b: Tensor<2>) -> Tensor<1> {
    (l2_normalise(a) * l2_normalise(b)).sum_dim(1).squeeze_dim(1)
}

/// Multi-head scaled dot-product attention.
///
/// # Shapes
/// - q: `[b, lq, h]`, k, v: `[b, lk, h]`
/// - keep: `[b, lk]`, true where a key may be attended
/// - result: `[b, lq, h]`
pub(crate) fn attend(
    q: Tensor<3>,
    k: Tensor<3>,
    v: Tensor<3>,
    heads: usize,
    keep: Option<&Tensor<2, Bool>>,
) -> Tensor<3> {
    let [batch, queries, hidden] = q.dims();
    let keys = k.dims()[1];
    let split = |x: Tensor<3>, length| x.reshape([batch, length, heads, hidden / heads]).swap_dims(1, 2);
    let hide =
        keep.map(|keep| keep.clone().bool_not().reshape([batch, 1, 1, keys]).expand([batch, heads, queries, keys]));
    let out =
        attention(split(q, queries), split(k, keys), split(v, keys), hide, None, AttentionModuleOptions::default());
    out.swap_dims(1, 2).reshape([batch, queries, hidden])
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
    let patches = pixels
        .slice([0..batch, 0..channels, 0..rows * patch, 0..columns * patch])
        .reshape([batch, channels, rows, patch, columns, patch])
        .permute([0, 2, 4, 1, 3, 5])
        .reshape([batch, rows * columns, channels * patch * patch]);
    let weight = weight.reshape([d, channels * patch * patch]).transpose();
    linear(patches, weight, conv.bias.as_ref().map(|b| b.val()))
}
