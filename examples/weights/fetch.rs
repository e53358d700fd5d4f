//! Where every weight file of a config is, or what is missing and where to get it.

use std::path::Path;

use counterpoint::config::RunConfig;
use counterpoint::file::folder_of;
use counterpoint::registry::BuildContext;
use counterpoint::{Error, Result, device};
use counterpoint_showo::ShowoPolicy;
use counterpoint_weights::hub::{Files, Place, Reference};
use toml::{Table, Value};

/// What one kind of component says of its table: the settings that name files.
type References = fn(&str, &Table) -> Result<Vec<Reference>>;

/// The kinds of rewards that read weights. A plugin brings its own.
const REWARDS: [(&str, References); 4] = [
    ("tier", |name, table| settings(name, table, &[("weights", counterpoint_tier::FILES)])),
    ("ber", |name, table| settings(name, table, &[("weights", counterpoint_ber::FILES)])),
    ("der", |name, table| settings(name, table, &[("weights", counterpoint_der::FILES)])),
    ("fer", |name, table| {
        let keys = [("detector", counterpoint_fer::DETECTOR_FILES), ("weights", counterpoint_fer::WEIGHTS_FILES)];
        settings(name, table, &keys)
    }),
];

/// Prints a line for each setting of the config at `path` that names weight files; whether all of them are there.
pub fn run(path: &Path) -> Result<bool> {
    let config = RunConfig::load(path, &[])?;
    let base = folder_of(path);
    let mut complete = true;
    for reference in references(&config)? {
        let Reference { key, source, .. } = &reference;
        match reference.locate(base) {
            Ok(found) => {
                let place = match found.place {
                    Place::Cache => "in the cache",
                    Place::Network => "fetched from the hub",
                    _ => "there",
                };
                println!("{key} = {source}: {place}, {}", found.folder.display());
            }
            Err(error) => {
                complete = false;
                println!("{key} = {source}: missing: {error:#}");
            }
        }
    }
    // A model's folder may have more in it than its settings name.
    if complete && config.policy.kind == "showo" {
        let context = BuildContext::new(device::named("flex")?, base);
        if let Err(error) = ShowoPolicy::model_files(&config.policy.settings, &context) {
            complete = false;
            println!("policy: missing: {error:#}");
        }
    }
    Ok(complete)
}

/// The settings of `[policy]` and `[rewards.*]` that name files.
fn references(config: &RunConfig) -> Result<Vec<Reference>> {
    let mut all = match config.policy.kind.as_str() {
        "showo" => ShowoPolicy::references(&config.policy.settings)?,
        _ => Vec::new(),
    };
    for (name, table) in &config.rewards {
        let kind = table.get("kind").and_then(Value::as_str).unwrap_or(name);
        if let Some((_, of)) = REWARDS.iter().find(|(known, _)| *known == kind) {
            all.extend(of(name, table)?);
        }
    }
    Ok(all)
}

/// The references of `keys` in the table of the reward `name`, as far as they are there.
fn settings(name: &str, table: &Table, keys: &[(&str, Files)]) -> Result<Vec<Reference>> {
    let mut found = Vec::new();
    for (key, files) in keys {
        let place = format!("rewards.{name}.{key}");
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
