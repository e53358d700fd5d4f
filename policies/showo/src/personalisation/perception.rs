//! What the third stage begins from: what the model decides early in images of the concept that it paints itself.

use counterpoint::image::Rgb;
use counterpoint::{Candidate, Error, Key, Result, Streams};
use counterpoint_samplers::{Canvas, ImageModel, MaskGitConfig, UnifiedModel};
use image::RgbImage;

use crate::ShowoPolicy;

/// Paints `count` images of `prompt` and gives them as they stand after `until` of the sampler's steps, white where a code is not
/// yet that of the finished image (UniCTokens' `stage_2_to_3`).
///
/// # Errors
/// [`Config`](counterpoint::ErrorKind::Config) when the sampler's settings are out of range or it has fewer steps than `until`,
/// and those of the model.
pub fn perceived(
    policy: &ShowoPolicy,
    prompt: &str,
    count: usize,
    sampler: MaskGitConfig,
    until: usize,
    seed: u64,
) -> Result<Vec<RgbImage>> {
    let (steps, guidance) = (sampler.timesteps, sampler.guidance_scale);
    if until == 0 || until > steps {
        return Err(Error::config(format!("perceived_at: expected a step from 1 to {steps}, got {until}")));
    }
    let sampler = sampler.init()?;
    let ids = policy.generation_prompt(prompt)?;
    let tokens = policy.image_tokens();
    let mut images = Vec::with_capacity(count);
    for number in 0..count {
        let prompts = policy.prepare(&[&ids], guidance)?;
        let key = Key { candidate: number as u64, ..Key::task(0, 0) };
        let candidate = [Candidate::new(Streams::new(seed), key)];
        let mut canvas = [Canvas::default()];
        sampler.advance(policy, &prompts, &candidate, &mut canvas, until)?;
        let early = canvas[0].prediction(tokens).to_vec();
        sampler.advance(policy, &prompts, &candidate, &mut canvas, steps)?;
        let changed: Vec<bool> = early.iter().zip(canvas[0].prediction(tokens)).map(|(a, b)| a != b).collect();
        images.push(whitened(policy.images(&[&early])?.remove(0), &changed));
    }
    Ok(images)
}

/// `image` with the squares of the codes that are `changed` in white; codes are row-major and a square number.
fn whitened(mut image: RgbImage, changed: &[bool]) -> RgbImage {
    let side = (changed.len() as f64).sqrt().round() as u32;
    let (width, height) = image.dimensions();
    for (x, y, pixel) in image.enumerate_pixels_mut() {
        let code = (y * side / height) * side + x * side / width;
        if changed.get(code as usize) == Some(&true) {
            *pixel = Rgb([255; 3]);
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_squares_of_changed_codes_are_white() {
        let image = whitened(RgbImage::new(8, 8), &[false, true, false, false]);
        let white = |x, y| image.get_pixel(x, y).0 == [255; 3];
        for (x, y) in (0..8).flat_map(|y| (0..8).map(move |x| (x, y))) {
            assert_eq!(white(x, y), x >= 4 && y < 4, "{x}, {y}");
        }
    }
}
