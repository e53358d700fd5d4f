//! From TOML tables to typed settings, with errors that name the key, what was expected and the nearest valid name.

use std::fmt::Display;

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};
use toml::Table;

use crate::{Error, Result};

/// Similarity from which a name is suggested in place of an unknown one, in [0, 1].
const SIMILAR: f64 = 0.5;

/// The one of `names` that was probably meant by `name`; `None` when nothing is similar.
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    names
        .into_iter()
        .map(|n| (n, strsim::normalized_damerau_levenshtein(&name, &n.to_lowercase())))
        .filter(|(_, similarity)| *similarity >= SIMILAR)
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map(|(n, _)| n)
}

/// Gives a component's table its type. `section` is the table's place in the config, such as `filter` or `rewards.ber`.
///
/// # Errors
/// [`ErrorKind::Config`](crate::ErrorKind::Config) with the full dotted key: for an unknown key with the nearest known
/// one and all that are known, for a value of the wrong type with what was expected and what came.
pub fn typed<T: DeserializeOwned>(section: &str, table: &Table) -> Result<T> {
    Ok(from_table(section, table)?)
}

/// As [`typed`], keeping the key apart from the message so that a loader can say where in a file it is.
pub(super) fn from_table<T: DeserializeOwned>(section: &str, table: &Table) -> Result<T, Problem> {
    serde_path_to_error::deserialize(table.clone()).map_err(|e| Problem::translate(section, e.path(), e.inner()))
}

/// What is wrong with one key.
#[derive(Debug)]
pub(super) struct Problem {
    /// Full dotted key.
    pub(super) key: String,
    /// What is wrong with it.
    pub(super) message: String,
}

impl Problem {
    pub(super) fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }

    /// `Ok` when `holds`, else that `expected` was expected at `key` and not `got`.
    pub(super) fn unless(holds: bool, key: &str, expected: &str, got: impl Display) -> Result<(), Self> {
        if holds { Ok(()) } else { Err(Self::new(key, format!("expected {expected}, got {got}"))) }
    }

    /// That `name`, found at `key`, is none of `known`; the nearest of them is suggested.
    pub(super) fn unknown_name(key: &str, what: &str, name: &str, known: &[&str]) -> Self {
        Self::new(key, format!("{what}{}", hint(name, known)))
    }

    /// Puts serde's message about what is at `path` of `section` into this crate's words.
    fn translate(section: &str, path: &Path, error: &toml::de::Error) -> Self {
        let key = dotted(section, path);
        let message = error.message();
        let (head, expected) = message.split_once(", expected ").unwrap_or((message, ""));
        let names = quoted(head);
        let name = names.first().copied().unwrap_or_default();
        if head.starts_with("unknown field ") {
            return Self::unknown_name(&key, "unknown key", name, &quoted(expected));
        }
        if head.starts_with("unknown variant ") {
            return Self::unknown_name(&key, &format!("unknown value `{name}`"), name, &quoted(expected));
        }
        if message.starts_with("missing field ") {
            return Self::new(join(&key, name), "missing; it has no default, add it");
        }
        for prefix in ["invalid type: ", "invalid value: ", "invalid length "] {
            if let Some(got) = head.strip_prefix(prefix) {
                return Self::new(key, format!("expected {}, got {got}", plain(expected)));
            }
        }
        Self::new(key, message)
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Error::config(problem.to_string())
    }
}

fn hint(name: &str, known: &[&str]) -> String {
    let meant = nearest(name, known.iter().copied()).map(|n| format!("; did you mean `{n}`?")).unwrap_or_default();
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("{meant} (known: {known})")
}

pub(crate) fn join(section: &str, key: &str) -> String {
    let parts = [section, key];
    parts.iter().filter(|p| !p.is_empty()).copied().collect::<Vec<_>>().join(".")
}

