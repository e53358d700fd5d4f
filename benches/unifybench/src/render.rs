//! Draws scenes. Integer arithmetic only: the same bytes on every machine.

use counterpoint::{Error, Result};
use image::{Rgb, RgbImage, RgbaImage};

use crate::rng::Rng;
use crate::scene::{Concept, Scene};
use crate::{SIZE, place, shape};

/// Where the subject's 40x40 picture lies, in pixels.
pub(crate) const SUBJECT_AT: (i32, i32) = (12, 18);
/// Width and height of a subject, in pixels.
pub(crate) const SUBJECT_SIZE: i32 = 40;

/// Small differences between the images of one scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jitter {
    /// Offset of the subject, -1 to 1 pixels right and down.
    subject: (i32, i32),
    /// Offset of the accessory, -1 to 1 pixels right and down.
    accessory: (i32, i32),
    /// Brightness in 256ths, 246 to 266 (about 4 % either way).
    gain: i32,
}

impl Jitter {
    /// No difference.
    pub const NONE: Self = Self { subject: (0, 0), accessory: (0, 0), gain: 256 };

    /// The differences that belong to `seed`.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut offset = || (rng.below(3) as i32 - 1, rng.below(3) as i32 - 1);
        let (subject, accessory) = (offset(), offset());
        Self { subject, accessory, gain: 246 + rng.below(21) as i32 }
    }
}

/// Draws scenes from the embedded photographs.
#[derive(Debug, Clone)]
pub struct Renderer {
    /// In the order of [`Concept::ALL`].
    subjects: Vec<RgbaImage>,
}

impl Renderer {
    /// A renderer with the embedded photographs.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when an embedded picture is damaged.
    pub fn new() -> Result<Self> {
        let subjects = Concept::ALL.iter().map(|&concept| decode(concept)).collect::<Result<_>>()?;
        Ok(Self { subjects })
    }

    /// The 40x40 picture of `concept`, with its mask as alpha.
    pub fn subject(&self, concept: Concept) -> &RgbaImage {
        &self.subjects[concept as usize]
    }

    /// The image of `scene`, 64x64 sRGB.
    pub fn render(&self, scene: &Scene, jitter: Jitter) -> RgbImage {
        let subject = self.subject(scene.concept);
        let ink = scene.colour.rgb();
        RgbImage::from_fn(SIZE, SIZE, |x, y| {
            let (x, y) = (x as i32, y as i32);
            let mut pixel = place::colour_at(scene.place, x, y);
            let (u, v) = (x - SUBJECT_AT.0 - jitter.subject.0, y - SUBJECT_AT.1 - jitter.subject.1);
            if (0..SUBJECT_SIZE).contains(&u) && (0..SUBJECT_SIZE).contains(&v) {
                pixel = over(subject.get_pixel(u as u32, v as u32).0, pixel);
            }
            if shape::covers(scene.accessory, x - jitter.accessory.0, y - jitter.accessory.1) {
                pixel = ink;
            }
            Rgb(pixel.map(|c| ((i32::from(c) * jitter.gain + 128) >> 8).min(255) as u8))
        })
    }
}

/// `top` blended over `below` by its alpha.
fn over(top: [u8; 4], below: [u8; 3]) -> [u8; 3] {
    let alpha = i32::from(top[3]);
    std::array::from_fn(|i| ((alpha * i32::from(top[i]) + (255 - alpha) * i32::from(below[i]) + 127) / 255) as u8)
}

fn decode(concept: Concept) -> Result<RgbaImage> {
    let bytes: &[u8] = match concept {
        Concept::Ada => include_bytes!("../assets/ada.png"),
        Concept::Eve => include_bytes!("../assets/eve.png"),
        Concept::Leo => include_bytes!("../assets/leo.png"),
        Concept::Kit => include_bytes!("../assets/kit.png"),
        Concept::Joe => include_bytes!("../assets/joe.png"),
        Concept::Ace => include_bytes!("../assets/ace.png"),
    };
    let image = image::load_from_memory_with_format(bytes, image::ImageFormat::Png)
        .map_err(|e| Error::data(format!("embedded picture of {} is damaged", concept.word())).with_source(e))?
        .into_rgba8();
    let size = SUBJECT_SIZE as u32;
    if image.dimensions() != (size, size) {
        return Err(Error::data(format!(
            "embedded picture of {}: expected {size}x{size} pixels, got {:?}",
            concept.word(),
            image.dimensions()
        )));
    }
    Ok(image)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::scene::{Accessory, Colour, Place};

    #[test]
    fn jitter_changes_an_image_a_little_and_the_same_seed_not_at_all() {
        let renderer = Renderer::new().unwrap();
        let scene =
            Scene { concept: Concept::Ada, place: Place::Beach, accessory: Accessory::Kite, colour: Colour::Green };
        let plain = renderer.render(&scene, Jitter::NONE);
        assert_eq!(renderer.render(&scene, Jitter::new(5)), renderer.render(&scene, Jitter::new(5)));
        for seed in 0..20 {
            let image = renderer.render(&scene, Jitter::new(seed));
            let difference: u32 =
                plain.as_raw().iter().zip(image.as_raw()).map(|(&a, &b)| u32::from(a.abs_diff(b))).sum();
            let mean = f64::from(difference) / plain.as_raw().len() as f64;
            assert!(mean < 20.0, "seed {seed}: {mean}");
        }
        let distinct: std::collections::HashSet<Vec<u8>> =
            (0..20).map(|seed| renderer.render(&scene, Jitter::new(seed)).into_raw()).collect();
        assert!(distinct.len() > 15);
    }
}
