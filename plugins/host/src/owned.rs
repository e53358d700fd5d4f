//! Items that belong to the call, for a call that may be given up while the plugin still reads them.

use crate::{Image, Item, Pixels};

/// A copy of an item.
pub(crate) struct OwnedItem {
    prompt: String,
    response: String,
    class: String,
    params: String,
    image: Option<OwnedImage>,
    references: Vec<OwnedImage>,
    candidate: u64,
}

/// A copy of an image, with its strides.
struct OwnedImage {
    width: u32,
    height: u32,
    pixels: OwnedPixels,
    row: usize,
    pixel: usize,
}

enum OwnedPixels {
    U8(Vec<u8>),
    F32(Vec<f32>),
}

impl OwnedItem {
    pub(crate) fn of(item: &Item<'_>) -> Self {
        Self {
            prompt: item.prompt.to_owned(),
            response: item.response.to_owned(),
            class: item.class.to_owned(),
            params: item.params.to_owned(),
            image: item.image.as_ref().map(OwnedImage::of),
            references: item.references.iter().map(OwnedImage::of).collect(),
            candidate: item.candidate,
        }
    }

    /// The item, borrowed.
    ///
    /// # Errors
    /// None for a copy of an image that was valid.
    pub(crate) fn borrow(&self) -> crate::Result<Item<'_>> {
        Ok(Item {
            prompt: &self.prompt,
            response: &self.response,
            class: &self.class,
            params: &self.params,
            image: self.image.as_ref().map(OwnedImage::borrow).transpose()?,
            references: self.references.iter().map(OwnedImage::borrow).collect::<Result<_, _>>()?,
            candidate: self.candidate,
        })
    }
}

impl OwnedImage {
    fn of(image: &Image<'_>) -> Self {
        let pixels = match image.pixels() {
            Pixels::U8(samples) => OwnedPixels::U8(samples.to_vec()),
            Pixels::F32(samples) => OwnedPixels::F32(samples.to_vec()),
        };
        Self {
            width: image.width(),
            height: image.height(),
            pixels,
            row: image.row_stride(),
            pixel: image.pixel_stride(),
        }
    }

    fn borrow(&self) -> crate::Result<Image<'_>> {
        let pixels = match &self.pixels {
            OwnedPixels::U8(samples) => Pixels::U8(samples),
            OwnedPixels::F32(samples) => Pixels::F32(samples),
        };
        Image::with_strides(self.width, self.height, pixels, self.row, self.pixel)
    }
}
