//! How well a model reasons and paints; the table of before and after.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use counterpoint::evaluation::means;
use counterpoint::{Error, Judged, Result};
use serde::{Deserialize, Serialize};

use crate::cells::{Cells, number, percent};

/// Means of an evaluation's scores, or of the rewards where the evaluator gives none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// Number of samples.
    pub items: usize,
    /// Name and mean of each score.
    pub scores: Vec<(String, f64)>,
}

impl Metrics {
    /// The means over `samples`.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when there are none.
    pub fn of<'a>(samples: impl IntoIterator<Item = &'a Judged>) -> Result<Self> {
        let samples: Vec<&Judged> = samples.into_iter().collect();
        if samples.is_empty() {
            return Err(Error::data("expected at least one item to score, got none"));
        }
        Ok(Self { items: samples.len(), scores: means(samples) })
    }

    /// The mean of this name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.scores.iter().find(|(known, _)| known == name).map(|(_, mean)| *mean)
    }
}

/// The parts of an evaluation that are reported: the splits that share the names of their scores, in alphabetical order, all
/// of these together, and the others, whose scores are of something else.
pub fn splits(samples: &[Judged]) -> Vec<(String, Vec<&Judged>)> {
    let mut parts: BTreeMap<&str, Vec<&Judged>> = BTreeMap::new();
    for sample in samples {
        parts.entry(&sample.split).or_default().push(sample);
    }
    let mut alike: Vec<(Vec<&str>, Vec<&str>)> = Vec::new();
    for (&split, samples) in &parts {
        let scores = samples.iter().flat_map(|s| &s.scores).map(|(name, _)| name.as_str());
        let scores: Vec<&str> = scores.collect::<BTreeSet<_>>().into_iter().collect();
        match alike.iter_mut().find(|(known, _)| *known == scores) {
            Some((_, splits)) => splits.push(split),
            None => alike.push((scores, vec![split])),
        }
    }
    alike.sort_by_key(|(_, splits)| std::cmp::Reverse(splits.len()));
    let mut found = Vec::new();
    for (i, (_, splits)) in alike.iter().enumerate() {
        // A split may have no name.
        let name = |split: &str| format!("{HELD_OUT}{split}").trim_end_matches(", ").to_owned();
        found.extend(splits.iter().map(|split| (name(split), parts[split].clone())));
        let together = if splits.len() == 2 { "both" } else { "all" };
        if i == 0 && splits.len() > 1 {
            let merged = samples.iter().filter(|sample| splits.contains(&sample.split.as_str())).collect();
            found.push((name(together), merged));
        }
    }
    found
}

/// What the names of reported parts begin with.
const HELD_OUT: &str = "held-out, ";

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

impl Row {
    /// What a score is called in this row: `image` is the `painting/image` of the split `painting`.
    fn short<'a>(&self, name: &'a str) -> &'a str {
        let split = self.split.strip_prefix(HELD_OUT).unwrap_or_default();
        name.strip_prefix(split).and_then(|rest| rest.strip_prefix('/')).unwrap_or(name)
    }

    /// The mean that this row calls so.
    fn get(&self, of: &Metrics, short: &str) -> Option<f64> {
        of.scores.iter().find(|(name, _)| self.short(name) == short).map(|(_, mean)| *mean)
    }
}

/// Metrics before and after training; prints as an aligned text table, serialises to JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOutTable {
    /// Whether the scores are shares, shown in %, and not rewards.
    pub shares: bool,
    /// The rows, in order.
    pub rows: Vec<Row>,
}

impl HeldOutTable {
    /// The table of an evaluation before and one after training.
    ///
    /// # Errors
    /// [`ErrorKind::Data`](counterpoint::ErrorKind::Data) when the two are not of the same pathways.
    pub fn of(before: &[Judged], after: &[Judged]) -> Result<Self> {
        let shares = before.iter().any(|sample| !sample.scores.is_empty());
        let (before, after) = (splits(before), splits(after));
        let names = |of: &[(String, Vec<&Judged>)]| of.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        if names(&before) != names(&after) {
            return Err(Error::data(format!(
                "expected the same splits before and after, got {:?} and {:?}",
                names(&before),
                names(&after)
            )));
        }
        let rows = before.into_iter().zip(after);
        let rows = rows.map(|((split, b), (_, a))| Ok(Row { split, before: Metrics::of(b)?, after: Metrics::of(a)? }));
        Ok(Self { shares, rows: rows.collect::<Result<_>>()? })
    }

