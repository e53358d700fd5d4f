//! Scenes as pixels and pixels as scenes, and the random numbers of pre-training.

use burn::tensor::{Device, Int, Tensor, TensorData};
use counterpoint::{Error, Result};
use counterpoint_showo::MagvitV2;
use counterpoint_unifybench::scene::pretraining_scenes;
use counterpoint_unifybench::{Jitter, Renderer, SIZE, Scene, Truth};
use image::RgbImage;

/// SplitMix64: one seed, the same numbers everywhere.
pub struct Rng(pub u64);

impl Rng {
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// In `0..n`.
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.bits()) * n as u128) >> 64) as usize
    }

    pub fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// The benchmark's world.
pub struct World {
    pub renderer: Renderer,
    pub truth: Truth,
    /// Scenes that may be trained on.
    pub training: Vec<Scene>,
    /// The held-out facts.
    pub held_out: Vec<Scene>,
}

impl World {
    pub fn new() -> Result<Self> {
        Ok(Self {
            renderer: Renderer::new()?,
            truth: Truth::new()?,
            training: pretraining_scenes(),
            held_out: Scene::all().filter(Scene::is_held_out).collect(),
        })
    }

    /// A jittered image of `scene`.
    pub fn image(&self, scene: &Scene, rng: &mut Rng) -> RgbImage {
        self.renderer.render(scene, Jitter::new(rng.bits()))
    }
}

/// # Shapes
/// `[B, 3, 64, 64]` in [-1, 1].
pub fn pixels(images: &[RgbImage], device: &Device) -> Tensor<4> {
    let side = SIZE as usize;
    let mut values = Vec::with_capacity(images.len() * 3 * side * side);
    for image in images {
        for channel in 0..3 {
            values.extend(image.pixels().map(|p| f32::from(p.0[channel]) / 127.5 - 1.0));
        }
    }
    Tensor::from_data(TensorData::new(values, [images.len(), 3, side, side]), device)
}

/// The images of [`pixels`], clamped and rounded.
pub fn images(pixels: Tensor<4>) -> Result<Vec<RgbImage>> {
    let values = pixels.into_data().try_to_vec::<f32>().map_err(|e| Error::data(e.to_string()))?;
    let plane = (SIZE * SIZE) as usize;
    Ok(values
        .chunks(3 * plane)
        .map(|one| {
            RgbImage::from_fn(SIZE, SIZE, |x, y| {
                let at = (y * SIZE + x) as usize;
                let level =
                    |channel: usize| ((one[channel * plane + at] + 1.0) * 127.5).round().clamp(0.0, 255.0) as u8;
                image::Rgb([level(0), level(1), level(2)])
            })
        })
        .collect())
}

/// The image codes of pictures.
pub fn codes(tokenizer: &MagvitV2, pictures: &[RgbImage]) -> Result<Vec<Vec<u32>>> {
    let codes = tokenizer.encode(pixels(pictures, &Device::flex()))?;
    let count = codes.dims()[1];
    let flat: Vec<u32> = codes.into_data().iter::<i64>().map(|code| code as u32).collect();
    Ok(flat.chunks(count).map(<[u32]>::to_vec).collect())
}

/// Token ids as a tensor.
pub fn ids(rows: &[Vec<u32>], device: &Device) -> Tensor<2, Int> {
    let flat: Vec<i32> = rows.iter().flatten().map(|&id| id as i32).collect();
    Tensor::from_data(TensorData::new(flat, [rows.len(), rows.first().map_or(0, Vec::len)]), device)
}
