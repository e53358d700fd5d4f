//! An expert as a plugin: all of the plugins of TIER, BER, DER and FER but what each says of itself.
//!
//! TIER promises batch invariance. The others do not: the last bits of a matrix product depend on its size.
//!
//! ```ignore
//! struct TierPlugin;
//!
//! impl Plugin for TierPlugin {
//!     type Config = TierConfig;
//!
//!     fn describe() -> Description { /* .. */ }
//! }
//!
//! export_rewards!(PluginExpert<TierPlugin>);
//! ```

use std::collections::HashMap;
use std::sync::Arc;

use counterpoint::registry::BuildContext;
use counterpoint::{Reward, Sample, Task, device};
use counterpoint_sdk::{Batch, Description, Error, Expert, Image, Item, Pixels, Score, Setup};
use image::RgbImage;
use serde_json::Value;

use crate::expert::{ExpertConfig, build};

/// What a plugin says of an expert besides its settings.
pub trait Plugin: 'static {
    /// The settings of the plugin, which are the reward's.
    type Config: ExpertConfig;

    /// What the expert says of itself.
    fn describe() -> Description;
}

/// The expert that the plugin `P` exports. It computes on the CPU where its settings name no device.
pub struct PluginExpert<P: Plugin>(<P::Config as ExpertConfig>::Reward);

impl<P: Plugin> Expert for PluginExpert<P> {
    const NAME: &'static str = P::Config::NAME;

    fn describe() -> Description {
        P::describe()
    }

    fn create(setup: &Setup<'_>) -> Result<Self, Error> {
        let config: P::Config = setup.settings()?;
        let context = BuildContext::new(device::named("flex").map_err(told)?, setup.base());
        build(config, &context).map(Self).map_err(told)
    }

    fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error> {
        score(&mut self.0, batch)
    }
}

/// Scores a batch with a reward of the engine.
///
/// Images that lie at one place in memory are one image, so that a reward embeds the references of a group once. An item whose
/// parameters are no JSON fails alone.
///
/// # Errors
/// The reward's own.
fn score(reward: &mut impl Reward, batch: &Batch<'_>) -> Result<Vec<Score>, Error> {
    let mut images = Images::default();
    let mut samples = Vec::with_capacity(batch.items().len());
    let mut malformed = Vec::with_capacity(samples.capacity());
    for item in batch.items() {
        malformed.push(images.sample(item).map(|sample| samples.push(sample)).err());
    }
    let mut scores = reward.score(&samples).map_err(told)?.into_iter().map(told_score);
    let score = |malformed: Option<Error>| match malformed {
        Some(error) => Some(Score::Fail(error.to_string())),
        None => scores.next(),
    };
    // A reward that gives too few is found by the number of them.
    Ok(malformed.into_iter().filter_map(score).collect())
}

/// An error of the engine with its causes.
fn told(error: counterpoint::Error) -> Error {
    Error::new(format!("{error:#}"))
}

fn told_score(score: counterpoint::Score) -> Score {
    match score {
        counterpoint::Score::Value(value) => Score::Value(value),
        counterpoint::Score::Abstain(why) => Score::Abstain(why),
        counterpoint::Score::Fail(why) => Score::Fail(why),
    }
}

/// Images of a call by where they lie.
#[derive(Default)]
struct Images(HashMap<Place, Arc<RgbImage>>);

/// Where an image lies and how: whether its samples are bytes, the first of them, width, height and strides.
type Place = (bool, *const u8, [usize; 4]);

impl Images {
    fn sample(&mut self, item: &Item<'_>) -> Result<Sample, Error> {
        let params = if item.params_json().is_empty() { Value::Null } else { item.params()? };
        let image = item.image().map(|image| self.image(&image)).transpose()?;
        let references = item.references().iter().map(|image| self.image(image)).collect::<Result<_, _>>()?;
        let task = Task::new(0, "").with_class(item.class()).with_references(references).with_params(params);
        Ok(Sample::new(&task, item.candidate(), item.prompt().to_owned(), item.response().to_owned(), image))
    }

    fn image(&mut self, image: &Image<'_>) -> Result<Arc<RgbImage>, Error> {
        let (bytes, first) = match image.pixels() {
            Pixels::U8(samples) => (true, samples.as_ptr()),
            Pixels::F32(samples) => (false, samples.as_ptr().cast()),
        };
        let place = (bytes, first, [image.width(), image.height(), image.row_stride(), image.pixel_stride()]);
        if let Some(known) = self.0.get(&place) {
            return Ok(Arc::clone(known));
        }
        let (width, height) = (u32::try_from(image.width())?, u32::try_from(image.height())?);
        let wrong = || Error::new(format!("expected {width}x{height} pixels of 3 bytes"));
        let copied = RgbImage::from_raw(width, height, image.to_rgb8().into_owned()).ok_or_else(wrong)?;
        Ok(Arc::clone(self.0.entry(place).or_insert(Arc::new(copied))))
    }
}
