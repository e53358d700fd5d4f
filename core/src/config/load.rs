//! Reading a run's config: file, then `--set` overrides, then checks; and writing the resolved one.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::RunConfig;
use super::typed::{Problem, from_table};
use crate::{Error, Result};

impl RunConfig {
    /// Reads `path`, applies `overrides` of the form `a.b=c` in their order, and checks the result.
    ///
    /// The value of an override is read as TOML, and as a string when it is a bare word.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) when the file cannot be read, [`ErrorKind::Config`](crate::ErrorKind::Config)
    /// when it is not TOML, or a key is unknown, missing, of a wrong type or out of range: with the file and line or the
    /// override it came from, the full dotted key, what was expected, what came, and the nearest valid name.
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self> {
        parse(&read(path)?, &path.display().to_string(), overrides, Self::check)
    }

    /// As [`load`](Self::load), from TOML text.
    ///
    /// # Errors
    /// As [`load`](Self::load), with the line alone.
    pub fn from_toml(text: &str, overrides: &[String]) -> Result<Self> {
        parse(text, "config", overrides, Self::check)
    }

    /// Checks every range and every name that one section uses of another. Loading does this already.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) with the first dotted key that is wrong.
    pub fn validate(&self) -> Result<()> {
        Ok(self.check()?)
    }

    /// The resolved config, defaults and overrides included: what is written beside the run. Loading it gives an equal
    /// config.
    ///
    /// # Errors
    /// [`ErrorKind::Config`](crate::ErrorKind::Config) when a value cannot be written as TOML.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|e| Error::config("cannot write the config as TOML").with_source(e))
    }

    /// The same as a table, for [`Trainer::with_run_config`](crate::Trainer::with_run_config).
    ///
    /// # Errors
    /// As [`to_toml`](Self::to_toml).
    pub fn to_table(&self) -> Result<Table> {
        Table::try_from(self).map_err(|e| Error::config("cannot write the config as TOML").with_source(e))
    }
}

/// A config of your own, read and overridden as [`RunConfig::load`] does it. Ranges are yours to check.
///
/// # Errors
/// As there, but for ranges.
pub fn load<T: DeserializeOwned>(path: &Path, overrides: &[String]) -> Result<T> {
    parse(&read(path)?, &path.display().to_string(), overrides, |_| Ok(()))
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|e| Error::io("cannot read", path, e))
}

fn parse<T: DeserializeOwned>(
    text: &str,
    file: &str,
    overrides: &[String],
    check: impl Fn(&T) -> Result<(), Problem>,
) -> Result<T> {
    let mut table: Table = text.parse().map_err(|e: toml::de::Error| {
        let place =
            e.span().map(|span| format!("{file}:{}", line(text, span.start))).unwrap_or_else(|| file.to_owned());
        Error::config(format!("{place}: not valid TOML: {}", e.message()))
    })?;
    let overrides = overrides.iter().map(|o| Override::parse(o)).collect::<Result<Vec<_>>>()?;
    for o in &overrides {
        o.apply(&mut table)?;
    }
    let result = from_table::<T>("", &table).and_then(|config| check(&config).map(|()| config));
    result.map_err(|problem| locate(problem, text, file, &overrides))
}

/// The error with the override or the line of the file that it is about.
fn locate(problem: Problem, text: &str, file: &str, overrides: &[Override]) -> Error {
    let (line, complete) = key_line(text, &problem.key);
    let blamed = overrides.iter().rev().find(|o| {
        let own = o.keys.join(".");
        // It sets the key or a table around it, or it made the key by setting something below.
        within(&problem.key, &own) || (!complete && within(&own, &problem.key))
    });
    match (blamed, line) {
        (Some(o), _) => Error::from(problem).at(format_args!("--set {}", o.text)),
        (None, Some(line)) => Error::from(problem).at(format_args!("{file}:{line}")),
        (None, None) => Error::from(problem).at(file),
    }
}

/// Whether dotted `key` is `outer` or lies below it.
fn within(key: &str, outer: &str) -> bool {
    key.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// One `a.b=c`.
struct Override {
    text: String,
    keys: Vec<String>,
    value: Value,
}

impl Override {
    fn parse(text: &str) -> Result<Self> {
        let bad = |what: &str| Error::config(format!("--set {text}: {what}"));
        let (key, value) = text.split_once('=').ok_or_else(|| bad("expected key=value, such as trainer.steps=10"))?;
        let keys = dotted(key).ok_or_else(|| bad("expected a dotted key before `=`, such as trainer.steps=10"))?;
        let value = value.trim();
        if value.is_empty() {
            return Err(bad("expected a value after `=`, got nothing; an empty string is \"\""));
        }
        let value = match value.parse::<Value>() {
            Ok(parsed) => parsed,
            // Brackets and quotes announce TOML; anything else is a bare word.
            Err(e) if value.starts_with(['[', '{', '"', '\'']) => {
                return Err(bad(&format!("not valid TOML after `=`: {}", e.message())));
            }
            Err(_) => Value::String(value.to_owned()),
        };
        Ok(Self { text: text.to_owned(), keys, value })
    }

    fn apply(&self, table: &mut Table) -> Result<()> {
        let mut place = table;
        let (last, parents) = match self.keys.split_last() {
            Some(split) => split,
            None => return Ok(()),
        };
        for (depth, key) in parents.iter().enumerate() {
            let next = place.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
            place = match next {
                Value::Table(inner) => inner,
                other => {
                    return Err(Error::config(format!(
                        "--set {}: {} is {} `{other}`, expected a table; nothing can be set below it",
                        self.text,
                        self.keys[..=depth].join("."),
                        other.type_str()
                    )));
                }
            };
        }
        place.insert(last.clone(), self.value.clone());
        Ok(())
    }
}

/// The parts of a dotted key, quoted ones included, by TOML's own grammar.
fn dotted(key: &str) -> Option<Vec<String>> {
    let mut table: Table = format!("{} = 0", key.trim()).parse().ok()?;
    let mut keys = Vec::new();
    loop {
        if table.len() != 1 {
            return None;
        }
        let (key, value) = table.into_iter().next()?;
        keys.push(key);
        match value {
            Value::Table(inner) => table = inner,
            _ => return Some(keys),
        }
    }
}

/// Line of the deepest part of dotted `key` that is in the file, and whether that is the whole key.
fn key_line(text: &str, key: &str) -> (Option<usize>, bool) {
    let Ok(document) = DeTable::parse(text) else { return (None, false) };
    let mut table = document.get_ref();
    let mut rest = key;
    let mut found = None;
    while let Some((name, value)) = table.iter().find(|(name, _)| within(rest, name.get_ref())) {
        found = Some(line(text, name.span().start));
        match rest[name.get_ref().len()..].strip_prefix('.') {
            None => return (found, true),
            Some(below) => rest = below,
        }
        match value.get_ref() {
            DeValue::Table(inner) => table = inner,
            _ => break,
        }
    }
    (found, false)
}

/// Line number, from 1, of a byte of `text`.
fn line(text: &str, byte: usize) -> usize {
    1 + text.bytes().take(byte).filter(|&b| b == b'\n').count()
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
