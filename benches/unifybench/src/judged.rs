//! One sample of a model, and what is right about it.

use counterpoint::Result;
use image::RgbImage;

use crate::language::{fact, words};
use crate::scene::Scene;
use crate::verify::Truth;

/// The split of samples that were painted for the right reasoning, and what the names of their scores begin with.
pub const PAINTING: &str = "painting";

/// What a model made of one task.
#[derive(Debug, Clone)]
pub struct Item {
    /// What it should have said and painted.
    pub scene: Scene,
    /// The reasoning IR that it wrote.
    pub response: String,
    /// The image that it painted, 64x64 sRGB; `None` counts as wrong in every attribute.
    pub image: Option<RgbImage>,
}

/// Which attributes of a sample are right, by the world's truth and never by a reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// The reasoning is the fact, word for word.
    pub reasoning: bool,
    /// The image shows the concept.
    pub concept: bool,
    /// The image shows the place.
    pub place: bool,
    /// The image shows the accessory.
    pub accessory: bool,
    /// The accessory has the colour.
    pub colour: bool,
}

impl Right {
    /// Judges `item`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when the image is not 64x64.
    pub fn of(truth: &Truth, item: &Item) -> Result<Self> {
        let reasoning = words(&item.response) == words(&fact(&item.scene));
        let Some(image) = &item.image else {
            return Ok(Self { reasoning, concept: false, place: false, accessory: false, colour: false });
        };
        let seen = truth.check(&item.scene, image)?;
        Ok(Self { reasoning, concept: seen.concept, place: seen.place, accessory: seen.accessory, colour: seen.colour })
    }

    /// Whether the image is right in all four attributes.
    pub fn image(&self) -> bool {
        self.concept && self.place && self.accessory && self.colour
    }

    /// Whether reasoning and image are right.
    pub fn joint(&self) -> bool {
        self.reasoning && self.image()
    }

    /// What is right as scores of 0 or 1, by name, and the share of the image's four attributes that are.
    pub fn scores(&self) -> Vec<(String, f64)> {
        let score = |right: bool| f64::from(u8::from(right));
        let image =
            [("concept", self.concept), ("place", self.place), ("accessory", self.accessory), ("colour", self.colour)];
        let attributes = image.iter().map(|(_, right)| score(*right)).sum::<f64>() / image.len() as f64;
        let first = [("reasoning", score(self.reasoning)), ("attributes", attributes)];
        let last = [("image", score(self.image())), ("joint", score(self.joint()))];
        let all = first.into_iter().chain(image.map(|(name, right)| (name, score(right)))).chain(last);
        all.map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The same of an image that was painted for the fact: what it shows, under names of their own such as
    /// `painting/image`, so that they are never taken for those of what a model said itself.
    pub fn painting(&self) -> Vec<(String, f64)> {
        let shown = self.scores().into_iter().filter(|(name, _)| name != "reasoning" && name != "joint");
        shown.map(|(name, score)| (format!("{PAINTING}/{name}"), score)).collect()
    }
}
