//! JSON text into a value, with what a plain parser hides: byte order marks, UTF-16 and keys that are there twice.

use std::collections::HashSet;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// What is wrong with a file as JSON text: what came, and what to do.
pub(crate) struct Fault {
    pub got: String,
    pub fix: String,
}

/// A parsed file.
pub(crate) struct Parsed {
    pub value: Value,
    /// Whether the text begins with a byte order mark.
    pub marked: bool,
    /// Pointers to the keys that are in their object more than once.
    pub repeated: Vec<String>,
}

const UTF8_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// Parses the bytes of a file.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, Fault> {
    let fault = |got: String, fix: &str| Fault { got, fix: fix.to_owned() };
    let (marked, bytes) = bytes.strip_prefix(UTF8_MARK).map_or((false, bytes), |rest| (true, rest));
    if is_utf16(bytes) {
        return Err(fault("text in UTF-16".into(), "save the file as UTF-8 without a byte order mark"));
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        fault(format!("bytes that are not UTF-8 (from byte {} on)", e.valid_up_to()), "save the file as UTF-8")
    })?;
    if text.trim().is_empty() {
        return Err(fault("an empty file".into(), "write the file's JSON, or remove the file"));
    }
    let (mut path, mut repeated) = (String::new(), Vec::new());
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let seed = Seed { path: &mut path, repeated: &mut repeated };
    let parsed = seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    match parsed {
        Ok(value) => Ok(Parsed { value, marked, repeated }),
        Err(e) => {
            let fix = format!("correct the file at line {}, column {}", e.line(), e.column());
            Err(Fault { got: format!("malformed JSON: {e}"), fix })
        }
    }
}

/// By its mark, or by the zeros that UTF-16 has in ASCII text such as JSON's brackets.
fn is_utf16(bytes: &[u8]) -> bool {
    matches!(bytes, [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, _, ..] | [_, 0, ..])
}

/// A pointer to the entry `key` of what `path` points to.
pub(crate) fn pointer(path: &str, key: impl std::fmt::Display) -> String {
    format!("{path}/{}", key.to_string().replace('~', "~0").replace('/', "~1"))
}

/// What a value is, in a few words.
pub(crate) fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(entries) if entries.is_empty() => "an empty array".into(),
        Value::Array(entries) => format!("an array of {}", entries.len()),
        Value::Object(map) if map.is_empty() => "an empty object".into(),
        Value::Object(map) => {
            let keys: Vec<String> = map.keys().take(8).map(|key| format!("`{key}`")).collect();
            let more = if map.len() > keys.len() { ", ..." } else { "" };
            format!("an object with {}{more}", keys.join(", "))
        }
    }
}

/// `text` in quotation marks, cut after some words.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{:?}...", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// Builds a [`Value`] and notes repeated keys; of these the last counts, as everywhere.
struct Seed<'a> {
    path: &'a mut String,
    repeated: &'a mut Vec<String>,
}

impl<'a> Seed<'a> {
    /// The seed of the entry `key`; the path is to be cut to the length returned afterwards.
    fn entry(&mut self, key: impl std::fmt::Display) -> (usize, Seed<'_>) {
        let length = self.path.len();
        *self.path = pointer(self.path, key);
        (length, Seed { path: self.path, repeated: self.repeated })
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        loop {
            let (length, seed) = self.entry(entries.len());
            let entry = access.next_element_seed(seed)?;
            self.path.truncate(length);
            match entry {
                Some(entry) => entries.push(entry),
                None => return Ok(Value::Array(entries)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut access: A) -> Result<Value, A::Error> {
        let (mut map, mut noted) = (Map::new(), HashSet::new());
        while let Some(key) = access.next_key::<String>()? {
            if map.contains_key(&key) && noted.insert(key.clone()) {
                self.repeated.push(pointer(self.path, &key));
            }
            let (length, seed) = self.entry(&key);
            let value = access.next_value_seed(seed)?;
            self.path.truncate(length);
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}
