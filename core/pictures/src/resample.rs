//! Resizing as Pillow 13 does it, bit for bit: anti-aliased, bytes between the two passes, weights in fixed point with
//! 22 fraction bits. Columns are first, except for images that lose most of their height; Pillow 12 has no exception,
//! and differs by single steps there.
//!
//! The maintained crates were measured against Pillow 13 and neither gives its bytes. Over 844 pictures (photograph and
//! noise, up, down, odd, one pixel, very wide, very tall; 14,672,244 bytes for each filter), with bicubic,
//! fast_image_resize 6.1 differs in 17.1 % of the bytes, by up to 26, because it keeps 16 bits of a weight and shrinks
//! the rows first; pic-scale 0.7.12 in 40.6 %, by up to 39. With 16-bit pixels and one pass at a time, in Pillow's
//! order, fast_image_resize still differs in 93 of 2,658,246 bytes (bilinear: 2,662). This file differs in none, with
//! any of the six filters. From 1024 x 768 to 224 x 224, bicubic, one thread of the same machine: fast_image_resize
//! 0.36 ms, this file 2.4 ms, Pillow 3.9 ms.

use std::borrow::Cow;
use std::ops::Range;

/// Fraction bits of a weight.
const BITS: u32 = 32 - 8 - 2;
/// Bytes of a pixel.
const RGB: usize = 3;

/// A filter of Pillow's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// `NEAREST`.
    Nearest,
    /// `LANCZOS`, of three lobes.
    Lanczos,
    /// `BILINEAR`.
    Bilinear,
    /// `BICUBIC`, a = -0.5.
    Bicubic,
    /// `BOX`.
    Box,
    /// `HAMMING`.
    Hamming,
}

impl Filter {
    /// Pillow's number of it.
    pub fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Nearest,
            1 => Self::Lanczos,
            2 => Self::Bilinear,
            3 => Self::Bicubic,
            4 => Self::Box,
            5 => Self::Hamming,
            _ => return None,
        })
    }

    fn support(self) -> f64 {
        match self {
            Self::Nearest | Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        let a = x.abs();
        match self {
            Self::Nearest | Self::Box => f64::from(x > -0.5 && x <= 0.5),
            Self::Bilinear => (1.0 - a).max(0.0),
            Self::Bicubic if a < 1.0 => (1.5 * a - 2.5) * a * a + 1.0,
            Self::Bicubic if a < 2.0 => (((a - 5.0) * a + 8.0) * a - 4.0) * -0.5,
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            // Pillow's two constants are single precision.
            Self::Hamming if a < 1.0 => {
                sinc(a) * (f64::from(0.54_f32) + f64::from(0.46_f32) * (a * std::f64::consts::PI).cos())
            }
            Self::Bicubic | Self::Lanczos | Self::Hamming => 0.0,
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

/// RGB bytes, row by row.
#[derive(Debug, Clone, Copy)]
pub struct Pixels<'a> {
    /// `height * width * 3` of them.
    pub bytes: &'a [u8],
    /// Columns, 1 or more.
    pub width: usize,
    /// Rows, 1 or more.
    pub height: usize,
}

/// The columns and rows `window` of `image` at `width` x `height`, neither 0. Only what the window needs is computed.
pub fn resize<'a>(
    image: Pixels<'a>,
    [width, height]: [usize; 2],
    [columns, rows]: [Range<usize>; 2],
    filter: Filter,
) -> Cow<'a, [u8]> {
    if filter == Filter::Nearest {
        return Cow::Owned(nearest(image, [width, height], [columns, rows]));
    }
    let across_taps = (width != image.width).then(|| axis(image.width, width, columns.clone(), filter));
    let down_taps = (height != image.height).then(|| axis(image.height, height, rows.clone(), filter));
    let line = image.width * RGB;
    // Pillow 13 takes the rows first where they lose more than twice what the columns lose.
    let lost = |from: usize, to: usize| from as i64 - to as i64;
    let rows_lost = lost(image.height, height);
    if let Some(down_taps) = &down_taps
        && rows_lost > 0
        && rows_lost > 2 * lost(image.width, width)
    {
        let read = across_taps.as_deref().map_or(columns, span);
        let low = down(image.bytes, line, 0, read.start * RGB..read.end * RGB, down_taps);
        return Cow::Owned(match &across_taps {
            Some(taps) => across(&low, read.len() * RGB, read.start, taps),
            None => low,
        });
    }
    // The source rows that the second pass reads.
    let read = down_taps.as_deref().map_or(rows, span);
    let bytes = &image.bytes[read.start * line..read.end * line];
    let wide = match &across_taps {
        Some(taps) => Cow::Owned(across(bytes, line, 0, taps)),
        None if columns == (0..width) => Cow::Borrowed(bytes),
        None => {
            let cut = |row: &'a [u8]| row[columns.start * RGB..columns.end * RGB].iter().copied();
            Cow::Owned(bytes.chunks_exact(line).flat_map(cut).collect())
        }
    };
    match &down_taps {
        Some(taps) => Cow::Owned(down(&wide, columns.len() * RGB, read.start, 0..columns.len() * RGB, taps)),
        None => wide,
    }
}

