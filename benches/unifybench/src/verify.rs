//! Reads concept, place, accessory and colour back from pixels alone, by comparison with flat colours and templates.

use counterpoint::{Error, Result};
use image::{RgbImage, RgbaImage};
use serde::{Deserialize, Serialize};

use crate::render::{Renderer, SUBJECT_AT, SUBJECT_SIZE};
use crate::scene::{Accessory, Colour, Concept, Place, Scene};
use crate::{SIZE, place, shape};

/// RGB distances are cut off here, so that a few foreign pixels cannot outvote the rest.
const FAR: f64 = 90.0;
/// A pixel belongs to a flat colour up to this RGB distance.
const NEAR: f64 = 75.0;
/// An accessory is there when its core has its colour and the rest of the image has not, by this difference of shares.
const PRESENT: f64 = 0.5;
/// Mean RGB distance beyond which an image shows none of the places.
const NO_PLACE: f64 = 50.0;
/// Distance beyond which an image shows none of the concepts, as a share of that of a flat image.
const NO_CONCEPT: f64 = 0.95;
/// Concepts are compared by the mean colours of blocks of this many pixels a side, which blur hardly changes.
const BLOCK: i32 = 4;

/// What an image shows. `None` where it shows nothing that could be meant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The concept.
    pub concept: Option<Concept>,
    /// The place.
    pub place: Option<Place>,
    /// The accessory.
    pub accessory: Option<Accessory>,
    /// The accessory's colour.
    pub colour: Option<Colour>,
    /// How clear each of them is.
    pub margins: Margins,
}

/// How far ahead of the second best each attribute's best reading is, 0 (a tie) to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Margins {
    /// Of the concept: 1 - d1/d2 of the distances to its picture.
    pub concept: f64,
    /// Of the place: 1 - d1/d2 of the mean RGB distances to its background.
    pub place: f64,
    /// Of the accessory: difference of the shares of pixels in its colour.
    pub accessory: f64,
    /// Of the colour: difference of the shares of pixels in it.
    pub colour: f64,
}

/// Whether an image shows what it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The place is right.
    pub place: bool,
    /// The accessory is right.
    pub accessory: bool,
    /// The colour is right.
    pub colour: bool,
    /// The concept is right.
    pub concept: bool,
}

impl Verdict {
    /// Whether everything is right.
    pub fn all(self) -> bool {
        self.place && self.accessory && self.colour && self.concept
    }
}

/// The templates that images are compared with.
#[derive(Debug, Clone)]
pub struct Truth {
    renderer: Renderer,
    /// Per accessory: its inner pixels, and all that it may touch.
    shapes: Vec<(Vec<bool>, Vec<bool>)>,
    /// Per concept: the pixels of its picture that are inside its mask, away from the rim.
    inner: Vec<Vec<bool>>,
}

impl Truth {
    /// Prepares the templates.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when an embedded picture is damaged.
    pub fn new() -> Result<Self> {
        let shapes = Accessory::ALL.iter().map(|&a| (shape::core(a, 2), shape::surroundings(a, 5))).collect();
        let renderer = Renderer::new()?;
        let inner = Concept::ALL.iter().map(|&c| inner(renderer.subject(c))).collect();
        Ok(Self { renderer, shapes, inner })
    }

    /// What `image` (64x64 sRGB) shows.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when the image has another size.
    pub fn observe(&self, image: &RgbImage) -> Result<Observation> {
        if image.dimensions() != (SIZE, SIZE) {
            return Err(Error::data(format!(
                "expected an image of {SIZE}x{SIZE} pixels, got {}x{}; scale it before it is checked",
                image.width(),
                image.height()
            )));
        }
        let pixels: Vec<[u8; 3]> = image.pixels().map(|p| p.0).collect();
        let (found, accessory_margin, colour_margin) = self.accessory(&pixels);
        let hidden = found.map(|(a, _)| self.shapes[a as usize].1.as_slice());
        let (concept, concept_distance, concept_margin) = nearest(Concept::ALL, |c| self.compare(c, &pixels, hidden).0);
        let flat = self.compare(concept, &pixels, hidden).1;
        let (place, place_distance, place_margin) = nearest(Place::ALL, |p| place_distance(p, &pixels, hidden));
        Ok(Observation {
            concept: (concept_distance <= NO_CONCEPT * flat).then_some(concept),
            place: (place_distance <= NO_PLACE).then_some(place),
            accessory: found.map(|f| f.0),
            colour: found.map(|f| f.1),
            margins: Margins {
                concept: concept_margin,
                place: place_margin,
                accessory: accessory_margin,
                colour: colour_margin,
            },
        })
    }

