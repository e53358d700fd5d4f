//! Images that questions are about, as they go with a trajectory: by number.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Tensor;
use counterpoint::{Error, Result};

/// How many images are kept; a step's tasks are far fewer.
const KEPT: u32 = 4096;

/// Pixels by number. A question's first id is the number of its image, 0 for none: token ids alone do not say what was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown(Arc<Mutex<Numbered>>);

#[derive(Debug, Default)]
struct Numbered {
    last: u32,
    images: BTreeMap<u32, Tensor<4>>,
}

impl Shown {
    /// The number of an image `[1, 3, S, S]`.
    pub(crate) fn add(&self, pixels: Tensor<4>) -> u32 {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.last += 1;
        let number = shown.last;
        shown.images.insert(number, pixels);
        let oldest = number.saturating_sub(KEPT);
        shown.images.retain(|&at, _| at > oldest);
        number
    }

    /// The image of this number.
    pub(crate) fn get(&self, number: u32) -> Result<Tensor<4>> {
        let shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.images.get(&number).cloned().ok_or_else(|| {
            Error::contract(format!(
                "image {number} of a question is not known: score what this policy asked, in the same run"
            ))
        })
    }
}
