//! Attention of queries to the keys they may see, scores and softmax in f32.

use burn::tensor::activation::softmax;
use burn::tensor::module::attention;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, DType, FloatDType, Tensor};
use counterpoint::device::is_cpu;

/// What is added to the score of a key that may not be attended.
const FORBIDDEN: f64 = -1e9;

/// Which keys may not be attended, in the form that one forward pass needs.
pub(crate) enum Mask {
    /// For the backend's one operation. Not as a bias: with one, burn 0.22 does without its fused kernels on a GPU.
    Fused(Tensor<4, Bool>),
    /// To be added to the scores.
    Bias(Tensor<4>),
}

impl Mask {
    /// # Shapes
    /// `allowed` `[B or 1, L, K]`, true where a query may attend a key.
    pub(crate) fn new(allowed: Tensor<3, Bool>, fused: bool, heads: usize) -> Self {
        let forbidden = allowed.bool_not().unsqueeze_dim::<4>(1);
        if fused {
            return Self::Fused(forbidden);
        }
        let bias = forbidden.cast(FloatDType::F32).mul_scalar(FORBIDDEN);
        // On the CPU a sum of equal shapes is much faster than a broadcast one, and the bias serves every layer.
        Self::Bias(if is_cpu(&bias.device()) { bias.repeat_dim(1, heads) } else { bias })
    }

    /// # Shapes
    /// `query` `[B, heads, L, D]`, `key` and `value` `[B, heads, K, D]`; output as `query`.
    pub(crate) fn attend(&self, query: Tensor<4>, key: Tensor<4>, value: Tensor<4>) -> Tensor<4> {
        match self {
            Self::Fused(forbidden) => {
                let options = AttentionModuleOptions::default();
                attention(query, key, value, Some(forbidden.clone()), None, options)
            }
            Self::Bias(bias) => {
                let dtype = value.dtype();
                let scale = (query.dims()[3] as f64).powf(-0.5);
                let (query, key) = (query.cast(DType::F32) * scale, key.cast(DType::F32));
                let scores = query.matmul(key.swap_dims(2, 3)) + bias.clone();
                softmax(scores, 3).cast(dtype).matmul(value)
            }
        }
    }
}