    /// Whether `image` (64x64 sRGB) shows `scene`, attribute by attribute.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when the image has another size.
    pub fn check(&self, scene: &Scene, image: &RgbImage) -> Result<Verdict> {
        let seen = self.observe(image)?;
        Ok(Verdict {
            place: seen.place == Some(scene.place),
            accessory: seen.accessory == Some(scene.accessory),
            colour: seen.colour == Some(scene.colour),
            concept: seen.concept == Some(scene.concept),
        })
    }

    /// The accessory and colour whose core is filled and whose colour is rare elsewhere; margins of both.
    fn accessory(&self, pixels: &[[u8; 3]]) -> (Option<(Accessory, Colour)>, f64, f64) {
        let mut scores = Vec::new();
        let colours: Vec<Option<Colour>> = pixels.iter().map(|&p| nearest_colour(p)).collect();
        for &colour in Colour::ALL {
            let near: Vec<bool> = colours.iter().map(|&c| c == Some(colour)).collect();
            for &accessory in Accessory::ALL {
                let (core, surroundings) = &self.shapes[accessory as usize];
                let inside = share(&near, |i| core[i]);
                let outside = share(&near, |i| !surroundings[i]);
                scores.push((accessory, colour, inside - outside));
            }
        }
        let best = scores.iter().copied().fold(scores[0], |a, b| if b.2 > a.2 { b } else { a });
        let runner_up = |keep: &dyn Fn(&(Accessory, Colour, f64)) -> bool| {
            scores.iter().filter(|s| keep(s)).fold(0.0_f64, |m, s| m.max(s.2))
        };
        let other_accessory = runner_up(&|s| s.0 != best.0);
        let other_colour = runner_up(&|s| s.0 == best.0 && s.1 != best.1);
        let present = best.2 >= PRESENT;
        (present.then_some((best.0, best.1)), (best.2 - other_accessory).max(0.0), (best.2 - other_colour).max(0.0))
    }

    /// Mean distance of the subject's 4x4 blocks to those of the picture of `concept`, at the best of nine offsets; and
    /// that of a flat image in the mean colour of those blocks.
    fn compare(&self, concept: Concept, pixels: &[[u8; 3]], hidden: Option<&[bool]>) -> (f64, f64) {
        let mut best = (f64::INFINITY, 0.0);
        for (dx, dy) in (-1..=1).flat_map(|dy| (-1..=1).map(move |dx| (dx, dy))) {
            let blocks = self.blocks(concept, (dx, dy), pixels, hidden);
            let count = blocks.len().max(1) as f64;
            let mean: [f64; 3] = std::array::from_fn(|c| blocks.iter().map(|b| b.1[c]).sum::<f64>() / count);
            let error: f64 = blocks.iter().map(|(picture, image)| distance(*picture, *image).min(FAR)).sum();
            let flat: f64 = blocks.iter().map(|(picture, _)| distance(*picture, mean).min(FAR)).sum();
            if error / count < best.0 {
                best = (error / count, flat / count);
            }
        }
        best
    }

