//! Images that questions are about, as they go with a trajectory: by number.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Tensor;
use counterpoint::{Error, Result};
use image::RgbImage;

/// How many images are kept, those that were asked about last; those of a step are fewer.
const KEPT: usize = 256;

/// Pixels by number. A question's first id is the number of its image, 0 for none: token ids alone do not say what was seen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shown(Arc<Mutex<Numbered>>);

#[derive(Debug, Default)]
struct Numbered {
    last: u32,
    /// Counts what is shown, whether it is new or not.
    shown: u64,
    images: BTreeMap<u32, Image>,
}

#[derive(Debug)]
struct Image {
    /// A hash of the picture that it was, where it was one.
    picture: Option<u64>,
    pixels: Tensor<4>,
    /// When it was shown last.
    at: u64,
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
        shown.shown += 1;
        let now = shown.shown;
        match shown.images.iter_mut().find(|(_, image)| image.picture == Some(hash)) {
            Some((&number, image)) => {
                image.at = now;
                Ok(number)
            }
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
        self.shown += 1;
        self.images.insert(self.last, Image { picture, pixels, at: self.shown });
        if self.images.len() > KEPT
            && let Some(longest_ago) = self.images.iter().min_by_key(|(_, image)| image.at).map(|(&number, _)| number)
        {
            self.images.remove(&longest_ago);
        }
        self.last
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use burn::tensor::Device;
    use image::Rgb;

    use super::*;

    #[test]
    fn an_old_image_that_is_shown_again_outlives_newer_ones() {
        let shown = Shown::default();
        let show = |i: usize| {
            let picture = RgbImage::from_pixel(1, 1, Rgb([i as u8, (i >> 8) as u8, 0]));
            shown.picture(&picture, || Ok(Tensor::full([1, 3, 1, 1], i as f32, &Device::flex()))).unwrap()
        };
        let numbers: Vec<u32> = (0..KEPT).map(show).collect();
        assert_eq!(show(0), numbers[0], "it is known");
        (KEPT..2 * KEPT - 1).for_each(|i| {
            show(i);
        });
        assert_eq!(shown.get(numbers[0]).unwrap().sum().into_scalar::<f32>(), 0.0);
        let error = shown.get(numbers[1]).unwrap_err().to_string();
        assert!(error.contains("image 2 of a question"), "{error}");
    }
}
