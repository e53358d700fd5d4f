//! What there is in the world: shapes, colours, and the grid that they stand in.

use counterpoint::Stream;

/// Cells along a side of the grid.
pub const GRID: usize = 3;
/// Pixels along a side of a cell.
pub const CELL: u32 = 16;

/// A shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Shape {
    /// A disc.
    Circle,
    /// A square.
    Square,
    /// A triangle that stands on its side.
    Triangle,
    /// A cross of two bars.
    Cross,
}

/// The colour of a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Colour {
    /// Red.
    Red,
    /// Green.
    Green,
    /// Blue.
    Blue,
    /// Yellow.
    Yellow,
}

impl Shape {
    /// All of them, in a fixed order.
    pub const ALL: [Self; 4] = [Self::Circle, Self::Square, Self::Triangle, Self::Cross];

    /// Whether it covers a pixel of its cell: `x` right and `y` down from the cell's middle, in half pixels, odd numbers.
    pub(crate) fn covers(self, x: i32, y: i32) -> bool {
        match self {
            Self::Circle => x * x + y * y <= 132,
            Self::Square => x.abs() <= 9 && y.abs() <= 9,
            Self::Triangle => (-11..=11).contains(&y) && 2 * x.abs() <= y + 13,
            Self::Cross => x.abs().min(y.abs()) <= 3 && x.abs().max(y.abs()) <= 11,
        }
    }
}

impl Colour {
    /// All of them, in a fixed order.
    pub const ALL: [Self; 4] = [Self::Red, Self::Green, Self::Blue, Self::Yellow];

    /// Its RGB values.
    pub(crate) fn rgb(self) -> [u8; 3] {
        match self {
            Self::Red => [215, 45, 40],
            Self::Green => [45, 185, 70],
            Self::Blue => [50, 90, 225],
            Self::Yellow => [235, 210, 50],
        }
    }
}

/// A shape of a colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Thing {
    /// Its shape.
    pub shape: Shape,
    /// Its colour.
    pub colour: Colour,
}

impl Thing {
    /// All sixteen, in a fixed order.
    pub fn all() -> impl Iterator<Item = Self> {
        Shape::ALL.into_iter().flat_map(|shape| Colour::ALL.map(|colour| Self { shape, colour }))
    }
}

/// A place of the grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cell {
    /// From the top, below [`GRID`].
    pub row: usize,
    /// From the left, below [`GRID`].
    pub column: usize,
}

impl Cell {
    /// All of them, row by row.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..GRID).flat_map(|row| (0..GRID).map(move |column| Self { row, column }))
    }
}

/// Things in cells of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scene {
    /// The things and where they are.
    pub things: Vec<(Thing, Cell)>,
}

impl Scene {
    /// `things` in cells that `may` hold them, one choice like the other.
    ///
    /// # Panics
    /// When no choice of cells is allowed.
    pub(crate) fn placed(things: &[Thing], may: impl Fn(&[Cell]) -> bool, stream: &mut Stream) -> Self {
        let cells: Vec<Cell> = Cell::all().collect();
        loop {
            // In random order: a subset alone is sorted.
            let mut chosen: Vec<Cell> = Vec::with_capacity(things.len());
            while chosen.len() < things.len() {
                let cell = cells[stream.below(cells.len())];
                if !chosen.contains(&cell) {
                    chosen.push(cell);
                }
            }
            if may(&chosen) {
                return Self { things: things.iter().copied().zip(chosen).collect() };
            }
        }
    }
}
