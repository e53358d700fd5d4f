//! Where the pixels of the result come from: sizes and offsets, rounded as the originals round them.

use std::ops::Range;

use counterpoint::{Error, Result};

use super::{ImageProcessorConfig, Size};

/// Most pixels of one result: what Pillow takes an image for before it warns of a decompression bomb.
const MOST_PIXELS: u64 = 89_478_485;
/// Longest side of a resized image, seen or not: Pillow's sides are C's `int`.
const LONGEST_SIDE: u64 = i32::MAX as u64;

/// How one image becomes the result. All pairs are width and height.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// Size of the whole image after resizing.
    pub(super) resized: [usize; 2],
    /// The columns and rows of the resized image that are in the result.
    pub(super) window: [Range<usize>; 2],
    /// Where the window begins in the result; what it does not fill is black.
    pub(super) offset: [usize; 2],
    /// Size of the result.
    pub(super) output: [usize; 2],
}

impl Plan {
    pub(super) fn new(config: &ImageProcessorConfig, width: u32, height: u32) -> Result<Self> {
        if width == 0 || height == 0 {
            return Err(Error::data(format!("image processor: expected an image, got one of {width}x{height} pixels")));
        }
        let resized =
            if config.do_resize { resized(config.size, width, height) } else { [width, height].map(u64::from) };
        let output = if config.do_center_crop { crop_sides(config.crop_size) } else { resized };
        if resized.iter().any(|&side| side > LONGEST_SIDE) {
            return Err(Error::data(format!(
                "image processor: expected sides of at most {LONGEST_SIDE} pixels after resizing, got {}x{} from an \
                 image of {width}x{height}; give an exact size",
                resized[0], resized[1]
            )));
        }
        if output[0].checked_mul(output[1]).is_none_or(|pixels| pixels > MOST_PIXELS) {
            return Err(Error::data(format!(
                "image processor: expected a result of at most {MOST_PIXELS} pixels, got {}x{} from an image of \
                 {width}x{height}; give a crop or an exact size",
                output[0], output[1]
            )));
        }
        let [(across, left), (down, top)] = [0, 1].map(|side| centre(resized[side], output[side]));
        Ok(Self {
            resized: resized.map(|side| side as usize),
            window: [across, down],
            offset: [left, top],
            output: output.map(|side| side as usize),
        })
    }
}

/// The part of an axis of `from` pixels that a crop of `to` pixels sees, and where it lies in the crop.
fn centre(from: u64, to: u64) -> (Range<usize>, usize) {
    // The margin before is rounded down: a crop loses the odd pixel at its end, padding has it at its beginning.
    let (margin, padding) = (from.saturating_sub(to) / 2, to.saturating_sub(from).div_ceil(2));
    let seen = from.min(to);
    (margin as usize..(margin + seen) as usize, padding as usize)
}

fn resized(size: Size, width: u32, height: u32) -> [u64; 2] {
    let short = match size {
        Size::Exact { height, width } => return [width, height].map(u64::from),
        Size::Shortest { shortest_edge } => u64::from(shortest_edge),
        Size::Side(side) => u64::from(side),
    };
    let longer = |long: u32, short_side: u32| short * u64::from(long) / u64::from(short_side);
    if width <= height { [short, longer(height, width)] } else { [longer(width, height), short] }
}

/// Width and height of a crop.
pub(super) fn crop_sides(size: Size) -> [u64; 2] {
    match size {
        Size::Exact { height, width } => [width, height],
        Size::Shortest { shortest_edge: side } | Size::Side(side) => [side, side],
    }
    .map(u64::from)
}
