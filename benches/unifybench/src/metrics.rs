//! How well a model reasons and paints; the table of before and after.

use std::fmt;

use counterpoint::{Error, Result};
use counterpoint_unictokens::Pathway;
use serde::{Deserialize, Serialize};

use crate::cells::{Cells, percent};
use crate::judged::{Judged, Right};

/// Shares of items that are right, each 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Number of items.
    pub items: usize,
    /// The reasoning is the fact, word for word.
    pub reasoning: f64,
    /// Attribute accuracy of images: the mean of the next four.
    pub attributes: f64,
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
    /// The names of [`values`](Self::values).
    pub const NAMES: [&'static str; 8] =
        ["reasoning", "attributes", "concept", "place", "accessory", "colour", "image", "joint"];

    /// The shares over `items`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when there are none.
    pub fn of<'a>(items: impl IntoIterator<Item = &'a Right>) -> Result<Self> {
        let items: Vec<&Right> = items.into_iter().collect();
        if items.is_empty() {
            return Err(Error::data("expected at least one item to score, got none"));
        }
        let share = |right: fn(&Right) -> bool| items.iter().filter(|i| right(i)).count() as f64 / items.len() as f64;
        let (concept, place) = (share(|right| right.concept), share(|right| right.place));
        let (accessory, colour) = (share(|right| right.accessory), share(|right| right.colour));
        Ok(Self {
            items: items.len(),
            reasoning: share(|right| right.reasoning),
            attributes: (concept + place + accessory + colour) / 4.0,
            concept,
            place,
            accessory,
            colour,
            image: share(Right::image),
            joint: share(Right::joint),
        })
    }

    /// The shares in the order of [`NAMES`](Self::NAMES).
    pub fn values(&self) -> [f64; 8] {
        let Self { items: _, reasoning, attributes, concept, place, accessory, colour, image, joint } = *self;
        [reasoning, attributes, concept, place, accessory, colour, image, joint]
    }
}

