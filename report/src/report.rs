//! Gathers what is known of a run and writes it down.

use std::path::Path;

use counterpoint::metrics::Metrics;
use counterpoint::{Result, file};

use crate::{Arm, Gallery, Table, page};

/// Something that was checked, for the box on top of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was checked, in a word or two.
    pub name: String,
    /// Whether all was well.
    pub passed: bool,
    /// What was found, in a sentence.
    pub detail: String,
}

impl Check {
    /// A check and what was found.
    pub fn new(name: impl Into<String>, passed: bool, detail: impl Into<String>) -> Self {
        Self { name: name.into(), passed, detail: detail.into() }
    }
}

/// A run's report: one HTML file that needs nothing else, neither network nor script.
///
/// Every part may be left out; what was not given is not shown.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub(crate) title: String,
    pub(crate) history: Option<Vec<(u64, Metrics)>>,
    pub(crate) arms: Vec<Arm>,
    pub(crate) checks: Vec<Check>,
    pub(crate) galleries: Vec<Gallery>,
    pub(crate) tables: Vec<Table>,
    pub(crate) config: Option<String>,
    pub(crate) facts: Vec<(String, String)>,
}

impl Report {
    /// An empty report with this title, usually the run's name.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), ..Self::default() }
    }

    /// Curves and summary of these steps, as [`MetricsLog::read`](counterpoint::metrics::MetricsLog::read) returns them.
    pub fn history(mut self, history: &[(u64, Metrics)]) -> Self {
        self.history = Some(history.to_vec());
        self
    }

    /// One more arm: reward, KL, throughput and what Dynamic Group Scaling did, each in one chart with a curve for each arm, over
    /// steps and over wall-clock.
    pub fn arm(mut self, arm: Arm) -> Self {
        self.arms.push(arm);
        self
    }

    /// One more line in the box on top, after what the history itself says: whether numbers were finite, scores failed,
    /// groups were dropped or steps are missing.
    pub fn check(mut self, check: Check) -> Self {
        self.checks.push(check);
        self
    }

    /// One more gallery of images.
    pub fn gallery(mut self, gallery: Gallery) -> Self {
        self.galleries.push(gallery);
        self
    }

    /// One more table.
    pub fn table(mut self, table: Table) -> Self {
        self.tables.push(table);
        self
    }

    /// The resolved config, as TOML or any other text.
    pub fn config(mut self, config: impl Into<String>) -> Self {
        self.config = Some(config.into());
        self
    }

    /// More versions and facts about the machine, such as [`machine`](crate::machine()) finds.
    pub fn facts<N: Into<String>, V: Into<String>>(mut self, facts: impl IntoIterator<Item = (N, V)>) -> Self {
        self.facts.extend(facts.into_iter().map(|(name, value)| (name.into(), value.into())));
        self
    }

    /// The page.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when a chart cannot be drawn or an image not be written as PNG.
    pub fn to_html(&self) -> Result<String> {
        Ok(page::html(self)?.into_string())
    }

    /// Writes the page to `path`, in one go, in place of a file that may be there.
    ///
    /// # Errors
    /// As [`to_html`](Self::to_html), and [`Io`](counterpoint::ErrorKind::Io) when the file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        file::replace(path, self.to_html()?.as_bytes())
    }
}
