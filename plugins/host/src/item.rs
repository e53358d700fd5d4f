//! What is scored: borrowed text and pixels.

use crate::{Error, ErrorKind, Result};

/// One sample.
#[derive(Debug, Clone, Default)]
pub struct Item<'a> {
    /// What the image was generated from.
    pub prompt: &'a str,
    /// What the policy wrote.
    pub response: &'a str,
    /// Concept class.
    pub class: &'a str,
    /// The task's parameters, as JSON; empty when there are none.
    pub params: &'a str,
    /// What the policy generated.
    pub image: Option<Image<'a>>,
    /// Images of the concept.
    pub references: Vec<Image<'a>>,
    /// Number of the candidate within its group.
    pub candidate: u64,
}

/// The samples of an image: three channels R, G, B of each pixel next to each other, sRGB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pixels<'a> {
    /// 0 to 255.
    U8(&'a [u8]),
    /// 0 to 1.
    F32(&'a [f32]),
}

impl Pixels<'_> {
    /// Samples.
    fn len(&self) -> usize {
        match self {
            Self::U8(samples) => samples.len(),
            Self::F32(samples) => samples.len(),
        }
    }

    /// Bytes of a sample.
    pub(crate) fn sample_size(&self) -> usize {
        match self {
            Self::U8(_) => 1,
            Self::F32(_) => 4,
        }
    }
}

/// A borrowed image, row by row from the top.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Image<'a> {
    width: u32,
    height: u32,
    pixels: Pixels<'a>,
    row: usize,
    pixel: usize,
}

impl<'a> Image<'a> {
    /// An image without gaps: `pixels` holds `height * width * 3` samples.
    ///
    /// # Errors
    /// [`ErrorKind::Contract`] when it holds another number, or a side is 0.
    #[inline]
    pub fn new(width: u32, height: u32, pixels: Pixels<'a>) -> Result<Self> {
        let row = width as usize * 3;
        let samples = row * height as usize;
        let image = Self { width, height, pixels, row, pixel: 3 };
        if samples > 0 && pixels.len() == samples { Ok(image) } else { Err(image.refused(samples)) }
    }

    /// An image whose rows are `row` samples apart and whose pixels are `pixel` samples apart.
    ///
    /// # Errors
    /// [`ErrorKind::Contract`] when a side is 0, rows or pixels overlap, or `pixels` ends before the last pixel does.
    pub fn with_strides(width: u32, height: u32, pixels: Pixels<'a>, row: usize, pixel: usize) -> Result<Self> {
        let image = Self { width, height, pixels, row, pixel };
        if width == 0 || height == 0 {
            return Err(Error::new(
                ErrorKind::Contract,
                format!("expected an image, got one of {width}x{height} pixels"),
            ));
        }
        let needed = (width as usize - 1).checked_mul(pixel).and_then(|n| n.checked_add(3));
        if pixel < 3 || needed.is_none_or(|n| row < n) {
            let message = format!(
                "expected pixels 3 or more samples apart and rows at least one row apart, got {pixel} and {row} for a \
                 width of {width}"
            );
            return Err(Error::new(ErrorKind::Contract, message));
        }
        let needed = needed.and_then(|n| (height as usize - 1).checked_mul(row)?.checked_add(n)).unwrap_or(usize::MAX);
        if pixels.len() < needed { Err(image.mismatch("at least", needed)) } else { Ok(image) }
    }

    /// Pixels, 1 or more.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Pixels, 1 or more.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The samples, from the first of the first pixel.
    pub fn pixels(&self) -> Pixels<'a> {
        self.pixels
    }

    /// Samples from a row to the next.
    pub fn row_stride(&self) -> usize {
        self.row
    }

    /// Samples from a pixel to the next.
    pub fn pixel_stride(&self) -> usize {
        self.pixel
    }

    /// Why it is no image without gaps, which would have `samples` samples.
    #[cold]
    fn refused(&self, samples: usize) -> Error {
        let strided = Self::with_strides(self.width, self.height, self.pixels, self.row, 3);
        strided.err().unwrap_or_else(|| self.mismatch("exactly", samples))
    }

    fn mismatch(&self, how: &str, expected: usize) -> Error {
        let message = format!(
            "expected {how} {expected} samples for an image of {}x{} pixels, got {}",
            self.width,
            self.height,
            self.pixels.len()
        );
        Error::new(ErrorKind::Contract, message)
    }
}
