//! Rotary position embedding, Llama's: the first half of a head's channels turns with the second.

use burn::tensor::{DType, Device};
use counterpoint_kernels::Rotation;

use crate::TextConfig;

/// What turns tokens at `positions`, sequence by sequence, all equally many.
pub(crate) fn rotation(config: &TextConfig, positions: &[Vec<usize>], device: &Device, dtype: DType) -> Rotation {
    let (width, half) = (config.head_width(), config.head_width() / 2);
    let base = config.rope_base() as f32;
    let frequencies: Vec<f32> = (0..half).map(|i| 1.0 / base.powf(2.0 * i as f32 / width as f32)).collect();
    let length = positions.first().map_or(0, Vec::len);
    let uniform = positions.windows(2).all(|pair| pair[0] == pair[1]);
    let rows = if uniform { &positions[..positions.len().min(1)] } else { positions };
    let turned = rows.iter().flatten().flat_map(|&at| frequencies.iter().map(move |frequency| at as f32 * frequency));
    let angles: Vec<f32> = turned.collect();
    Rotation::new(&angles, half, [positions.len(), length, config.num_attention_heads, width], device, dtype)
}
