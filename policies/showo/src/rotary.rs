//! Rotary position embedding of a part of each head's channels.

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::config::PhiConfig;

/// The tables of one forward pass.
///
/// The rotation `x cos + rotate_half(x) sin` is written over all channels of a head, with cos 1 and sin 0 where nothing
/// rotates, and `rotate_half` as a product with a signed permutation: fewer passes over memory than slicing. The tables
/// are written out over batch and heads, because on the CPU a product of equal shapes is ten times faster than a
/// broadcast one, and they serve every layer.
pub(crate) struct Rotary {
    cos: Tensor<4>,
    sin: Tensor<4>,
    turn: Tensor<2>,
}

impl Rotary {
    /// Tables for `length` tokens per sequence, of which the first is at position `starts[sequence]`.
    pub(crate) fn new(config: &PhiConfig, starts: &[usize], length: usize, device: &Device, dtype: DType) -> Self {
        let (dim, half) = (config.head_dim(), config.rotary_dim() / 2);
        let batch = starts.len();
        let uniform = starts.windows(2).all(|pair| pair[0] == pair[1]);
        let starts = if uniform { &starts[..starts.len().min(1)] } else { starts };
        let frequencies: Vec<f32> =
            (0..half).map(|i| 1.0 / (config.rope_theta as f32).powf(2.0 * i as f32 / (2 * half) as f32)).collect();
        let mut cos = vec![1.0_f32; starts.len() * length * dim];
        let mut sin = vec![0.0_f32; cos.len()];
        for (row, position) in starts.iter().flat_map(|&start| start..start + length).enumerate() {
            for (i, frequency) in frequencies.iter().enumerate() {
                let (s, c) = (position as f32 * frequency).sin_cos();
                for at in [row * dim + i, row * dim + half + i] {
                    (cos[at], sin[at]) = (c, s);
                }
            }
        }
        let mut turn = vec![0.0_f32; dim * dim];
        for i in 0..half {
            turn[(half + i) * dim + i] = -1.0;
            turn[i * dim + half + i] = 1.0;
        }
        let table = |values: Vec<f32>| {
            let table = TensorData::new(values, [starts.len(), length, 1, dim]);
            Tensor::<4>::from_data(table, (device, dtype))
                .repeat_dim(0, batch / starts.len().max(1))
                .repeat_dim(2, config.num_attention_heads)
        };
        let turn = Tensor::<2>::from_data(TensorData::new(turn, [dim, dim]), (device, dtype));
        Self { cos: table(cos), sin: table(sin), turn }
    }

    /// # Shapes
    /// `[batch, length, heads, head_dim]`, in and out.
    pub(crate) fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, length, heads, dim] = x.dims();
        let turned = x.clone().reshape([batch * length * heads, dim]).matmul(self.turn.clone());
        x * self.cos.clone() + turned.reshape([batch, length, heads, dim]) * self.sin.clone()
    }
}
