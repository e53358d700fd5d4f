//! Images that questions are about, as they go with a trajectory: by number.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Tensor;
use counterpoint::{Error, Result};
use image::RgbImage;

/// How many images are kept, the newest; those of a step are fewer.
const KEPT: u32 = 256;

/// Pixels by number. A question's first id is the number of its image, 0 for none: token ids alone do not say what was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown(Arc<Mutex<Numbered>>);

#[derive(Debug, Default)]
struct Numbered {
    last: u32,
    images: BTreeMap<u32, Image>,
}

#[derive(Debug)]
struct Image {
    /// A hash of the picture that it was, where it was one.
    picture: Option<u64>,
    pixels: Tensor<4>,
}

impl Shown {
    /// The number of an image `[1, 3, S, S]`.
    pub(crate) fn add(&self, pixels: Tensor<4>) -> u32 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(None, pixels)
    }

    /// The number of a picture, of which `see` makes pixels where it was not shown of late.
    pub(crate) fn picture(&self, picture: &RgbImage, see: impl FnOnce() -> Result<Tensor<4>>) -> Result<u32> {
        let mut hasher = DefaultHasher::new();
        (picture.dimensions(), picture.as_raw()).hash(&mut hasher);
        let hash = hasher.finish();
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match shown.images.iter().find(|(_, image)| image.picture == Some(hash)) {
            Some((&number, _)) => Ok(number),
            None => Ok(shown.add(Some(hash), see()?)),
        }
    }

    /// The image of this number.
    pub(crate) fn get(&self, number: u32) -> Result<Tensor<4>> {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.images.get(&number).map(|image| image.pixels.clone()).ok_or_else(|| {
            Error::contract(format!(
                "image {number} of a question is not known: score what this policy asked, in the same run"
            ))
        })
    }
}

impl Numbered {
    fn add(&mut self, picture: Option<u64>, pixels: Tensor<4>) -> u32 {
        self.last += 1;
        self.images.insert(self.last, Image { picture, pixels });
        let oldest = self.last.saturating_sub(KEPT);
        self.images.retain(|&at, _| at > oldest);
        self.last
    }
}
