//! What to paint, and whether an image shows it.

use counterpoint::Stream;

use crate::scene::{Cell, Scene, Shape, Thing};
use crate::truth::Seen;

/// Where one thing is, seen from another. One way to say it for each: two captions of one image would be two different texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Relation {
    /// In a column further to the left.
    LeftOf,
    /// In a row further up.
    Above,
}

/// What to paint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Prompt {
    /// "a red circle"
    One(Thing),
    /// "three red circles"
    Several(usize, Thing),
    /// "a red circle and a blue square"
    Two(Thing, Thing),
    /// "a red circle left of a blue square"
    Placed(Thing, Relation, Thing),
}

/// What a prompt asks of a painter, as GenEval sorts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Category {
    /// One thing of a colour.
    Colours,
    /// So many of one thing.
    Counting,
    /// Two things, each with its colour.
    Attribution,
    /// Two things, one beside the other.
    Position,
}

/// Whether an image shows what a prompt says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// These shapes and no others, whatever their colours and places.
    pub shapes: bool,
    /// Everything: shapes, colours, number and position, and nothing else.
    pub image: bool,
}

impl Relation {
    /// All of them, in a fixed order.
    pub const ALL: [Self; 2] = [Self::LeftOf, Self::Above];

    fn holds(self, a: Cell, b: Cell) -> bool {
        match self {
            Self::LeftOf => a.column < b.column,
            Self::Above => a.row < b.row,
        }
    }

    /// Whether nothing else can be said of the two: they share a row, or a column.
    fn alone(self, a: Cell, b: Cell) -> bool {
        match self {
            Self::LeftOf => a.row == b.row,
            Self::Above => a.column == b.column,
        }
    }
}

impl Category {
    /// All of them, in a fixed order.
    pub const ALL: [Self; 4] = [Self::Colours, Self::Counting, Self::Attribution, Self::Position];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Colours => "colours",
            Self::Counting => "counting",
            Self::Attribution => "attribution",
            Self::Position => "position",
        }
    }
}

impl Prompt {
    /// Every prompt, in a fixed order. The two things of a prompt differ in shape and in colour.
    pub fn all() -> Vec<Self> {
        let mut all: Vec<Self> = Thing::all().map(Self::One).collect();
        all.extend((2..=4).flat_map(|count| Thing::all().map(move |thing| Self::Several(count, thing))));
        for (a, b) in Thing::all().flat_map(|a| Thing::all().map(move |b| (a, b))) {
            if a.shape != b.shape && a.colour != b.colour {
                all.push(Self::Two(a, b));
                all.extend(Relation::ALL.map(|relation| Self::Placed(a, relation, b)));
            }
        }
        all
    }

    /// What it asks of a painter.
    pub fn category(&self) -> Category {
        match self {
            Self::One(_) => Category::Colours,
            Self::Several(..) => Category::Counting,
            Self::Two(..) => Category::Attribution,
            Self::Placed(..) => Category::Position,
        }
    }

    /// Whether it is kept from training: a quarter of the numbers of things, and of the pairs of things, in whichever order and place. Single
    /// things are not.
    pub fn is_held_out(&self) -> bool {
        match *self {
            Self::One(_) => false,
            Self::Several(count, thing) => {
                (count + thing.shape as usize + 3 * (thing.colour as usize)).is_multiple_of(4)
            }
            Self::Two(a, b) | Self::Placed(a, _, b) => {
                let (a, b) = (a.min(b), a.max(b));
                // Each colour of the one with one of the other's, another one for each pair of shapes.
                let turn = a.shape as usize + 2 * (b.shape as usize);
                (a.colour as usize + turn + 2 * (b.colour as usize)).is_multiple_of(4)
            }
        }
    }

    /// The things that an image of it shows.
    pub fn things(&self) -> Vec<Thing> {
        match *self {
            Self::One(thing) => vec![thing],
            Self::Several(count, thing) => vec![thing; count],
            Self::Two(a, b) | Self::Placed(a, _, b) => vec![a, b],
        }
    }

    /// A scene of it, drawn at random, of which no other prompt says as much: two things are in one row or column where that is asked for, and
    /// in others where it is not.
    pub fn scene(&self, stream: &mut Stream) -> Scene {
        let may = |cells: &[Cell]| match (*self, cells) {
            (Self::Two(..), &[a, b]) => a.row != b.row && a.column != b.column,
            (Self::Placed(_, relation, _), &[a, b]) => relation.holds(a, b) && relation.alone(a, b),
            _ => true,
        };
        Scene::placed(&self.things(), may, stream)
    }

    /// How much of it an image shows in which this was `seen`, in [0, 1]: a thing that is there counts 1, its shape in another colour a half, as an F-score
    /// of what is wanted and what is found, things of no kind among it; a quarter less where both things are there and not placed as is
    /// said. 1 where the [`verdict`](Self::verdict) is that the image shows it, and nowhere else.
    pub fn likeness(&self, seen: &Seen) -> f64 {
        if self.verdict(seen).image {
            return 1.0;
        }
        let wanted = self.things();
        let mut missing = wanted.clone();
        let mut found: Vec<Thing> = seen.cells.iter().filter_map(|(thing, _)| *thing).collect();
        let mut matched = 0.0;
        for (shape_alone, worth) in [(false, 1.0), (true, 0.5)] {
            let alike = |a: &Thing, b: &Thing| if shape_alone { a.shape == b.shape } else { a == b };
            missing.retain(|thing| match found.iter().position(|other| alike(thing, other)) {
                Some(at) => {
                    found.swap_remove(at);
                    matched += worth;
                    false
                }
                None => true,
            });
        }
        let score = 2.0 * matched / (wanted.len() + seen.cells.len()) as f64;
        // All there, and nothing else: misplaced.
        if score == 1.0 { 0.75 } else { score }
    }

    /// Whether an image in which this was `seen` shows it.
    pub fn verdict(&self, seen: &Seen) -> Verdict {
        let Some(found) = seen.all_known() else { return Verdict { shapes: false, image: false } };
        let mut wanted = self.things();
        let mut things: Vec<Thing> = found.iter().map(|(thing, _)| *thing).collect();
        let shapes = |things: &[Thing]| {
            let mut shapes: Vec<Shape> = things.iter().map(|thing| thing.shape).collect();
            shapes.sort_unstable();
            shapes
        };
        let same_shapes = shapes(&wanted) == shapes(&things);
        wanted.sort_unstable();
        things.sort_unstable();
        let place = |wanted: Thing| found.iter().find(|(thing, _)| *thing == wanted).map(|(_, cell)| *cell);
        let in_place = match *self {
            Self::Placed(a, relation, b) => place(a).zip(place(b)).is_some_and(|(a, b)| relation.holds(a, b)),
            _ => true,
        };
        Verdict { shapes: same_shapes, image: wanted == things && in_place }
    }
}
