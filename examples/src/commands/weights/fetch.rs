//! Where every weight file of a config is, or what is missing and where to get it.

use std::path::Path;

use counterpoint::config::RunConfig;
use counterpoint::file::folder_of;
use counterpoint::registry::BuildContext;
use counterpoint::{Result, device};
use counterpoint_showo::ShowoPolicy;
use counterpoint_weights::hub::{Place, Reference};

use crate::references;

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
