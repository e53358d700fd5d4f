//! Items as the interface has them: arrays of structs that point into what the caller lent.

use counterpoint_abi::{CPT_RGB_F32, CPT_RGB_U8, cpt_image, cpt_item, cpt_str};

use crate::{Image, Item, Pixels};

/// The arrays of a call. Kept between calls, so that a call allocates nothing once they are large enough.
#[derive(Debug, Default)]
pub(crate) struct Arrays {
    images: Vec<cpt_image>,
    items: Vec<cpt_item>,
}

impl Arrays {
    /// Fills the arrays. The result points into `self` and into what `items` borrow.
    pub(crate) fn fill(&mut self, items: &[Item<'_>]) -> &[cpt_item] {
        self.images.clear();
        self.items.clear();
        // All images first: the array must not move once items point into it.
        for item in items {
            self.images.extend(item.image.iter().chain(&item.references).map(image));
        }
        let mut next = 0;
        for item in items {
            let own = item.image.map_or(std::ptr::null(), |_| &raw const self.images[next]);
            next += usize::from(item.image.is_some());
            let references = &self.images[next..next + item.references.len()];
            next += references.len();
            self.items.push(cpt_item {
                prompt: cpt_str::of(item.prompt),
                response: cpt_str::of(item.response),
                class_name: cpt_str::of(item.class),
                params: cpt_str::of(item.params),
                image: own,
                references: if references.is_empty() { std::ptr::null() } else { references.as_ptr() },
                n_references: references.len() as u64,
                candidate: item.candidate,
            });
        }
        &self.items
    }
}

fn image(image: &Image<'_>) -> cpt_image {
    let (data, format) = match image.pixels() {
        Pixels::U8(samples) => (samples.as_ptr().cast(), CPT_RGB_U8),
        Pixels::F32(samples) => (samples.as_ptr().cast(), CPT_RGB_F32),
    };
    let size = image.pixels().sample_size();
    cpt_image {
        data,
        width: image.width(),
        height: image.height(),
        format,
        reserved: 0,
        row_stride: (image.row_stride() * size) as u64,
        pixel_stride: (image.pixel_stride() * size) as u64,
    }
}
