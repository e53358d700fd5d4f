//! How well a model reasons and paints, judged by the world's truth; the table of before and after.

use std::fmt;

use counterpoint::{Error, Result};
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::language::{fact, words};
use crate::scene::Scene;
use crate::verify::Truth;

/// What a model made of one task.
#[derive(Debug, Clone)]
pub struct Item {
    /// What it should have said and painted.
    pub scene: Scene,
    /// The reasoning IR that it wrote.
    pub response: String,
    /// The image that it painted, 64x64 sRGB; `None` counts as wrong in every attribute.
    pub image: Option<RgbImage>,
}

/// Shares of items that are right, each 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Number of items.
    pub items: usize,
    /// The reasoning is the fact, word for word.
    pub reasoning: f64,
    /// The image shows the concept.
    pub concept: f64,
    /// The image shows the place.
    pub place: f64,
    /// The image shows the accessory.
    pub accessory: f64,
    /// The accessory has the colour.
    pub colour: f64,
    /// The image is right in all four.
    pub image: f64,
    /// Reasoning and image are right.
    pub joint: f64,
}

impl Metrics {
    /// The shares over `items`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when there are no items or an image is not 64x64.
    pub fn of(truth: &Truth, items: &[Item]) -> Result<Self> {
        if items.is_empty() {
            return Err(Error::data("expected at least one item to score, got none"));
        }
        let mut counts = [0_usize; 7];
        for (i, item) in items.iter().enumerate() {
            let reasoning = words(&item.response) == words(&fact(&item.scene));
            let right = match &item.image {
                Some(image) => {
                    let v = truth.check(&item.scene, image).map_err(|e| e.at(format!("item {i}")))?;
                    [v.concept, v.place, v.accessory, v.colour]
                }
                None => [false; 4],
            };
            let all = right.iter().all(|&r| r);
            let [concept, place, accessory, colour] = right;
            for (count, hit) in
                counts.iter_mut().zip([reasoning, concept, place, accessory, colour, all, all && reasoning])
            {
                *count += usize::from(hit);
            }
        }
        let [reasoning, concept, place, accessory, colour, image, joint] =
            counts.map(|c| c as f64 / items.len() as f64);
        Ok(Self { items: items.len(), reasoning, concept, place, accessory, colour, image, joint })
    }

    fn columns(&self) -> [(&'static str, f64); 7] {
        [
            ("reasoning", self.reasoning),
            ("concept", self.concept),
            ("place", self.place),
            ("accessory", self.accessory),
            ("colour", self.colour),
            ("image", self.image),
            ("joint", self.joint),
        ]
    }
}

/// One row of a [`HeldOutTable`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// Which items, such as `held-out, textual`.
    pub split: String,
    /// Before training.
    pub before: Metrics,
    /// After training.
    pub after: Metrics,
}

/// Metrics before and after training; prints as an aligned text table, serialises to JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOutTable {
    /// The rows, in order.
    pub rows: Vec<Row>,
}

impl HeldOutTable {
    /// Adds a row.
    pub fn push(&mut self, split: impl Into<String>, before: Metrics, after: Metrics) {
        self.rows.push(Row { split: split.into(), before, after });
    }

    /// The table as JSON, indented.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when it cannot be written as JSON.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|e| Error::data("cannot write the table as JSON").with_source(e))
    }
}

impl fmt::Display for HeldOutTable {
    /// Percentages: a line before, a line after and the difference for each row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wide = self.rows.iter().map(|r| r.split.chars().count()).max().unwrap_or(0).max("split".len());
        write!(f, "{:<wide$}  {:<6}  {:>5}", "split", "", "items")?;
        let Some(first) = self.rows.first() else { return writeln!(f) };
        for (name, _) in first.before.columns() {
            write!(f, "  {name:>9}")?;
        }
        writeln!(f)?;
        for row in &self.rows {
            for (when, metrics) in [("before", &row.before), ("after", &row.after)] {
                write!(f, "{:<wide$}  {when:<6}  {:>5}", row.split, metrics.items)?;
                for (_, value) in metrics.columns() {
                    write!(f, "  {:>9.1}", 100.0 * value)?;
                }
                writeln!(f)?;
            }
            write!(f, "{:<wide$}  {:<6}  {:>5}", "", "change", "")?;
            for ((_, before), (_, after)) in row.before.columns().into_iter().zip(row.after.columns()) {
                write!(f, "  {:>+9.1}", 100.0 * (after - before))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::render::{Jitter, Renderer};
    use crate::scene::{Accessory, Colour, Concept, Place};

    const SCENE: Scene =
        Scene { concept: Concept::Kit, place: Place::Park, accessory: Accessory::Ball, colour: Colour::Pink };

    fn items() -> Vec<Item> {
        let renderer = Renderer::new().unwrap();
        let image = |scene: Scene| Some(renderer.render(&scene, Jitter::new(1)));
        let item = |response: &str, image| Item { scene: SCENE, response: response.into(), image };
        vec![
            item("park pink ball.", image(SCENE)),
            item(" park  pink ball. ", image(Scene { colour: Colour::Blue, ..SCENE })),
            item("lake pink ball.", image(SCENE)),
            item("", None),
        ]
    }

    #[test]
    fn shares_are_counted_per_attribute_and_jointly() {
        let m = Metrics::of(&Truth::new().unwrap(), &items()).unwrap();
        let expected = Metrics {
            items: 4,
            reasoning: 0.5,
            concept: 0.75,
            place: 0.75,
            accessory: 0.75,
            colour: 0.5,
            image: 0.5,
            joint: 0.25,
        };
        assert_eq!(m, expected);
        assert!(Metrics::of(&Truth::new().unwrap(), &[]).unwrap_err().to_string().contains("got none"));
    }

    #[test]
    fn the_table_is_aligned_and_survives_json() {
        let truth = Truth::new().unwrap();
        let (before, after) = (Metrics::of(&truth, &items()).unwrap(), Metrics::of(&truth, &items()[..1]).unwrap());
        let mut table = HeldOutTable::default();
        table.push("held-out, textual", before, after);
        table.push("all", after, before);
        let text = table.to_string();
        let lengths: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!(lengths.len(), 7);
        assert!(lengths.iter().all(|&l| l == lengths[0]), "{text}");
        assert!(text.contains("+75.0") && text.contains("-75.0"), "{text}");
        let back: HeldOutTable = serde_json::from_str(&table.to_json().unwrap()).unwrap();
        assert_eq!(back, table);
    }
}