/// The full key of what is at `path` of `section`. A variant is a value, not a key.
fn dotted(section: &str, path: &Path) -> String {
    path.iter().fold(section.to_owned(), |key, segment| match segment {
        Segment::Map { key: name } => join(&key, name),
        Segment::Seq { index } => format!("{key}[{index}]"),
        Segment::Enum { .. } | Segment::Unknown => key,
    })
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Rust's names of types in the words of a person who writes TOML.
fn plain(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "an integer of 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "an integer",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "an array",
        "a map" => "a table",
        "path string" => "a path as a string",
        other if other.starts_with("struct ") => "a table",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use serde::Deserialize;

    use super::*;
    use crate::ErrorKind;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    #[allow(dead_code)]
    struct Filter {
        tpr: f64,
        #[serde(default)]
        wave: usize,
        #[serde(default)]
        damping: Damping,
        #[serde(default)]
        inner: Inner,
        #[serde(default)]
        limits: Vec<f64>,
        #[serde(default)]
        rules: Vec<Inner>,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(rename_all = "snake_case")]
    enum Damping {
        #[default]
        Gain,
        Momentum,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        only: Option<bool>,
    }

    fn message(toml: &str) -> String {
        let error = typed::<Filter>("filter", &toml.parse().unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        error.to_string()
    }

    #[test]
    fn a_table_gets_its_type() {
        let filter: Filter = typed("filter", &"tpr = 0.25\ndamping = 'momentum'".parse().unwrap()).unwrap();
        assert_eq!(filter, Filter { tpr: 0.25, damping: Damping::Momentum, ..Filter::default() });
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest_known_one() {
        assert_eq!(
            message("tpr_ = 0.25"),
            "filter.tpr_: unknown key; did you mean `tpr`? (known: tpr, wave, damping, inner, limits, rules)"
        );
        assert_eq!(
            message("tpr = 1\nzzz = 1"),
            "filter.zzz: unknown key (known: tpr, wave, damping, inner, limits, rules)"
        );
        assert_eq!(
            message("tpr = 1\ninner.onyl = true"),
            "filter.inner.onyl: unknown key; did you mean `only`? (known: only)"
        );
    }

    #[test]
    fn a_wrong_value_is_named_with_what_was_expected() {
        assert_eq!(message("tpr = 'high'"), "filter.tpr: expected a number, got string \"high\"");
        assert_eq!(message("tpr = 1\nwave = -3"), "filter.wave: expected an integer of 0 or more, got integer `-3`");
        assert_eq!(message("tpr = 1\ninner = 3"), "filter.inner: expected a table, got integer `3`");
        assert_eq!(message("tpr = 1\ninner.only = 3"), "filter.inner.only: expected true or false, got integer `3`");
        assert_eq!(
            message("tpr = 1\ndamping = 'gian'"),
            "filter.damping: unknown value `gian`; did you mean `gain`? (known: gain, momentum)"
        );
        assert_eq!(message(""), "filter.tpr: missing; it has no default, add it");
    }

    #[test]
    fn a_wrong_value_in_an_array_is_named_with_its_place() {
        assert_eq!(
            message("tpr = 1\nlimits = [0.1, 'wide']"),
            "filter.limits[1]: expected a number, got string \"wide\""
        );
        assert_eq!(
            message("tpr = 1\nrules = [{ only = true }, { onyl = true }]"),
            "filter.rules[1].onyl: unknown key; did you mean `only`? (known: only)"
        );
    }

    #[test]
    fn a_key_that_reads_like_an_error_stays_a_key() {
        assert_eq!(message("tpr = 1\ninner.\"in `x`\" = 1"), "filter.inner.in `x`: unknown key (known: only)");
    }

    #[test]
    fn the_nearest_name_is_similar_or_none() {
        assert_eq!(nearest("Group_Sizes", ["chunk", "group_size", "steps"]), Some("group_size"));
        assert_eq!(nearest("bre", ["tier", "ber", "der"]), Some("ber"));
        assert_eq!(nearest("xyz", ["tier", "ber", "der"]), None);
    }
}