    /// The mean colours of the 4x4 blocks of a concept's picture, with those of the image below it; only blocks of
    /// which at least half is inside the mask, away from its rim, and visible.
    fn blocks(
        &self,
        concept: Concept,
        offset: (i32, i32),
        pixels: &[[u8; 3]],
        hidden: Option<&[bool]>,
    ) -> Vec<([f64; 3], [f64; 3])> {
        const SIDE: i32 = SUBJECT_SIZE / BLOCK;
        let mut sums = vec![([0_u32; 3], [0_u32; 3], 0_u32); (SIDE * SIDE) as usize];
        for (u, v, top) in self.renderer.subject(concept).enumerate_pixels() {
            let (u, v) = (u as i32, v as i32);
            let i = ((SUBJECT_AT.1 + offset.1 + v) * SIZE as i32 + SUBJECT_AT.0 + offset.0 + u) as usize;
            if !self.inner[concept as usize][(v * SUBJECT_SIZE + u) as usize] || hidden.is_some_and(|h| h[i]) {
                continue;
            }
            let (picture, below, count) = &mut sums[(v / BLOCK * SIDE + u / BLOCK) as usize];
            for c in 0..3 {
                picture[c] += u32::from(top.0[c]);
                below[c] += u32::from(pixels[i][c]);
            }
            *count += 1;
        }
        let visible = sums.iter().filter(|s| s.2 >= (BLOCK * BLOCK / 2) as u32);
        let mean = |sum: [u32; 3], count: u32| sum.map(|s| f64::from(s) / f64::from(count));
        visible.map(|&(picture, below, count)| (mean(picture, count), mean(below, count))).collect()
    }
}

/// The pixels of `subject` whose neighbours within two pixels are all mostly opaque.
fn inner(subject: &RgbaImage) -> Vec<bool> {
    let opaque = |x: i32, y: i32| {
        (0..SUBJECT_SIZE).contains(&x)
            && (0..SUBJECT_SIZE).contains(&y)
            && subject.get_pixel(x as u32, y as u32).0[3] >= 128
    };
    (0..SUBJECT_SIZE * SUBJECT_SIZE)
        .map(|i| (i % SUBJECT_SIZE, i / SUBJECT_SIZE))
        .map(|(x, y)| (-2..=2).all(|dy| (-2..=2).all(|dx| opaque(x + dx, y + dy))))
        .collect()
}

/// Mean distance of what surrounds the subject to the background of `place`.
fn place_distance(place: Place, pixels: &[[u8; 3]], hidden: Option<&[bool]>) -> f64 {
    let (left, top) = (SUBJECT_AT.0 - 1, SUBJECT_AT.1 - 1);
    let subject =
        |x: i32, y: i32| (left..left + SUBJECT_SIZE + 2).contains(&x) && (top..top + SUBJECT_SIZE + 2).contains(&y);
    let (mut sum, mut count) = (0.0, 0.0);
    for (i, &pixel) in pixels.iter().enumerate() {
        let (x, y) = (i as i32 % SIZE as i32, i as i32 / SIZE as i32);
        if subject(x, y) || hidden.is_some_and(|h| h[i]) {
            continue;
        }
        sum += distance(pixel.map(f64::from), place::colour_at(place, x, y).map(f64::from)).min(FAR);
        count += 1.0;
    }
    sum / count
}

/// The candidate at the smallest distance, that distance, and 1 - it / the second smallest.
fn nearest<T: Copy>(candidates: &[T], distance: impl Fn(T) -> f64) -> (T, f64, f64) {
    let (mut best, mut first, mut second) = (candidates[0], f64::INFINITY, f64::INFINITY);
    for &candidate in candidates {
        let d = distance(candidate);
        if d < first {
            (best, first, second) = (candidate, d, first);
        } else {
            second = second.min(d);
        }
    }
    (best, first, if second > 0.0 { 1.0 - first / second } else { 0.0 })
}

/// The accessory colour that a pixel has, if any.
fn nearest_colour(pixel: [u8; 3]) -> Option<Colour> {
    let (colour, d, _) = nearest(Colour::ALL, |c| distance(pixel.map(f64::from), c.rgb().map(f64::from)));
    (d <= NEAR).then_some(colour)
}

/// The share of the selected pixels that are marked.
fn share(marked: &[bool], select: impl Fn(usize) -> bool) -> f64 {
    let (mut hits, mut count) = (0_u32, 0_u32);
    for (i, &m) in marked.iter().enumerate() {
        if select(i) {
            hits += u32::from(m);
            count += 1;
        }
    }
    f64::from(hits) / f64::from(count.max(1))
}

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    let squares = [a[0] - b[0], a[1] - b[1], a[2] - b[2]].map(|d| d * d);
    (squares[0] + squares[1] + squares[2]).sqrt()
}
