//! Prompts, questions and answers in words.

use std::fmt;

use counterpoint::Stream;

use crate::prompt::{Prompt, Relation};
use crate::scene::{Colour, Scene, Shape, Thing};

const NUMBERS: [&str; 5] = ["zero", "one", "two", "three", "four"];
const LETTERS: [char; 4] = ['A', 'B', 'C', 'D'];

/// A question about an image, its answer, and the kind that CoRL's data call it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// The question; choices are lines such as `A. red`.
    pub problem: String,
    /// The answer: the letter of a choice, or a word.
    pub solution: String,
    /// `MC` for choices, `OE` without.
    pub kind: &'static str,
    /// What else it could be answered with, all of it wrong.
    pub wrong: Vec<String>,
}

/// Every word that prompts, questions and answers have.
pub fn vocabulary() -> Vec<&'static str> {
    let mut words = vec!["a", "and", "left", "of", "above", "<think>", "</think>", "<answer>", "</answer>"];
    words.extend(["what", "which", "how", "many", "is", "are", "there", "colour", "shape", "shapes", "the", "?", "."]);
    words.extend(["A", "B", "C", "D"]);
    words.extend(&NUMBERS[1..]);
    words.extend(Colour::ALL.map(Colour::word));
    words.extend(Shape::ALL.map(Shape::word));
    words.extend(Shape::ALL.map(Shape::words));
    words
}

impl Shape {
    /// The word for one.
    pub fn word(self) -> &'static str {
        match self {
            Self::Circle => "circle",
            Self::Square => "square",
            Self::Triangle => "triangle",
            Self::Cross => "cross",
        }
    }

    /// The word for several.
    pub fn words(self) -> &'static str {
        match self {
            Self::Circle => "circles",
            Self::Square => "squares",
            Self::Triangle => "triangles",
            Self::Cross => "crosses",
        }
    }
}

impl Colour {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Green => "green",
            Self::Blue => "blue",
            Self::Yellow => "yellow",
        }
    }
}

impl Relation {
    /// The words for it.
    pub fn words(self) -> &'static str {
        match self {
            Self::LeftOf => "left of",
            Self::Above => "above",
        }
    }
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {} {}", self.colour.word(), self.shape.word())
    }
}

impl fmt::Display for Prompt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(thing) => write!(f, "{thing}"),
            Self::Several(count, Thing { shape, colour }) => {
                write!(f, "{} {} {}", NUMBERS[*count], colour.word(), shape.words())
            }
            Self::Two(a, b) => write!(f, "{a} and {b}"),
            Self::Placed(a, relation, b) => write!(f, "{a} {} {b}", relation.words()),
        }
    }
}

impl Prompt {
    /// The prompt that says `text`; none when no one does.
    pub fn parse(text: &str) -> Option<Self> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let thing = |words: &[&str]| match words {
            ["a", colour, shape] => Some(Thing {
                shape: Shape::ALL.into_iter().find(|known| known.word() == *shape)?,
                colour: Colour::ALL.into_iter().find(|known| known.word() == *colour)?,
            }),
            _ => None,
        };
        if let [count, colour, shape] = words[..]
            && let Some(count) =
                NUMBERS.iter().position(|number| *number == count).filter(|count| (2..=4).contains(count))
        {
            let shape = Shape::ALL.into_iter().find(|known| known.words() == shape)?;
            let colour = Colour::ALL.into_iter().find(|known| known.word() == colour)?;
            return Some(Self::Several(count, Thing { shape, colour }));
        }
        let (first, rest) = words.split_at_checked(3)?;
        let first = thing(first)?;
        if rest.is_empty() {
            return Some(Self::One(first));
        }
        let (between, second) = rest.split_at_checked(rest.len().checked_sub(3)?)?;
        let second = thing(second)?;
        match between {
            ["and"] => Some(Self::Two(first, second)),
            _ => {
                let relation = Relation::ALL.into_iter().find(|known| known.words() == between.join(" "))?;
                Some(Self::Placed(first, relation, second))
            }
        }
    }
}

/// A question about an image of `scene`, drawn at random: its number of shapes, or the colour or shape of one of them, with choices or
/// without.
pub fn question(scene: &Scene, stream: &mut Stream) -> Question {
    let (thing, _) = scene.things[stream.below(scene.things.len())];
    let (shape, colour) = (thing.shape, thing.colour);
    // All shapes of one scene have different colours, or all the same.
    let several = scene.things.iter().filter(|(other, _)| *other == thing).count() > 1;
    let (be, noun) = if several { ("are", shape.words()) } else { ("is", shape.word()) };
    let colours: Vec<&str> = Colour::ALL.map(Colour::word).to_vec();
    let (asked, right, answers) = match stream.below(3) {
        0 => ("how many shapes are there ?".to_owned(), NUMBERS[scene.things.len()], NUMBERS[1..].to_vec()),
        1 => (format!("what colour {be} the {noun} ?"), colour.word(), colours),
        _ => (format!("what shape is {} ?", colour.word()), shape.word(), Shape::ALL.map(Shape::word).to_vec()),
    };
    let others =
        |right: &str, all: &[&str]| all.iter().filter(|other| **other != right).map(|o| (*o).to_owned()).collect();
    if stream.below(2) == 0 {
        return Question { problem: asked, solution: right.to_owned(), kind: "OE", wrong: others(right, &answers) };
    }
    let mut order: Vec<usize> = (0..answers.len()).collect();
    for i in (1..order.len()).rev() {
        order.swap(i, stream.below(i + 1));
    }
    let lines: Vec<String> =
        order.iter().zip(LETTERS).map(|(&i, letter)| format!("{letter}. {}", answers[i])).collect();
    let letter = order.iter().zip(LETTERS).find(|(i, _)| answers[**i] == right).map_or('A', |(_, letter)| letter);
    let letters: Vec<String> = LETTERS.iter().map(char::to_string).collect();
    let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
    Question {
        problem: format!("{asked}\n{}", lines.join("\n")),
        solution: letter.to_string(),
        kind: "MC",
        wrong: others(&letter.to_string(), &letters),
    }
}

/// An answer as it should be: what the image shows, then the answer, both tagged.
pub fn tagged(thought: &str, answer: &str) -> String {
    format!("<think> {thought} </think> <answer> {answer} </answer>")
}
