//! A reward of your own, selected by name from a config like the built-in ones.
//!
//!     cargo run --release -p counterpoint-examples --example custom_reward
#![allow(clippy::print_stdout)]

use std::sync::Arc;

use burn::tensor::Device;
use counterpoint::registry::{self, BuildContext, RewardEntry};
use counterpoint::{Result, Reward, RewardEnsemble, Sample, Score, Task, inventory};
use image::{Rgb, RgbImage};

/// Contrast: the standard deviation of the luminance, up to `scale` for an image that is half black, half white.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Contrast {
    scale: f64,
}

impl Reward for Contrast {
    fn name(&self) -> &str {
        "contrast"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let score = |sample: &Sample| {
            // What cannot be judged is an abstention, never a constant.
            let Some(image) = &sample.image else { return Score::Abstain("there is no image".into()) };
            let luminance = image::imageops::grayscale(image.as_ref());
            let mean_of = |f: &dyn Fn(f64) -> f64| {
                luminance.iter().map(|&l| f(f64::from(l) / 127.5)).sum::<f64>() / luminance.len() as f64
            };
            let mean = mean_of(&|l| l);
            Score::Value(self.scale * mean_of(&|l| (l - mean).powi(2)).sqrt())
        };
        Ok(samples.iter().map(score).collect())
    }
}

inventory::submit! {
    RewardEntry::new("contrast", |table, _| Ok(Box::new(registry::settings::<Contrast>("rewards.contrast", table)?)))
}

fn main() -> Result<()> {
    let context = BuildContext::new(Device::flex(), ".");
    let reward = registry::reward("contrast", &toml::toml! { scale = 0.5 }, &context)?;
    let weights = [("contrast".to_owned(), 1.0)].into();
    let mut ensemble = RewardEnsemble::new(vec![reward], [("default".to_owned(), weights)].into())?;

    let task = Task::new(0, "Draw something bold.");
    let of = |pixel: fn(u32, u32) -> u8| Some(Arc::new(RgbImage::from_fn(8, 8, |x, y| Rgb([pixel(x, y); 3]))));
    let images = [of(|_, _| 128), of(|x, _| 32 * x as u8), of(|x, y| 255 * ((x + y) % 2) as u8), None];
    let samples: Vec<Sample> =
        (0..).zip(images).map(|(i, image)| Sample::new(&task, i, String::new(), String::new(), image)).collect();
    for (what, scored) in ["flat", "ramp", "chessboard", "no image"].iter().zip(ensemble.score(&samples)?) {
        println!("{what}: {}", scored.total.map_or_else(|| scored.reason().unwrap_or_default(), |r| format!("{r:.3}")));
    }
    Ok(())
}
