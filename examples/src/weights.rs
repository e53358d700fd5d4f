//! The weight files that a config names, and what was read of them.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use counterpoint::config::RunConfig;
use counterpoint::toml::{Table, Value};
use counterpoint::{Error, Result};
use counterpoint_janus::JanusPolicy;
use counterpoint_showo::ShowoPolicy;
use counterpoint_weights::hub::{Files, Place, Reference};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// What one kind of component says of its table: the settings that name files.
type References = fn(&str, &Table) -> Result<Vec<Reference>>;

/// The kinds of rewards that read weights. A plugin brings its own.
const REWARDS: [(&str, References); 6] = [
    ("tier", |at, table| settings(at, table, &[("weights", counterpoint_tier::FILES)])),
    ("ber", |at, table| settings(at, table, &[("weights", counterpoint_ber::FILES)])),
    ("clip", |at, table| settings(at, table, &[("weights", counterpoint_clip::FILES)])),
    ("cycle", |at, table| {
        let captioner = ("captioner", counterpoint_cycle::CAPTIONER_FILES);
        let mut all = part(at, table, "lpips", &[("weights", counterpoint_cycle::LPIPS_FILES)])?;
        all.extend(part(at, table, "caption", &[captioner, ("bert", counterpoint_cycle::BERT_FILES)])?);
        Ok(all)
    }),
    ("der", |at, table| settings(at, table, &[("weights", counterpoint_der::FILES)])),
    ("fer", |at, table| {
        let keys = [("detector", counterpoint_fer::DETECTOR_FILES), ("weights", counterpoint_fer::WEIGHTS_FILES)];
        settings(at, table, &keys)
    }),
];

/// The settings of `[policy]`, `[rewards.*]` and the rewards of `[evaluation]` that name files.
pub fn references(config: &RunConfig) -> Result<Vec<Reference>> {
    let mut all = match config.policy.kind.as_str() {
        "showo" => ShowoPolicy::references(&config.policy.settings)?,
        "janus" => JanusPolicy::references(&config.policy.settings)?,
        _ => Vec::new(),
    };
    for (name, table) in &config.rewards {
        all.extend(of_reward(&format!("rewards.{name}"), name, table)?);
    }
    for (group, measures) in &config.evaluation.settings {
        for (name, table) in measures.as_table().into_iter().flatten() {
            let table = table.as_table().map(|table| of_reward(&format!("evaluation.{group}.{name}"), name, table));
            all.extend(table.transpose()?.into_iter().flatten());
        }
    }
    Ok(all)
}

/// Those of the reward `name`, whose table is at `key`.
fn of_reward(key: &str, name: &str, table: &Table) -> Result<Vec<Reference>> {
    let kind = table.get("kind").and_then(Value::as_str).unwrap_or(name);
    match REWARDS.iter().find(|(known, _)| *known == kind) {
        Some((_, of)) => of(key, table),
        None => Ok(Vec::new()),
    }
}

/// The references of `keys` in the table `name` of the table at `at`.
fn part(at: &str, table: &Table, name: &str, keys: &[(&str, Files)]) -> Result<Vec<Reference>> {
    match table.get(name).and_then(Value::as_table) {
        Some(table) => settings(&format!("{at}.{name}"), table, keys),
        None => Ok(Vec::new()),
    }
}

/// The references of `keys` in the table at `at`, as far as they are there.
fn settings(at: &str, table: &Table, keys: &[(&str, Files)]) -> Result<Vec<Reference>> {
    let mut found = Vec::new();
    for (key, files) in keys {
        let place = format!("{at}.{key}");
        match table.get(*key) {
            None => {}
            Some(Value::String(text)) => found.push(Reference::new(place, text, *files)?),
            Some(other) => {
                return Err(Error::config(format!("{place}: expected a string, got {} `{other}`", other.type_str())));
            }
        }
    }
    Ok(found)
}

/// One setting that names files, and what was there.
#[derive(Debug, Serialize)]
pub struct Loaded {
    /// The setting's dotted key.
    key: String,
    /// What it says.
    source: String,
    /// Of a repository in the hub's cache, the commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    /// The files, by name.
    files: Vec<LoadedFile>,
}

#[derive(Debug, Serialize)]
struct LoadedFile {
    name: String,
    bytes: u64,
    sha256: String,
}

/// What the settings of `config` name now, with a hash of every file: what a run began from.
///
/// # Errors
/// [`Weights`](counterpoint::ErrorKind::Weights) when something is missing, [`Io`](counterpoint::ErrorKind::Io) when a file
/// cannot be read.
pub fn loaded(config: &RunConfig, base: &Path) -> Result<Vec<Loaded>> {
    let of = |reference: Reference| {
        let found = reference.locate(base)?;
        let in_cache = matches!(found.place, Place::Cache | Place::Network);
        let revision = found.folder.file_name().filter(|_| in_cache);
        let mut files = Vec::new();
        if found.folder.is_file() {
            files.push(hashed(&found.folder)?);
        } else {
            let cannot_list = |e| Error::io("cannot list", &found.folder, e);
            for entry in fs::read_dir(&found.folder).map_err(cannot_list)? {
                let path = entry.map_err(cannot_list)?.path();
                if path.is_file() {
                    files.push(hashed(&path)?);
                }
            }
            files.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(Loaded {
            key: reference.key.clone(),
            source: reference.source.to_string(),
            revision: revision.map(|commit| commit.to_string_lossy().into_owned()),
            files,
        })
    };
    references(config)?.into_iter().map(of).collect()
}

fn hashed(path: &Path) -> Result<LoadedFile> {
    let cannot_read = |e| Error::io("cannot read", path, e);
    let mut hash = Sha256::new();
    let bytes =
        io::copy(&mut File::open(path).map_err(cannot_read)?, &mut HashWriter(&mut hash)).map_err(cannot_read)?;
    let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(LoadedFile { name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(), bytes, sha256 })
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
