//! Drawing from a categorical distribution with one uniform: inversion of the cumulative distribution, on the device.

use burn::tensor::{Int, Tensor};

/// The smallest index whose cumulative probability exceeds the uniform.
///
/// # Shapes
/// `probs` `[B, K]`, non-negative, of any positive sum; `uniforms` `[B, 1]` in (0, 1); output `[B, 1]`.
pub(crate) fn invert_cdf(probs: Tensor<2>, uniforms: Tensor<2>) -> Tensor<2, Int> {
    let classes = probs.dims()[1];
    let cdf = probs.cumsum(1);
    // Scaled by the actual total, so that rounding of the sum cannot leave the last uniforms without a class.
    let target = cdf.clone().narrow(1, classes - 1, 1) * uniforms;
    cdf.lower_equal(target.expand([-1, classes as i64])).int().sum_dim(1).clamp_max(classes as i64 - 1)
}