/// The parts of an evaluation that are reported: each pathway that occurs, and both together.
pub fn splits(samples: &[Judged]) -> Vec<(String, Vec<&Judged>)> {
    let of = |pathway: Pathway| samples.iter().filter(|s| s.pathway == pathway).collect::<Vec<_>>();
    let both = ("held-out, both".to_owned(), samples.iter().collect());
    let named = [("held-out, textual", of(Pathway::Textual)), ("held-out, visual", of(Pathway::Visual))];
    let named = named.into_iter().map(|(name, of)| (name.to_owned(), of));
    let found: Vec<_> = named.chain([both]).filter(|(_, of)| !of.is_empty()).collect();
    // Of a single pathway there is no "both".
    if found.len() == 2 { found.into_iter().take(1).collect() } else { found }
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
    /// The table of an evaluation before and one after training.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when the two are not of the same pathways.
    pub fn of(before: &[Judged], after: &[Judged]) -> Result<Self> {
        let (before, after) = (splits(before), splits(after));
        let names = |of: &[(String, Vec<&Judged>)]| of.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        if names(&before) != names(&after) {
            return Err(Error::data(format!(
                "expected the same splits before and after, got {:?} and {:?}",
                names(&before),
                names(&after)
            )));
        }
        let metrics = |of: Vec<&Judged>| Metrics::of(of.into_iter().map(|s| &s.right));
        let rows = before.into_iter().zip(after);
        let rows = rows.map(|((split, b), (_, a))| Ok(Row { split, before: metrics(b)?, after: metrics(a)? }));
        Ok(Self { rows: rows.collect::<Result<_>>()? })
    }

    /// As text: a line before and a line after for each row, shares in %.
    pub fn cells(&self) -> Cells {
        let mut rows = Vec::new();
        for row in &self.rows {
            for (when, metrics) in [("before", &row.before), ("after", &row.after)] {
                let split = format!("{}, {when}", row.split);
                rows.push(
                    [split, metrics.items.to_string()].into_iter().chain(metrics.values().map(percent)).collect(),
                );
            }
        }
        let header = ["split", "items"].into_iter().chain(Metrics::NAMES).map(str::to_owned).collect();
        Cells { header, rows }
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
        for name in Metrics::NAMES {
            write!(f, "  {name:>10}")?;
        }
        writeln!(f)?;
        for row in &self.rows {
            for (when, metrics) in [("before", &row.before), ("after", &row.after)] {
                write!(f, "{:<wide$}  {when:<6}  {:>5}", row.split, metrics.items)?;
                for value in metrics.values() {
                    write!(f, "  {:>10.1}", 100.0 * value)?;
                }
                writeln!(f)?;
            }
            write!(f, "{:<wide$}  {:<6}  {:>5}", "", "change", "")?;
            for (before, after) in row.before.values().into_iter().zip(row.after.values()) {
                write!(f, "  {:>+10.1}", 100.0 * (after - before))?;
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
    use crate::judged::Item;
    use crate::render::{Jitter, Renderer};
    use crate::scene::{Accessory, Colour, Concept, Place, Scene};
    use crate::verify::Truth;

    const SCENE: Scene =
        Scene { concept: Concept::Kit, place: Place::Park, accessory: Accessory::Ball, colour: Colour::Pink };

    fn judged() -> Vec<Judged> {
        let (renderer, truth) = (Renderer::new().unwrap(), Truth::new().unwrap());
        let image = |scene: Scene| Some(renderer.render(&scene, Jitter::new(1)));
        let item = |response: &str, image| Item { scene: SCENE, response: response.into(), image };
        let items = [
            item("park pink ball.", image(SCENE)),
            item(" park  pink ball. ", image(Scene { colour: Colour::Blue, ..SCENE })),
            item("lake pink ball.", image(SCENE)),
            item("", None),
        ];
        let judged = |(i, item): (usize, &Item)| Judged {
            pathway: if i < 2 { Pathway::Textual } else { Pathway::Visual },
            task: 0,
            prompt: String::new(),
            response: item.response.clone(),
            answer: String::new(),
            right: Right::of(&truth, item).unwrap(),
            rewards: Default::default(),
        };
        items.iter().enumerate().map(judged).collect()
    }

    #[test]
    fn shares_are_counted_per_attribute_and_jointly() {
        let m = Metrics::of(judged().iter().map(|j| &j.right)).unwrap();
        let expected = Metrics {
            items: 4,
            reasoning: 0.5,
            attributes: 0.6875,
            concept: 0.75,
            place: 0.75,
            accessory: 0.75,
            colour: 0.5,
            image: 0.5,
            joint: 0.25,
        };
        assert_eq!(m, expected);
        assert!(Metrics::of([]).unwrap_err().to_string().contains("got none"));
    }

    #[test]
    fn the_table_is_aligned_and_survives_json() {
        let samples = judged();
        let table = HeldOutTable::of(&samples, &[samples[0].clone(), samples[2].clone()]).unwrap();
        let text = table.to_string();
        let lengths: Vec<usize> = text.lines().map(str::len).collect();
        assert_eq!(lengths.len(), 10);
        assert!(lengths.iter().all(|&l| l == lengths[0]), "{text}");
        assert!(text.contains("held-out, both") && text.contains("+25.0"), "{text}");
        let back: HeldOutTable = serde_json::from_str(&table.to_json().unwrap()).unwrap();
        assert_eq!(back, table);
    }

    #[test]
    fn one_pathway_is_one_split_and_unlike_evaluations_are_refused() {
        let samples = judged();
        assert_eq!(HeldOutTable::of(&samples[..2], &samples[..1]).unwrap().rows.len(), 1);
        let error = HeldOutTable::of(&samples, &samples[..1]).unwrap_err();
        assert!(error.to_string().contains("the same splits"), "{error}");
    }
}