    /// The scores that occur, in order, as their rows call them.
    fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for row in &self.rows {
            for (name, _) in row.before.scores.iter().chain(&row.after.scores) {
                if !names.contains(&row.short(name)) {
                    names.push(row.short(name));
                }
            }
        }
        names
    }

    /// What the scores are in.
    pub fn unit(&self) -> &'static str {
        if self.shares { "shares in %" } else { "means of the rewards" }
    }

    /// As text: a line before and a line after for each row, shares in %.
    pub fn cells(&self) -> Cells {
        let names = self.names();
        let mut rows = Vec::new();
        for row in &self.rows {
            for (when, metrics) in [("before", &row.before), ("after", &row.after)] {
                let split = format!("{}, {when}", row.split);
                let show = |name: &&str| row.get(metrics, name).map_or("-".to_owned(), |value| self.show(value));
                rows.push([split, metrics.items.to_string()].into_iter().chain(names.iter().map(show)).collect());
            }
        }
        let header = ["split", "items"].into_iter().chain(names).map(str::to_owned).collect();
        Cells { header, rows }
    }

    fn show(&self, value: f64) -> String {
        if self.shares { percent(value) } else { number(value) }
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
    /// A line before, a line after and the difference for each row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.names();
        let wide = self.rows.iter().map(|r| r.split.chars().count()).max().unwrap_or(0).max("split".len());
        write!(f, "{:<wide$}  {:<6}  {:>5}", "split", "", "items")?;
        for name in &names {
            write!(f, "  {name:>10}")?;
        }
        writeln!(f)?;
        for row in &self.rows {
            for (when, metrics) in [("before", &row.before), ("after", &row.after)] {
                write!(f, "{:<wide$}  {when:<6}  {:>5}", row.split, metrics.items)?;
                for name in &names {
                    write!(f, "  {:>10}", row.get(metrics, name).map_or("-".to_owned(), |value| self.show(value)))?;
                }
                writeln!(f)?;
            }
            write!(f, "{:<wide$}  {:<6}  {:>5}", "", "change", "")?;
            for name in &names {
                let change =
                    row.get(&row.before, name).zip(row.get(&row.after, name)).map(|(before, after)| after - before);
                let sign = if change.is_some_and(|change| change >= 0.0) { "+" } else { "" };
                write!(f, "  {:>10}", change.map_or("-".to_owned(), |change| format!("{sign}{}", self.show(change))))?;
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
    use crate::judged::{Item, Right};
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
            split: if i < 2 { "textual" } else { "visual" }.to_owned(),
            response: item.response.clone(),
            scores: Right::of(&truth, item).unwrap().scores(),
            ..Judged::default()
        };
        items.iter().enumerate().map(judged).collect()
    }

    #[test]
    fn shares_are_counted_per_attribute_and_jointly() {
        let m = Metrics::of(&judged()).unwrap();
        let expected = [
            ("reasoning", 0.5),
            ("attributes", 0.6875),
            ("concept", 0.75),
            ("place", 0.75),
            ("accessory", 0.75),
            ("colour", 0.5),
            ("image", 0.5),
            ("joint", 0.25),
        ];
        assert_eq!((m.items, m.scores), (4, expected.map(|(name, mean)| (name.to_owned(), mean)).to_vec()));
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

    #[test]
    fn what_was_painted_for_a_given_fact_is_a_row_of_its_own() {
        let (truth, mut samples) = (Truth::new().unwrap(), judged());
        let renderer = Renderer::new().unwrap();
        for place in [Place::Park, Place::Lake] {
            let image = Some(renderer.render(&Scene { place, ..SCENE }, Jitter::new(2)));
            let right = Right::of(&truth, &Item { scene: SCENE, response: "park pink ball.".into(), image }).unwrap();
            samples.push(Judged { split: "painting".to_owned(), scores: right.painting(), ..Judged::default() });
        }
        let found = splits(&samples);
        let counts: Vec<(&str, usize)> = found.iter().map(|(name, of)| (name.as_str(), of.len())).collect();
        let expected = [("textual", 2), ("visual", 2), ("both", 4), ("painting", 2)];
        assert_eq!(
            counts,
            expected
                .map(|(name, count)| (["held-out, ", name].concat(), count))
                .each_ref()
                .map(|(n, c)| (n.as_str(), *c))
        );

        let table = HeldOutTable::of(&samples, &samples).unwrap();
        let [both, painting] = [2, 3].map(|i| &table.rows[i].before);
        assert_eq!((both.get("image"), both.get("painting/image")), (Some(0.5), None));
        assert_eq!((painting.get("image"), painting.get("painting/image")), (None, Some(0.5)));
        assert_eq!(painting.scores.len(), 6, "neither reasoning nor joint: {painting:?}");
        let text = table.to_string();
        assert!(text.lines().all(|line| line.len() == text.find('\n').unwrap()), "{text}");
        let cells = table.cells();
        let column = |name: &str| cells.header.iter().position(|head| head == name).unwrap();
        let row = &cells.rows[6];
        let shown = ["items", "reasoning", "place", "image", "joint"].map(|name| row[column(name)].as_str());
        assert_eq!((row[0].as_str(), shown), ("held-out, painting, before", ["2", "-", "50.0", "50.0", "-"]));
        assert_eq!(cells.header.len(), 2 + 8, "{:?}", cells.header);
    }

    #[test]
    fn rewards_alone_are_compared_as_they_are() {
        let sample = |ber: f64| Judged { rewards: [("ber".to_owned(), ber)].into(), ..Judged::default() };
        let table = HeldOutTable::of(&[sample(0.25)], &[sample(0.5)]).unwrap();
        assert!(!table.shares && table.to_string().contains("+0.250"), "{table}");
        assert_eq!(table.cells().rows[1], ["held-out, after", "1", "0.500"]);
    }
}
