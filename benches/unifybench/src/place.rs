//! The places' backgrounds: sky, ground and a simple motif, in colours far from those of accessories.

use crate::scene::Place;

/// The row where the ground begins.
const HORIZON: i32 = 38;

/// The background's colour at pixel (x, y).
pub(crate) fn colour_at(place: Place, x: i32, y: i32) -> [u8; 3] {
    let ground = y >= HORIZON;
    let column = x.min(63 - x);
    match place {
        // Sea under a light sky, pale sand.
        Place::Beach if ground => [238, 215, 160],
        Place::Beach if y >= 28 => [100, 175, 200],
        Place::Beach => [170, 218, 248],
        // Brown trunks in front of dull green.
        Place::Forest if !ground && column % 8 < 3 => [92, 68, 48],
        Place::Forest if !ground => [112, 140, 104],
        Place::Forest => [88, 92, 58],
        // Dunes, a rising slope on each side.
        Place::Desert if ground => [196, 140, 84],
        Place::Desert if y >= 22 + column / 2 => [222, 172, 112],
        Place::Desert => [250, 222, 184],
        // Grey flanks rising to both sides, white ground.
        Place::Mountain if ground => [246, 248, 252],
        Place::Mountain if y >= 14 + 2 * column => [120, 128, 140],
        Place::Mountain => [198, 210, 222],
        // Blocks with window rows, dark grey road.
        Place::City if ground => [84, 86, 92],
        Place::City if column < 8 && y >= 8 && y % 6 < 3 => [70, 76, 90],
        Place::City if column < 8 && y >= 8 => [142, 140, 146],
        Place::City => [176, 176, 180],
        // Still water with light bands, reeds' colour at the shore.
        Place::Lake if ground && y % 6 < 2 => [140, 186, 190],
        Place::Lake if ground => [72, 124, 140],
        Place::Lake if y >= 30 => [150, 160, 120],
        Place::Lake => [212, 232, 232],
        // Light grass with white flowers, pale hedge.
        Place::Park if ground && (x % 8 < 2 && y % 8 < 2) => [250, 250, 240],
        Place::Park if ground => [150, 204, 124],
        Place::Park if y >= 26 => [130, 170, 120],
        Place::Park => [222, 240, 214],
        // Rosy wall with battlements, warm stone floor.
        Place::Castle if ground => [150, 118, 116],
        Place::Castle if y >= 22 || (y >= 16 && x % 8 < 4) => [188, 158, 160],
        Place::Castle => [238, 222, 236],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::Colour;

    fn distance(a: [u8; 3], b: [u8; 3]) -> f64 {
        let squares = a.iter().zip(b).map(|(&x, y)| (f64::from(x) - f64::from(y)).powi(2));
        squares.sum::<f64>().sqrt()
    }

    #[test]
    fn accessory_colours_are_far_from_each_other_and_from_every_background() {
        for (i, &a) in Colour::ALL.iter().enumerate() {
            for &b in &Colour::ALL[i + 1..] {
                assert!(distance(a.rgb(), b.rgb()) > 120.0, "{a:?} and {b:?}");
            }
            for &place in Place::ALL {
                for i in 0..64 * 64 {
                    let d = distance(a.rgb(), colour_at(place, i % 64, i / 64));
                    assert!(d > 85.0, "{a:?} and {place:?} at {}, {}: {d}", i % 64, i / 64);
                }
            }
        }
    }

    #[test]
    fn places_differ_in_mean_colour_of_sky_and_ground() {
        let mean = |place: Place, rows: std::ops::Range<i32>| {
            let mut sum = [0_u32; 3];
            let count = rows.len() as u32 * 64;
            for y in rows {
                for x in 0..64 {
                    for (s, c) in sum.iter_mut().zip(colour_at(place, x, y)) {
                        *s += u32::from(c);
                    }
                }
            }
            sum.map(|s| (s / count) as u8)
        };
        for (i, &a) in Place::ALL.iter().enumerate() {
            for &b in &Place::ALL[i + 1..] {
                let sky = distance(mean(a, 0..HORIZON), mean(b, 0..HORIZON));
                let ground = distance(mean(a, HORIZON..64), mean(b, HORIZON..64));
                assert!(sky + ground > 50.0, "{a:?} and {b:?}: {sky} {ground}");
            }
        }
    }
}
