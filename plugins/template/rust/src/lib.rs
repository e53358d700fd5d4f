//! How near the mean brightness of an image is to a target.

use counterpoint_sdk::{Batch, Description, Error, Expert, Image, Item, Judges, Need, Score, Setup, export_rewards};
use serde::Deserialize;

/// The settings of the config. A field that is not here is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// 0 (black) to 1 (white). Default: 0.5.
    #[serde(default = "half")]
    target: f64,
}

fn half() -> f64 {
    0.5
}

struct Brightness {
    target: f64,
}

impl Expert for Brightness {
    const NAME: &'static str = "brightness";

    fn describe() -> Description {
        Description::new("how near the mean brightness of an image is to a target")
            .range(0.0, 1.0)
            .needs(&[Need::Image])
            .judges(Judges::Generation)
            .concurrent()
            .deterministic()
            .batch_invariant()
    }

    fn create(setup: &Setup<'_>) -> Result<Self, Error> {
        let Settings { target } = setup.settings()?;
        if !(0.0..=1.0).contains(&target) {
            return Err(Error::new(format!("expected a target of 0 to 1, got {target}")));
        }
        Ok(Self { target })
    }

    fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error> {
        batch.each(|item| self.one(item))
    }
}

impl Brightness {
    fn one(&self, item: &Item<'_>) -> Result<Score, Error> {
        let image = item.image().ok_or_else(|| Error::new("expected an image, got none"))?;
        Ok(Score::Value((1.0 - (mean(&image) - self.target).abs()).clamp(0.0, 1.0)))
    }
}

/// The mean of all samples, 0 to 1.
fn mean(image: &Image<'_>) -> f64 {
    let samples = image.to_rgb_f32(); // no gaps, 0 to 1, whatever the host has
    samples.iter().map(|&sample| f64::from(sample)).sum::<f64>() / samples.len() as f64
}

export_rewards!(Brightness);

#[cfg(test)]
mod tests {
    use super::Brightness;
    use counterpoint_sdk::serde_json::json;
    use counterpoint_sdk::testing::{TestExpert, TestImage, TestItem};
    use counterpoint_sdk::{Error, Score};

    #[test]
    fn an_image_as_bright_as_the_target_is_best() -> Result<(), Error> {
        let mut expert = TestExpert::<Brightness>::create(&json!({ "target": 1.0 }))?;
        let images = [TestImage::grey(8, 4, 255), TestImage::grey(8, 4, 0), TestImage::grey(8, 4, 0).padded(5)];
        let scores = expert.score(&images.map(|image| TestItem::new().image(image)))?;
        assert_eq!(scores, [1.0, 0.0, 0.0].map(Score::Value));
        Ok(())
    }

    #[test]
    fn a_setting_that_makes_no_sense_is_refused() {
        assert!(TestExpert::<Brightness>::create(&json!({ "target": 2.0 })).is_err());
        assert!(TestExpert::<Brightness>::create(&json!({ "traget": 0.5 })).is_err());
    }
}
