//! Resizing as Pillow does it, bit for bit: anti-aliased, columns first, bytes between the two passes, weights in
//! fixed point.

use image::{Rgb, RgbImage};

/// Fraction bits of a weight.
const BITS: u32 = 32 - 8 - 2;

/// A filter of Pillow's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filter {
    Nearest,
    Bilinear,
    Bicubic,
    Lanczos,
}

impl Filter {
    /// Pillow's number of it.
    pub(super) fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Nearest,
            1 => Self::Lanczos,
            2 => Self::Bilinear,
            3 => Self::Bicubic,
            _ => return None,
        })
    }

    fn support(self) -> f64 {
        match self {
            Self::Nearest => 0.5,
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let x = x.abs();
        if x >= self.support() {
            return 0.0;
        }
        match self {
            Self::Nearest => 1.0,
            Self::Bilinear => 1.0 - x,
            Self::Bicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
            Self::Bicubic => ((x - 5.0) * x + 8.0) * x * -0.5 + 2.0,
            Self::Lanczos => sinc(x) * sinc(x / 3.0),
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * std::f64::consts::PI;
    x.sin() / x
}

/// `image` at `width` x `height`; neither may be 0.
pub(super) fn resize(image: &RgbImage, width: u32, height: u32, filter: Filter) -> RgbImage {
    if filter == Filter::Nearest {
        let at = |i: u32, from: u32, to: u32| {
            let source = (f64::from(i) + 0.5) * f64::from(from) / f64::from(to);
            (source as u32).min(from - 1)
        };
        return RgbImage::from_fn(width, height, |x, y| {
            *image.get_pixel(at(x, image.width(), width), at(y, image.height(), height))
        });
    }
    let taps = axis(image.width(), width, filter);
    let wide =
        RgbImage::from_fn(width, image.height(), |x, y| taps[x as usize].sum(|source| image.get_pixel(source, y)));
    let taps = axis(image.height(), height, filter);
    RgbImage::from_fn(width, height, |x, y| taps[y as usize].sum(|source| wide.get_pixel(x, source)))
}

/// The source pixels of one output pixel and their weights.
struct Taps {
    first: u32,
    weights: Vec<i32>,
}

impl Taps {
    fn sum<'a>(&self, pixel: impl Fn(u32) -> &'a Rgb<u8>) -> Rgb<u8> {
        let mut sums = [1_i32 << (BITS - 1); 3];
        for (i, weight) in (self.first..).zip(&self.weights) {
            for (sum, &byte) in sums.iter_mut().zip(&pixel(i).0) {
                *sum += i32::from(byte) * weight;
            }
        }
        Rgb(sums.map(|sum| (sum >> BITS).clamp(0, 255) as u8))
    }
}

fn axis(from: u32, to: u32, filter: Filter) -> Vec<Taps> {
    let scale = f64::from(from) / f64::from(to);
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    (0..to)
        .map(|i| {
            let centre = (f64::from(i) + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as u32;
            let last = ((centre + support + 0.5) as u32).min(from);
            let weights: Vec<f64> =
                (first..last).map(|s| filter.weight((f64::from(s) - centre + 0.5) / stretch)).collect();
            let total: f64 = weights.iter().sum();
            let fixed = |w: &f64| (w / total * f64::from(1_u32 << BITS)).round() as i32;
            Taps { first, weights: weights.iter().map(fixed).collect() }
        })
        .collect()
}
