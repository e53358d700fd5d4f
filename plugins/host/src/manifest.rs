//! What a plugin says of itself, as JSON: in its table, in the sidecar file beside it, and in the hello of a bridged one.

use std::collections::HashSet;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::{Error, ErrorKind, Result};

/// Most bytes that a manifest may have.
pub const MANIFEST_LIMIT: usize = 1 << 20;

/// A plugin's manifest.
///
/// Unknown keys are ignored: those of a later minor version are no error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of the interface that the plugin was built for.
    pub abi: AbiVersion,
    /// Name of the plugin: not empty.
    pub name: String,
    /// The plugin's own version.
    pub version: String,
    /// Its experts, 1 or more, each with a name of its own.
    pub experts: Vec<ExpertManifest>,
}

/// A version of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbiVersion {
    /// Another one is another interface.
    pub major: u32,
    /// A larger one has more, at the end.
    pub minor: u32,
}

/// One expert of a plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpertManifest {
    /// The name by which it is made: lower case letters, digits, `_` and `-`; not empty.
    pub name: String,
    /// What it judges, in a sentence.
    #[serde(default)]
    pub description: String,
    /// What it gives for each item, 1 or more, each with a name of its own.
    pub outputs: Vec<Output>,
    /// What an item must have. Items without an `image` or `reference` never reach an expert that needs one; `text` and `face`
    /// are for people to read.
    #[serde(default)]
    pub needs: Vec<Need>,
    /// Which halves of the loop its scores depend on. No expert that needs an `image` judges the answer alone.
    #[serde(default, deserialize_with = "judges", skip_serializing_if = "Judges::is_both")]
    pub judges: Judges,
}

/// One number of an item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// Least and greatest value, both included; without one every finite number is allowed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<[f64; 2]>,
}

/// What an item must have for an expert to judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Words: prompt, response or parameters.
    Text,
    /// A generated image.
    Image,
    /// One reference image or more.
    Reference,
    /// A face in the image.
    Face,
    /// Something of a later minor version.
    #[serde(other)]
    Other,
}

/// Which halves of the loop an expert's scores depend on.
///
/// A run with causal credit relies on it: it does not credit a decision with what is said of a half that was over before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Judges {
    /// The answer alone: the same answer has the same score, whatever the image.
    Understanding,
    /// The image alone: the same image has the same score, whatever prompt and answer.
    Generation,
    /// Both, or it is not known.
    #[default]
    Both,
}

impl Judges {
    fn is_both(&self) -> bool {
        *self == Self::Both
    }
}

fn judges<'de, D: Deserializer<'de>>(value: D) -> Result<Judges, D::Error> {
    Judges::deserialize(value).map_err(|e| D::Error::custom(format_args!("experts.judges: {e}")))
}

impl Manifest {
    /// Reads and checks a manifest. `place` says in errors where the text is from.
    ///
    /// # Errors
    /// [`ErrorKind::Manifest`] when it is no JSON of this form, too large, or breaks a rule that a field's documentation
    /// states.
    pub fn parse(text: &[u8], place: &str) -> Result<Self> {
        let bad = |message: String| Error::new(ErrorKind::Manifest, format!("{place}: {message}"));
        if text.len() > MANIFEST_LIMIT {
            return Err(bad(format!("expected a manifest of at most {MANIFEST_LIMIT} bytes, got {}", text.len())));
        }
        let manifest: Self =
            serde_json::from_slice(text).map_err(|e| bad("expected a manifest".to_owned()).with_source(e))?;
        manifest.check().map_err(bad)?;
        Ok(manifest)
    }

    /// The expert called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming those that there are.
    pub fn expert(&self, name: &str) -> Result<&ExpertManifest> {
        self.experts.iter().find(|e| e.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.experts.iter().map(|e| e.name.as_str()).collect();
            let message = format!(
                "expected an expert of the plugin `{}`, got `{name}` (experts: {})",
                self.name,
                known.join(", ")
            );
            Error::new(ErrorKind::Config, message)
        })
    }

    fn check(&self) -> Result<(), String> {
        if self.name.is_empty() {
            return Err("name: expected a name, got nothing".to_owned());
        }
        if self.experts.is_empty() {
            return Err("experts: expected 1 or more, got none".to_owned());
        }
        let mut names = HashSet::new();
        for expert in &self.experts {
            expert.check()?;
            if !names.insert(&expert.name) {
                return Err(format!("experts: expected one called `{}`, got two", expert.name));
            }
        }
        Ok(())
    }
}

impl ExpertManifest {
    /// The place of the output called `name`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] naming those that there are.
    pub fn output(&self, name: &str) -> Result<usize> {
        self.outputs.iter().position(|o| o.name == name).ok_or_else(|| {
            let known: Vec<&str> = self.outputs.iter().map(|o| o.name.as_str()).collect();
            let message = format!(
                "expected an output of the expert `{}`, got `{name}` (outputs: {})",
                self.name,
                known.join(", ")
            );
            Error::new(ErrorKind::Config, message)
        })
    }

    /// Whether it needs `need`.
    pub fn needs(&self, need: Need) -> bool {
        self.needs.contains(&need)
    }

    fn check(&self) -> Result<(), String> {
        let named = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if self.name.is_empty() || !self.name.chars().all(named) {
            let name = &self.name;
            return Err(format!("experts: expected a name of lower case letters, digits, `_` and `-`, got {name:?}"));
        }
        let place = format!("experts.{}.outputs", self.name);
        if self.outputs.is_empty() {
            return Err(format!("{place}: expected 1 or more, got none"));
        }
        let mut names = HashSet::new();
        for Output { name, range } in &self.outputs {
            if name.is_empty() || !names.insert(name) {
                return Err(format!(
                    "{place}: expected names that differ and are not empty, got `{name}` again or nothing"
                ));
            }
            if let Some([least, greatest]) = range
                && !(least.is_finite() && greatest.is_finite() && least <= greatest)
            {
                return Err(format!(
                    "{place}.{name}.range: expected two finite numbers in order, got {least} and {greatest}"
                ));
            }
        }
        if self.judges == Judges::Understanding && self.needs(Need::Image) {
            return Err(format!(
                "experts.{}.judges: expected `generation` or `both` of an expert that needs an image, got `understanding`",
                self.name
            ));
        }
        Ok(())
    }
}

impl Output {
    /// Why `value` is refused, if it is.
    pub fn refuse(&self, value: f64) -> Option<String> {
        if !value.is_finite() {
            return Some(format!("expected a finite `{}`, got {value}", self.name));
        }
        let [least, greatest] = self.range?;
        let outside = !(least..=greatest).contains(&value);
        outside.then(|| format!("expected `{}` in the declared range {least} to {greatest}, got {value}", self.name))
    }
}
