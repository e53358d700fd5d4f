//! Finds everything that is wrong with a data set, all at once.

mod concept;
mod pictures;
mod plain;
mod set;
mod texts;

use std::path::Path;

use serde_json::Value;

use crate::folder::{Listing, list_if_present};
use crate::report::{Finding, Report, Summary};
use crate::schema::{Schema, Schemas};
use crate::{Layout, Result, json};

pub(crate) use pictures::{Half, Seen, seen_in};

/// Checks the data set in the folder `root`, whatever its [`Layout`].
///
/// # Errors
/// When `root` is no folder that can be read, or has none of the layouts. All that is wrong inside is in the report.
pub fn check(root: &Path) -> Result<Report> {
    check_among(root, &Around::default())
}

/// What is there besides the data set that is checked: that which it will be added to.
#[derive(Default)]
pub(crate) struct Around {
    /// Names of concepts.
    pub names: Vec<String>,
    /// Their photographs.
    pub seen: Vec<Seen>,
}

/// As [`check`], among others.
pub(crate) fn check_among(root: &Path, around: &Around) -> Result<Report> {
    let layout = Layout::of(root)?;
    let mut checker = Checker {
        root,
        schemas: Schemas::new()?,
        names: around.names.clone(),
        seen: Vec::new(),
        summary: Summary::default(),
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    match layout {
        Layout::UniCTokens => checker.set(),
        _ => checker.plain(layout)?,
    }
    checker.leakage(&around.seen);
    let Checker { summary, mut problems, mut warnings, .. } = checker;
    problems.sort();
    warnings.sort();
    Ok(Report { layout, summary, problems, warnings })
}

/// A check under way.
struct Checker<'a> {
    root: &'a Path,
    schemas: Schemas,
    /// Every concept, for tokens in texts.
    names: Vec<String>,
    /// Every photograph of a concept that could be read.
    seen: Vec<Seen>,
    summary: Summary,
    problems: Vec<Finding>,
    warnings: Vec<Finding>,
}

impl Checker<'_> {
    fn problem(
        &mut self,
        at: (&str, &str),
        expected: impl Into<String>,
        got: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.problems.push(Finding::new(at, expected, got, fix));
    }

    fn warn(&mut self, at: (&str, &str), expected: impl Into<String>, got: impl Into<String>, fix: impl Into<String>) {
        self.warnings.push(Finding::new(at, expected, got, fix));
    }

    /// What is in a folder; nothing where there is no such folder.
    fn list(&mut self, folder: &str) -> Listing {
        let listing = list_if_present(&self.root.join(folder)).unwrap_or_else(|e| {
            self.problem(
                (folder, ""),
                "a folder that can be read",
                e.to_string(),
                "give yourself the right to read it",
            );
            Listing::default()
        });
        for name in &listing.unreadable {
            let fix = "rename it";
            self.problem((folder, ""), "names in UTF-8", format!("{name:?}"), fix);
        }
        listing
    }

    /// The bytes of a file.
    fn bytes(&mut self, file: &str) -> Option<Vec<u8>> {
        match std::fs::read(self.root.join(file)) {
            Ok(bytes) => Some(bytes),
            Err(e) => {
                self.problem(
                    (file, ""),
                    "a file that can be read",
                    e.to_string(),
                    "give yourself the right to read it",
                );
                None
            }
        }
    }

    /// The value of a JSON file that is there; what does not fit its schema is a problem, and still in the value.
    fn json(&mut self, file: &str, schema: Schema) -> Option<Value> {
        let bytes = self.bytes(file)?;
        let parsed = match json::parse(&bytes) {
            Ok(parsed) => parsed,
            Err(fault) => {
                self.problem((file, ""), "JSON in UTF-8", fault.got, fault.fix);
                return None;
            }
        };
        if parsed.marked {
            let got = "a byte order mark (BOM) before the JSON";
            self.problem(
                (file, ""),
                "JSON in UTF-8 without a byte order mark",
                got,
                "save the file as UTF-8 without BOM",
            );
        }
        for key in &parsed.repeated {
            let fix = "merge the two entries, or rename one: only the last is read";
            self.problem((file, key), "every key once in its object", "this key again", fix);
        }
        let (problems, warnings) = self.schemas.check(schema, file, &parsed.value);
        self.problems.extend(problems);
        self.warnings.extend(warnings);
        Some(parsed.value)
    }

    /// A file that is read by nobody.
    fn unread(&mut self, file: &str, expected: &str) {
        self.warn((file, ""), expected, "a file that nobody reads", "remove it, or correct its name");
    }
}
