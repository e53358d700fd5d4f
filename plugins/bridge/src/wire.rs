//! Items as a header's items and the pieces of a body, and back.

use std::borrow::Cow;
use std::collections::HashMap;

use counterpoint_host::{Error, ErrorKind, Image, Item, Pixels, Result};

use crate::frame::ALIGNMENT;
use crate::message::{Dtype, Tensor, WireItem};

/// A body to be: pieces of borrowed pixels, one after another. An image that several items have is sent once.
#[derive(Debug, Default)]
pub struct Pieces<'a> {
    pub pieces: Vec<Cow<'a, [u8]>>,
    pub size: u64,
    /// What was sent, by where it lies and how: the items of a group share their references.
    sent: HashMap<(Dtype, usize, u32, u32, usize, usize), Tensor>,
}

impl<'a> Pieces<'a> {
    /// `item` for the header, its pixels in the body.
    pub fn item(&mut self, item: &'a Item<'_>) -> WireItem<'a> {
        WireItem {
            prompt: item.prompt.into(),
            response: item.response.into(),
            class_name: item.class.into(),
            params: item.params.into(),
            candidate: item.candidate,
            image: item.image.as_ref().map(|image| self.image(image)),
            references: item.references.iter().map(|image| self.image(image)).collect(),
        }
    }

    fn image(&mut self, image: &Image<'a>) -> Tensor {
        let (dtype, address) = match image.pixels() {
            Pixels::U8(samples) => (Dtype::U8, samples.as_ptr().addr()),
            Pixels::F32(samples) => (Dtype::F32, samples.as_ptr().addr()),
        };
        let place = (dtype, address, image.width(), image.height(), image.row_stride(), image.pixel_stride());
        if let Some(tensor) = self.sent.get(&place) {
            return tensor.clone();
        }
        let tensor = self.new_image(image);
        self.sent.insert(place, tensor.clone());
        tensor
    }

    fn new_image(&mut self, image: &Image<'a>) -> Tensor {
        let shape = vec![u64::from(image.height()), u64::from(image.width()), 3];
        let offset = self.size;
        let dtype = match image.pixels() {
            Pixels::U8(samples) => {
                self.rows(image, samples);
                Dtype::U8
            }
            Pixels::F32(samples) => {
                self.rows(image, samples);
                Dtype::F32
            }
        };
        let gap = self.size.next_multiple_of(ALIGNMENT as u64) - self.size;
        self.push(Cow::Borrowed(&[0; ALIGNMENT][..gap as usize]));
        Tensor { dtype, shape, offset }
    }

    /// The samples of `image` without gaps. Only those of pixels with gaps between them are copied.
    fn rows<T: bytemuck::Pod>(&mut self, image: &Image<'_>, samples: &'a [T]) {
        let (width, height) = (image.width() as usize, image.height() as usize);
        let (row, pixel) = (image.row_stride(), image.pixel_stride());
        if pixel == 3 && (row == 3 * width || height == 1) {
            return self.push(Cow::Borrowed(bytemuck::cast_slice(&samples[..3 * width * height])));
        }
        for y in 0..height {
            let samples = &samples[y * row..];
            self.push(if pixel == 3 {
                Cow::Borrowed(bytemuck::cast_slice(&samples[..3 * width]))
            } else {
                let packed: Vec<T> = samples.chunks(pixel).take(width).flat_map(|pixel| pixel[..3].to_vec()).collect();
                Cow::Owned(bytemuck::cast_slice(&packed).to_vec())
            });
        }
    }

    fn push(&mut self, piece: Cow<'a, [u8]>) {
        self.size += piece.len() as u64;
        if !piece.is_empty() {
            self.pieces.push(piece);
        }
    }
}

/// The item that `wire` describes, its pixels in `body`.
///
/// # Errors
/// [`ErrorKind::Contract`] when a tensor is no image or does not lie in the body.
pub fn item<'a>(wire: &'a WireItem<'_>, body: &'a [u8]) -> Result<Item<'a>> {
    Ok(Item {
        prompt: &wire.prompt,
        response: &wire.response,
        class: &wire.class_name,
        params: &wire.params,
        image: wire.image.as_ref().map(|tensor| image(tensor, body)).transpose()?,
        references: wire.references.iter().map(|tensor| image(tensor, body)).collect::<Result<_>>()?,
        candidate: wire.candidate,
    })
}

fn image<'a>(tensor: &Tensor, body: &'a [u8]) -> Result<Image<'a>> {
    let bad = || Error::new(ErrorKind::Contract, format!("expected an image of [height, width, 3], got {tensor:?}"));
    let bytes = tensor.bytes(body)?;
    let [height, width, 3] = tensor.shape[..] else { return Err(bad()) };
    let pixels = match tensor.dtype {
        Dtype::U8 => Pixels::U8(bytes),
        Dtype::F32 => Pixels::F32(bytemuck::try_cast_slice(bytes).map_err(|_| bad())?),
        Dtype::F64 => return Err(bad()),
    };
    let side = |n: u64| u32::try_from(n).map_err(|_| bad());
    Image::new(side(width)?, side(height)?, pixels)
}
