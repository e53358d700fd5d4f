//! Rotary position embedding of a part of each head's channels.

use burn::tensor::{DType, Device};
use counterpoint_kernels::Rotation;

use crate::config::PhiConfig;

/// What turns `length` tokens per sequence, of which the first is at position `starts[sequence]`.
pub(crate) fn rotation(config: &PhiConfig, starts: &[usize], length: usize, device: &Device, dtype: DType) -> Rotation {
    let half = config.rotary_dim() / 2;
    let batch = starts.len();
    let uniform = starts.windows(2).all(|pair| pair[0] == pair[1]);
    let starts = if uniform { &starts[..starts.len().min(1)] } else { starts };
    let frequencies: Vec<f32> =
        (0..half).map(|i| 1.0 / (config.rope_theta as f32).powf(2.0 * i as f32 / (2 * half) as f32)).collect();
    let positions = starts.iter().flat_map(|&start| start..start + length);
    let angles: Vec<f32> =
        positions.flat_map(|at| frequencies.iter().map(move |frequency| at as f32 * frequency)).collect();
    Rotation::new(&angles, half, [batch, length, config.num_attention_heads, config.head_dim()], device, dtype)
}
