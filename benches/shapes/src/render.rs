//! Draws scenes. Integer arithmetic only: the same bytes on every machine.

use counterpoint::Stream;
use image::{Rgb, RgbImage};

use crate::SIZE;
use crate::scene::{CELL, Scene};

/// Brightness of the ground.
pub(crate) const GROUND: u8 = 34;

/// The image of `scene`, sRGB of [`SIZE`] pixels a side: things up to a pixel right of and below the middle of their cells, all of it up to
/// 4 % brighter or darker.
pub fn render(scene: &Scene, stream: &mut Stream) -> RgbImage {
    let gain = 246 + stream.below(21) as i32;
    let offsets: Vec<[i32; 2]> =
        scene.things.iter().map(|_| [stream.below(2) as i32, stream.below(2) as i32]).collect();
    RgbImage::from_fn(SIZE, SIZE, |x, y| {
        let mut pixel = [GROUND; 3];
        for ((thing, cell), offset) in scene.things.iter().zip(&offsets) {
            // Twice the distance to the middle.
            let from_middle = |at: u32, index: usize, offset: i32| {
                2 * (at as i32 - index as i32 * CELL as i32 - offset) - CELL as i32 + 1
            };
            if thing.shape.covers(from_middle(x, cell.column, offset[0]), from_middle(y, cell.row, offset[1])) {
                pixel = thing.colour.rgb();
            }
        }
        Rgb(pixel.map(|c| ((i32::from(c) * gain + 128) >> 8).min(255) as u8))
    })
}
