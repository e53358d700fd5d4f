//! Reads shapes, colours and places back from pixels alone.

use counterpoint::{Error, Result};
use image::RgbImage;

use crate::SIZE;
use crate::render::GROUND;
use crate::scene::{CELL, Cell, Colour, Shape, Thing};

/// So many coloured pixels of a cell are something.
const SOMETHING: usize = 14;
/// What a shape and the pixels found share, as a part of both together, from which on they are the same.
const ALIKE: f64 = 0.62;
/// How far a shape may be from the middle of its cell, in pixels.
const OFF: i32 = 2;

/// What an image shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// In each cell where there is something: the thing, or none where it is no thing of this world.
    pub cells: Vec<(Option<Thing>, Cell)>,
}

impl Seen {
    /// The things and where they are; none when something is no thing of this world.
    pub fn all_known(&self) -> Option<Vec<(Thing, Cell)>> {
        self.cells.iter().map(|(thing, cell)| Some(((*thing)?, *cell))).collect()
    }
}

/// What `image` shows, sRGB of [`SIZE`] pixels a side.
///
/// # Errors
/// [`Data`](counterpoint::ErrorKind::Data) when it has another size.
pub fn observe(image: &RgbImage) -> Result<Seen> {
    if image.dimensions() != (SIZE, SIZE) {
        let (width, height) = image.dimensions();
        return Err(Error::data(format!(
            "expected an image of {SIZE}x{SIZE} pixels, got {width}x{height}; resize it before it is checked"
        )));
    }
    let seen = Cell::all().filter_map(|cell| Some((in_cell(image, cell)?, cell)));
    Ok(Seen { cells: seen.collect() })
}

/// What is in `cell`: nothing, something, or a thing.
fn in_cell(image: &RgbImage, cell: Cell) -> Option<Option<Thing>> {
    let at = |i: u32| {
        let (x, y) = (cell.column as u32 * CELL + i % CELL, cell.row as u32 * CELL + i / CELL);
        nearest(image.get_pixel(x, y).0)
    };
    let colours: Vec<Option<Colour>> = (0..CELL * CELL).map(at).collect();
    let count = |colour: Colour| colours.iter().filter(|found| **found == Some(colour)).count();
    if colours.iter().flatten().count() < SOMETHING {
        return None;
    }
    let colour = Colour::ALL.into_iter().max_by_key(|&colour| count(colour))?;
    // Pixels of other colours count against every shape.
    let found: Vec<bool> = colours.iter().map(Option::is_some).collect();
    let of_colour: Vec<bool> = colours.iter().map(|found| *found == Some(colour)).collect();
    let offsets = || (-OFF..=OFF).flat_map(|dy| (-OFF..=OFF).map(move |dx| (dx, dy)));
    let likeness =
        |shape: Shape| offsets().map(|offset| overlap(&of_colour, &found, shape, offset)).fold(0.0, f64::max);
    let (shape, best) =
        Shape::ALL.into_iter().map(|shape| (shape, likeness(shape))).max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some((best >= ALIKE).then_some(Thing { shape, colour }))
}

/// Pixels of the colour inside the shape, as a part of all that are found or inside.
fn overlap(of_colour: &[bool], found: &[bool], shape: Shape, (dx, dy): (i32, i32)) -> f64 {
    let side = CELL as i32;
    let (mut both, mut either) = (0_u32, 0_u32);
    for (i, (&of_colour, &found)) in (0..).zip(of_colour.iter().zip(found)) {
        let from_middle = |at: i32, offset: i32| 2 * (at - offset) - side + 1;
        let inside = shape.covers(from_middle(i % side, dx), from_middle(i / side, dy));
        both += u32::from(inside && of_colour);
        either += u32::from(inside || found);
    }
    f64::from(both) / f64::from(either.max(1))
}

/// The colour that a pixel is nearest to, none where that is the ground.
fn nearest(pixel: [u8; 3]) -> Option<Colour> {
    let distance =
        |to: [u8; 3]| -> i32 { pixel.iter().zip(to).map(|(&a, b)| (i32::from(a) - i32::from(b)).pow(2)).sum() };
    let ground = distance([GROUND; 3]);
    Colour::ALL
        .into_iter()
        .map(|colour| (distance(colour.rgb()), colour))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance < ground)
        .map(|(_, colour)| colour)
}
