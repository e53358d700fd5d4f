//! Reading a run's config: file, then `--set` overrides, then checks; and writing the resolved one.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::RunConfig;
use super::typed::{Problem, from_table};
use crate::file::text;
use crate::{Error, ErrorKind, Result};

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
        parse(&text(path)?, &path.display().to_string(), overrides, Self::check)
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
    parse(&text(path)?, &path.display().to_string(), overrides, |_| Ok(()))
}

/// `error`, if it is what a component says of its own settings when it is built, with the line of the file at `path` or the
/// override that the key at its beginning is from.
pub fn located(error: Error, path: &Path, overrides: &[String]) -> Error {
    let message = error.to_string();
    let key = message.split_once(": ").map(|(key, _)| key).filter(|_| error.kind() == ErrorKind::Config);
    let overrides = overrides.iter().map(|o| Override::parse(o)).collect::<Result<Vec<_>>>();
    let (Some(key), Ok(text), Ok(overrides)) = (key, text(path), overrides) else { return error };
    match place(key, &text, &path.display().to_string(), &overrides) {
        Some(place) => error.at(place),
        None => error,
    }
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
    let mut overrides = overrides.iter().map(|o| Override::parse(o)).collect::<Result<Vec<_>>>()?;
    for o in &mut overrides {
        o.apply(&mut table);
    }
    let mut result = from_table::<T>("", &table);
    // `--set run.name=2024` names a run, though TOML has a number there.
    while let Err(problem) = &result
        && problem.message.starts_with("expected a string")
        && let Some(o) = overrides.iter_mut().rev().find(|o| o.keys.join(".") == problem.key && !o.value.is_str())
    {
        o.value = Value::String(o.word.clone());
        o.apply(&mut table);
        result = from_table("", &table);
    }
    let result = result.and_then(|config| check(&config).map(|()| config));
    result.map_err(|problem| {
        let problem = with_range(problem, table, check);
        let place = place(&problem.key, text, file, &overrides);
        Error::from(problem).at(place.as_deref().unwrap_or(file))
    })
}

/// A problem with a negative number, which serde refuses before the check of its range: with what that says of 0.
fn with_range<T: DeserializeOwned>(
    mut problem: Problem,
    mut table: Table,
    check: impl Fn(&T) -> Result<(), Problem>,
) -> Problem {
    let Some(got) = problem.message.strip_prefix("expected an integer of 0 or more, got ") else { return problem };
    if let Ok(mut zero) = Override::parse(&format!("{}=0", problem.key)) {
        zero.apply(&mut table);
        let checked = from_table::<T>("", &table).and_then(|config| check(&config));
        if let Err(of_zero) = checked
            && of_zero.key == problem.key
            && let Some(expected) = of_zero.message.strip_suffix(", got 0")
        {
            problem.message = format!("{expected}, got {got}");
        }
    }
    problem
}

/// The override or the line of the file that sets `key`, or the nearest thing around it.
fn place(key: &str, text: &str, file: &str, overrides: &[Override]) -> Option<String> {
    let (line, complete) = key_line(text, key);
    let blamed = overrides.iter().rev().find(|o| {
        let own = o.keys.join(".");
        // It sets the key or a table around it, or it made the key by setting something below.
        within(key, &own) || (!complete && within(&own, key)) || o.replaced.as_deref() == Some(key)
    });
    match (blamed, line) {
        (Some(o), _) => Some(format!("--set {}", o.text)),
        (None, line) => line.map(|line| format!("{file}:{line}")),
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
    /// The value as it was written.
    word: String,
    /// What was no table before this set something below it.
    replaced: Option<String>,
}

impl Override {
    fn parse(text: &str) -> Result<Self> {
        let bad = |what: &str| Error::config(format!("--set {text}: {what}"));
        let (key, word) = text.split_once('=').ok_or_else(|| bad("expected key=value, such as trainer.steps=10"))?;
        let keys = dotted(key).ok_or_else(|| bad("expected a dotted key before `=`, such as trainer.steps=10"))?;
        let word = word.trim();
        if word.is_empty() {
            return Err(bad("expected a value after `=`, got nothing; an empty string is \"\""));
        }
        let value = match word.parse::<Value>() {
            Ok(parsed) => parsed,
            // Brackets and quotes announce TOML; anything else is a bare word.
            Err(e) if word.starts_with(['[', '{', '"', '\'']) => {
                return Err(bad(&format!("not valid TOML after `=`: {}", e.message())));
            }
            Err(_) if word.trim_start_matches(['-', '+']).bytes().all(|b| b.is_ascii_digit() || b == b'_') => {
                return Err(bad("expected an integer of -2^63 to 2^63 - 1 after `=`"));
            }
            Err(_) => Value::String(word.to_owned()),
        };
        Ok(Self { text: text.to_owned(), keys, value, word: word.to_owned(), replaced: None })
    }

    /// Puts the value in its place; what is in the way and no table gives way.
    fn apply(&mut self, table: &mut Table) {
        let Some((last, parents)) = self.keys.split_last() else { return };
        let mut place = table;
        for (depth, key) in parents.iter().enumerate() {
            let next = place.entry(key.clone()).or_insert_with(|| Value::Table(Table::new()));
            if !next.is_table() {
                self.replaced = Some(self.keys[..=depth].join("."));
                *next = Value::Table(Table::new());
            }
            let Value::Table(inner) = next else { return };
            place = inner;
        }
        place.insert(last.clone(), self.value.clone());
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
