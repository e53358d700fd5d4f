//! Rotary position embedding, Llama's: the first half of a head's channels rotates with the second.

use burn::tensor::{DType, Device, Tensor, TensorData};

use crate::TextConfig;

/// The tables of one forward pass.
pub(crate) struct Rotary {
    cos: Tensor<4>,
    sin: Tensor<4>,
}

impl Rotary {
    /// Tables for tokens at `positions`, sequence by sequence, all equally many.
    pub(crate) fn new(config: &TextConfig, positions: &[Vec<usize>], device: &Device, dtype: DType) -> Self {
        let (width, half) = (config.head_width(), config.head_width() / 2);
        let base = config.rope_base() as f32;
        let frequencies: Vec<f32> = (0..half).map(|i| 1.0 / base.powf(2.0 * i as f32 / width as f32)).collect();
        let length = positions.first().map_or(0, Vec::len);
        let table = |of: fn(f32) -> f32| {
            let angles = positions.iter().flatten().flat_map(|&at| {
                let angles = frequencies.iter().map(move |frequency| at as f32 * frequency);
                angles.clone().chain(angles)
            });
            let values = TensorData::new(angles.map(of).collect::<Vec<f32>>(), [positions.len(), 1, length, width]);
            Tensor::<4>::from_data(values, (device, dtype))
        };
        Self { cos: table(f32::cos), sin: table(f32::sin) }
    }

    /// # Shapes
    /// `[batch, heads, length, width]`, in and out.
    pub(crate) fn apply(&self, x: Tensor<4>) -> Tensor<4> {
        let half = x.dims()[3] / 2;
        let (first, second) = (x.clone().narrow(3, 0, half), x.clone().narrow(3, half, half));
        let turned = Tensor::cat(vec![second.neg(), first], 3);
        x * self.cos.clone() + turned * self.sin.clone()
    }
}