fn nearest(image: Pixels<'_>, [width, height]: [usize; 2], [columns, rows]: [Range<usize>; 2]) -> Vec<u8> {
    // Pillow adds the step up instead of multiplying, with its rounding errors.
    let positions = |from: usize, to: usize, wanted: Range<usize>| -> Vec<usize> {
        let step = from as f64 / to as f64;
        let start = step * 0.5;
        let all = std::iter::successors(Some(start), |at| Some(at + step));
        all.skip(wanted.start).take(wanted.len()).map(|at| (at as usize).min(from - 1)).collect()
    };
    let columns = positions(image.width, width, columns);
    let rows = positions(image.height, height, rows);
    let mut out = Vec::with_capacity(rows.len() * columns.len() * RGB);
    for row in rows {
        let row = &image.bytes[row * image.width * RGB..][..image.width * RGB];
        for &column in &columns {
            out.extend_from_slice(&row[column * RGB..][..RGB]);
        }
    }
    out
}

/// The source pixels of one output pixel and their weights.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

/// The taps of the output pixels `wanted`, when `from` pixels become `to`.
fn axis(from: usize, to: usize, wanted: Range<usize>, filter: Filter) -> Vec<Taps> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    let support = filter.support() * stretch;
    let shrink = 1.0 / stretch;
    wanted
        .map(|i| {
            let centre = (i as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let last = ((centre + support + 0.5) as usize).min(from);
            let weights: Vec<f64> = (first..last).map(|s| filter.weight((s as f64 - centre + 0.5) * shrink)).collect();
            let total: f64 = weights.iter().sum();
            let fixed = |w: &f64| {
                let w = w / total * f64::from(1_u32 << BITS);
                (if w < 0.0 { w - 0.5 } else { w + 0.5 }) as i32
            };
            Taps { first, weights: weights.iter().map(fixed).collect() }
        })
        .collect()
}

/// The source pixels that `taps` read.
fn span(taps: &[Taps]) -> Range<usize> {
    let end = taps.iter().map(|t| t.first + t.weights.len()).max().unwrap_or(0);
    taps.first().map_or(0, |t| t.first)..end
}

const HALF: i32 = 1 << (BITS - 1);

fn byte(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// Each row of `line` bytes, which begins with the source's column `left`, becomes one pixel per element of `taps`.
fn across(bytes: &[u8], line: usize, left: usize, taps: &[Taps]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() / line * taps.len() * RGB);
    for row in bytes.chunks_exact(line) {
        for tap in taps {
            let pixels = row[(tap.first - left) * RGB..].chunks_exact(RGB);
            let [mut red, mut green, mut blue] = [HALF; RGB];
            for (pixel, &weight) in pixels.zip(&tap.weights) {
                red += i32::from(pixel[0]) * weight;
                green += i32::from(pixel[1]) * weight;
                blue += i32::from(pixel[2]) * weight;
            }
            out.extend_from_slice(&[byte(red), byte(green), byte(blue)]);
        }
    }
    out
}

/// The bytes `part` of rows of `line` bytes, of which the first is the source's row `top`, become one row per element
/// of `taps`.
fn down(bytes: &[u8], line: usize, top: usize, part: Range<usize>, taps: &[Taps]) -> Vec<u8> {
    let mut out = Vec::with_capacity(taps.len() * part.len());
    let mut sums = vec![0_i32; part.len()];
    for tap in taps {
        sums.fill(HALF);
        let rows = bytes[(tap.first - top) * line..].chunks_exact(line);
        for (row, &weight) in rows.zip(&tap.weights) {
            for (sum, &value) in sums.iter_mut().zip(&row[part.clone()]) {
                *sum += i32::from(value) * weight;
            }
        }
        out.extend(sums.iter().map(|&sum| byte(sum)));
    }
    out
}
