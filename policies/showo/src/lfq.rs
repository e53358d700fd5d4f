//! Look-up-free quantisation: a code is the signs of the latents, most significant bit first.

use burn::tensor::activation::sigmoid;
use burn::tensor::{FloatDType, Int, Tensor, TensorData};

/// Codes of latents, row by row.
///
/// # Shapes
/// `[B, bits, h, w]` to `[B, h * w]`, values below `2^bits`.
pub fn codes(latents: Tensor<4>) -> Tensor<2, Int> {
    let [batch, bits, height, width] = latents.dims();
    let powers: Vec<i32> = (0..bits).rev().map(|bit| 1 << bit).collect();
    let powers = Tensor::<4, Int>::from_data(TensorData::new(powers, [1, bits, 1, 1]), &latents.device());
    let set = latents.greater_elem(0.0).int();
    (set * powers).sum_dim(1).reshape([batch, height * width])
}

/// The +1/-1 latents of codes.
///
/// # Shapes
/// `[B, side * side]` to `[B, bits, side, side]`.
pub fn bits(codes: Tensor<2, Int>, bits: usize, side: usize) -> Tensor<4> {
    let batch = codes.dims()[0];
    let planes = (0..bits)
        .rev()
        .map(|bit| codes.clone().bitwise_right_shift_scalar(bit as i32).bitwise_and_scalar(1))
        .collect::<Vec<_>>();
    let set: Tensor<3, Int> = Tensor::stack(planes, 1);
    set.cast(FloatDType::F32).mul_scalar(2.0).sub_scalar(1.0).reshape([batch, bits, side, side])
}

/// Quantised latents whose gradient passes straight through to `latents`.
///
/// # Shapes
/// `[B, bits, h, w]`, in and out.
pub fn straight_through(latents: Tensor<4>) -> Tensor<4> {
    latents.clone() + (quantised(latents.clone()) - latents).detach()
}

/// The quantiser's two training losses.
#[derive(Debug, Clone)]
pub struct LfqLosses {
    /// Mean squared distance of the latents to their quantised values.
    ///
    /// # Shapes
    /// `[1]`
    pub commitment: Tensor<1>,
    /// Mean entropy of each latent's sign minus the entropy of its mean over the batch, in nats: low when every latent
    /// is decided and both signs are used.
    ///
    /// # Shapes
    /// `[1]`
    pub entropy: Tensor<1>,
}

/// Commitment and entropy losses. `P(+1) = sigmoid(4 z)`: a softmax over the squared distances to +1 and -1.
///
/// # Shapes
/// `latents` `[B, bits, h, w]`.
pub fn losses(latents: Tensor<4>) -> LfqLosses {
    let commitment = (latents.clone() - quantised(latents.clone()).detach()).square().mean();
    let plus = sigmoid(latents * 4.0);
    let mean = plus.clone().mean_dim(0).mean_dim(2).mean_dim(3);
    LfqLosses { commitment, entropy: entropy(plus) - entropy(mean) }
}

fn entropy(plus: Tensor<4>) -> Tensor<1> {
    let plus = plus.clamp(1e-6, 1.0 - 1e-6);
    let minus = plus.clone().neg().add_scalar(1.0);
    (plus.clone() * plus.log() + minus.clone() * minus.log()).mean().neg()
}

fn quantised(latents: Tensor<4>) -> Tensor<4> {
    latents.greater_elem(0.0).cast(FloatDType::F32).mul_scalar(2.0).sub_scalar(1.0)
}
