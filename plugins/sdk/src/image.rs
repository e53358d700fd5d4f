//! Borrowed images.

use std::borrow::Cow;

/// The samples of an image: three channels R, G, B of each pixel next to each other, sRGB.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pixels<'a> {
    /// 0 to 255.
    U8(&'a [u8]),
    /// 0 to 1.
    F32(&'a [f32]),
}

/// An image, row by row from the top. Rows and pixels may have gaps between them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Image<'a> {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// From the first sample of the first pixel to the last of the last.
    pub(crate) pixels: Pixels<'a>,
    pub(crate) row: usize,
    pub(crate) pixel: usize,
}

impl<'a> Image<'a> {
    /// Pixels, 1 or more.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Pixels, 1 or more.
    pub fn height(&self) -> usize {
        self.height
    }

    /// All samples, from the first of the first pixel to the last of the last, gaps included: sample `c` of pixel (x, y) is
    /// number `y * row_stride + x * pixel_stride + c`.
    pub fn pixels(&self) -> Pixels<'a> {
        self.pixels
    }

    /// Samples from a row to the next.
    pub fn row_stride(&self) -> usize {
        self.row
    }

    /// Samples from a pixel to the next, 3 or more.
    pub fn pixel_stride(&self) -> usize {
        self.pixel
    }

    /// The samples of row `y`: its pixels are [`pixel_stride`](Self::pixel_stride) apart.
    ///
    /// # Panics
    /// When `y` is not below the height.
    pub fn row(&self, y: usize) -> Pixels<'a> {
        assert!(y < self.height, "expected a row below {}, got {y}", self.height);
        let samples = y * self.row..y * self.row + (self.width - 1) * self.pixel + 3;
        match self.pixels {
            Pixels::U8(all) => Pixels::U8(&all[samples]),
            Pixels::F32(all) => Pixels::F32(&all[samples]),
        }
    }

    /// Red, green and blue of pixel (x, y), 0 to 1.
    ///
    /// # Panics
    /// When the pixel is outside the image.
    pub fn pixel(&self, x: usize, y: usize) -> [f32; 3] {
        let (width, height) = (self.width, self.height);
        assert!(x < width && y < height, "expected a pixel of an image of {width}x{height}, got ({x}, {y})");
        let at = y * self.row + x * self.pixel;
        match self.pixels {
            Pixels::U8(all) => [all[at], all[at + 1], all[at + 2]].map(|sample| f32::from(sample) / 255.0),
            Pixels::F32(all) => [all[at], all[at + 1], all[at + 2]],
        }
    }

    /// The pixels without gaps as `height * width * 3` bytes; borrowed when that is what the host has.
    ///
    /// Samples of 32 bits are rounded to the nearest of 0 to 255; those outside 0 to 1 are clamped, and NaN becomes 0.
    pub fn to_rgb8(&self) -> Cow<'a, [u8]> {
        match self.pixels {
            Pixels::U8(all) if self.is_packed() => Cow::Borrowed(all),
            Pixels::U8(all) => Cow::Owned(self.gather(all, |sample| sample)),
            Pixels::F32(all) => Cow::Owned(self.gather(all, |sample| (sample.clamp(0.0, 1.0) * 255.0).round() as u8)),
        }
    }

    /// The pixels without gaps as `height * width * 3` numbers, 0 to 1; borrowed when that is what the host has.
    pub fn to_rgb_f32(&self) -> Cow<'a, [f32]> {
        match self.pixels {
            Pixels::F32(all) if self.is_packed() => Cow::Borrowed(all),
            Pixels::F32(all) => Cow::Owned(self.gather(all, |sample| sample)),
            Pixels::U8(all) => Cow::Owned(self.gather(all, |sample| f32::from(sample) / 255.0)),
        }
    }

    fn is_packed(&self) -> bool {
        (self.pixel == 3 || self.width == 1) && (self.row == self.width * 3 || self.height == 1)
    }

    fn gather<T: Copy, U>(&self, all: &[T], convert: impl Fn(T) -> U) -> Vec<U> {
        let mut packed = Vec::with_capacity(self.width * self.height * 3);
        for row in all.chunks(self.row).take(self.height) {
            for pixel in row.chunks(self.pixel).take(self.width) {
                packed.extend(pixel[..3].iter().map(|&sample| convert(sample)));
            }
        }
        packed
    }
}
