//! What a check found: problems, warnings and a count of what is there.

use std::fmt;

use serde::Serialize;

use crate::Layout;

/// Something that is wrong, or may be: where, what was expected, what came, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// The file or folder, relative to the data set, with `/`.
    pub file: String,
    /// JSON pointer (RFC 6901) to the value inside the file, such as `/extra_info/2`; empty for the file as a whole.
    pub key: String,
    /// What was expected there.
    pub expected: String,
    /// What is there.
    pub got: String,
    /// How to repair it.
    pub fix: String,
}

impl Finding {
    pub(crate) fn new(
        (file, key): (&str, &str),
        expected: impl Into<String>,
        got: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let (expected, got, fix) = (expected.into(), got.into(), fix.into());
        Self { file: file.to_owned(), key: key.to_owned(), expected, got, fix }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = if self.file.is_empty() { "." } else { &self.file };
        write!(f, "{file}")?;
        if !self.key.is_empty() {
            write!(f, "  {}", self.key)?;
        }
        let Self { expected, got, fix, .. } = self;
        write!(f, "\n  expected: {expected}\n  got: {got}\n  fix: {fix}")
    }
}

/// How much a data set has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Concepts.
    pub concepts: usize,
    /// Photographs of the concepts, in both halves.
    pub photographs: usize,
    /// Facts about the concepts.
    pub facts: usize,
    /// Questions with their answers.
    pub questions: usize,
}

/// All that [`check`](crate::check) found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The layout that the folder has.
    pub layout: Layout,
    /// How much there is.
    pub summary: Summary,
    /// What has to be repaired, by file.
    pub problems: Vec<Finding>,
    /// What may be meant so.
    pub warnings: Vec<Finding>,
}

impl Report {
    /// Whether there is no problem; there may be warnings.
    pub fn is_ok(&self) -> bool {
        self.problems.is_empty()
    }
}

/// For people: warnings, then problems, then the summary.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (level, findings) in [("warning", &self.warnings), ("problem", &self.problems)] {
            for finding in findings {
                writeln!(f, "{level}: {finding}\n")?;
            }
        }
        let Summary { concepts, photographs, facts, questions } = self.summary;
        writeln!(f, "layout: {}", self.layout)?;
        let counts = [(concepts, "concept"), (photographs, "photograph"), (facts, "fact"), (questions, "question")];
        writeln!(f, "{}", counts.map(|(n, what)| count(n, what)).join(", "))?;
        writeln!(f, "{}, {}", count(self.problems.len(), "problem"), count(self.warnings.len(), "warning"))
    }
}

pub(crate) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}
