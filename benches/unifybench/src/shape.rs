//! The accessories' shapes: large, flat and each in its own region, so that they survive a coarse tokenizer.

use crate::SIZE;
use crate::scene::Accessory;

/// Whether the accessory, at rest, covers pixel (x, y).
pub(crate) fn covers(accessory: Accessory, x: i32, y: i32) -> bool {
    let within = |left: i32, top: i32, right: i32, bottom: i32| x >= left && x < right && y >= top && y < bottom;
    match accessory {
        // A crown on a brim, above the subject.
        Accessory::Hat => within(23, 1, 41, 14) || within(16, 13, 48, 20),
        // A band across the bottom.
        Accessory::Scarf => within(2, 48, 62, 63),
        // A disc of radius 10, lower right.
        Accessory::Ball => (x - 52).pow(2) + (y - 50).pow(2) <= 104,
        // An upright ellipse, upper left.
        Accessory::Balloon => 144 * (x - 10).pow(2) + 81 * (y - 13).pow(2) <= 81 * 144,
        // A diamond, upper right.
        Accessory::Kite => 13 * (x - 52).abs() + 10 * (y - 14).abs() <= 130,
    }
}

/// The pixels (row by row) of which all neighbours within `margin` are covered.
pub(crate) fn core(accessory: Accessory, margin: i32) -> Vec<bool> {
    each_pixel(|x, y| neighbours(margin).all(|(dx, dy)| covers(accessory, x + dx, y + dy)))
}

/// The pixels (row by row) of which any neighbour within `margin` is covered.
pub(crate) fn surroundings(accessory: Accessory, margin: i32) -> Vec<bool> {
    each_pixel(|x, y| neighbours(margin).any(|(dx, dy)| covers(accessory, x + dx, y + dy)))
}

fn neighbours(margin: i32) -> impl Iterator<Item = (i32, i32)> {
    (-margin..=margin).flat_map(move |dy| (-margin..=margin).map(move |dx| (dx, dy)))
}

fn each_pixel(f: impl Fn(i32, i32) -> bool) -> Vec<bool> {
    let size = SIZE as i32;
    (0..size * size).map(|i| f(i % size, i / size)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_large_inside_the_image_and_have_a_core() {
        for &accessory in Accessory::ALL {
            let covered: Vec<(i32, i32)> =
                (0..64 * 64).map(|i| (i % 64, i / 64)).filter(|&(x, y)| covers(accessory, x, y)).collect();
            let width = covered.iter().map(|p| p.0).max().unwrap_or(0) - covered.iter().map(|p| p.0).min().unwrap_or(0);
            let height =
                covered.iter().map(|p| p.1).max().unwrap_or(0) - covered.iter().map(|p| p.1).min().unwrap_or(0);
            assert!(width >= 14 && height >= 14, "{accessory:?} is {width} by {height}");
            assert!(covered.iter().all(|&(x, y)| (1..63).contains(&x) && (1..63).contains(&y)), "{accessory:?}");
            assert!(core(accessory, 2).iter().filter(|&&c| c).count() >= 80, "{accessory:?}");
        }
    }
}
