//! Experts of a folder in the place of rewards that are linked in.

use std::path::Path;

use counterpoint::config::RunConfig;
use counterpoint::{Error, Result};
use counterpoint_host::discover;
use toml::{Table, Value};

use crate::make::engine;

/// The names of the experts that the plugins in `folder` have.
///
/// # Errors
/// [`ErrorKind::Config`](counterpoint::ErrorKind::Config) when the folder cannot be searched.
pub fn experts(folder: &Path) -> Result<Vec<String>> {
    let plugins = discover(folder).map_err(engine)?;
    Ok(plugins.iter().flat_map(|plugin| plugin.experts().map(|expert| expert.name.clone())).collect())
}

/// Changes `config` so that every reward whose kind is the name of an expert in `folder` is given by that plugin, its settings
/// unchanged. Returns the names of the rewards that changed.
///
/// # Errors
/// [`ErrorKind::Config`](counterpoint::ErrorKind::Config) when the folder cannot be searched, or none of its experts is the kind of
/// a reward in the config.
pub fn replace_rewards(config: &mut RunConfig, folder: &Path) -> Result<Vec<String>> {
    let plugins = discover(folder).map_err(engine)?;
    let mut changed = Vec::new();
    for (name, table) in &mut config.rewards {
        let kind = table.get("kind").and_then(Value::as_str).unwrap_or(name).to_owned();
        let Some(plugin) = plugins.iter().find(|p| p.experts().any(|e| e.name == kind)) else { continue };
        let mut settings = std::mem::take(table);
        settings.remove("kind");
        let path = plugin.path.to_str().ok_or_else(|| {
            Error::config(format!("{}: expected a path in UTF-8, for the run's config", plugin.path.display()))
        })?;
        *table = Table::from_iter([
            ("kind".to_owned(), Value::from("plugin")),
            ("path".to_owned(), Value::from(path)),
            ("expert".to_owned(), Value::from(kind)),
            ("settings".to_owned(), Value::from(settings)),
        ]);
        changed.push(name.clone());
    }
    if changed.is_empty() {
        let experts: Vec<&str> = plugins.iter().flat_map(|p| p.experts().map(|e| e.name.as_str())).collect();
        let rewards: Vec<&str> = config.rewards.keys().map(String::as_str).collect();
        let message = format!(
            "expected a plugin in {} for one of the run's rewards ({}), got {}; a plugin is a file with a sidecar manifest beside it, \
             which counterpoint-validator --install writes",
            folder.display(),
            rewards.join(", "),
            if experts.is_empty() { "none".to_owned() } else { format!("experts {}", experts.join(", ")) }
        );
        return Err(Error::config(message));
    }
    Ok(changed)
}
