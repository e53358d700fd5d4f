//! One sample of a model, and what is right about it.

use std::collections::BTreeMap;

use counterpoint::Result;
use counterpoint_unictokens::Pathway;
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::language::{fact, words};
use crate::scene::Scene;
use crate::verify::Truth;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
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
}

/// A sample of an evaluation: what was asked and said, what is right, and what the rewards made of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// How the reasoning was asked for.
    pub pathway: Pathway,
    /// Number of the task in the evaluation.
    pub task: u64,
    /// The base prompt.
    pub prompt: String,
    /// The reasoning IR that the model wrote.
    pub response: String,
    /// The right reasoning.
    pub answer: String,
    /// What is right.
    pub right: Right,
    /// Score of each reward that gave one.
    pub rewards: BTreeMap<String, f64>,
}
