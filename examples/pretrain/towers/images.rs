//! Images as the towers will meet them: rendered with jitter, some blurred and noisy as a decoded image is.

use counterpoint::{Result, Stream};
use counterpoint_encoders::ImageProcessorConfig;
use counterpoint_encoders::preprocess::Size;
use counterpoint_unifybench::{Jitter, Renderer, Scene};
use image::{Rgb, RgbImage};

use super::draws::below;

/// The image processor of towers that see squares of `side` pixels.
pub(crate) fn processor(side: u32) -> ImageProcessorConfig {
    let size = Size::Exact { height: side, width: side };
    ImageProcessorConfig {
        size,
        crop_size: size,
        image_mean: [0.5; 3],
        image_std: [0.25; 3],
        ..ImageProcessorConfig::default()
    }
}

/// Draws scenes and spoils some of them.
pub(super) struct Images {
    renderer: Renderer,
}

impl Images {
    pub(super) fn new() -> Result<Self> {
        Ok(Self { renderer: Renderer::new()? })
    }

    /// Jittered; spoiled with probability `spoiled`.
    pub(super) fn draw(&self, scene: &Scene, spoiled: f32, stream: &mut Stream) -> RgbImage {
        let image = self.renderer.render(scene, Jitter::new(below(stream, 1 << 30) as u64));
        if stream.uniform() < spoiled { spoil(&image, stream) } else { image }
    }
}

/// Box blur of random strength, gain and noise.
fn spoil(image: &RgbImage, stream: &mut Stream) -> RgbImage {
    let radius = 1 + below(stream, 2) as i64;
    let share = stream.uniform();
    let noise = 30.0 * stream.uniform();
    let gain = 0.9 + 0.2 * stream.uniform();
    let (width, height) = (i64::from(image.width()), i64::from(image.height()));
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let mut sums = [0_f32; 3];
        let mut count = 0.0;
        for v in (i64::from(y) - radius).max(0)..=(i64::from(y) + radius).min(height - 1) {
            for u in (i64::from(x) - radius).max(0)..=(i64::from(x) + radius).min(width - 1) {
                for (sum, byte) in sums.iter_mut().zip(image.get_pixel(u as u32, v as u32).0) {
                    *sum += f32::from(byte);
                }
                count += 1.0;
            }
        }
        let sharp = image.get_pixel(x, y).0;
        Rgb(std::array::from_fn(|c| {
            // The sum of two uniforms is near enough to a bell.
            let grain = noise * (stream.uniform() + stream.uniform() - 1.0);
            let value = share * sums[c] / count + (1.0 - share) * f32::from(sharp[c]);
            (value * gain + grain).round().clamp(0.0, 255.0) as u8
        }))
    })
}
