//! Scenes as pixels and pixels as scenes, and the random numbers of pre-training.

use burn::tensor::Device;
use counterpoint::Result;
use counterpoint_showo::{MagvitV2, picture, tokens};
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

/// The image codes of pictures.
pub fn codes(tokenizer: &MagvitV2, pictures: &[RgbImage]) -> Result<Vec<Vec<u32>>> {
    tokens::to_rows(tokenizer.encode(picture::pixels(pictures, SIZE as usize, &Device::flex())?)?)
}
