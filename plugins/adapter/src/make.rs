//! From a config to an expert: finds the plugin, loads or starts it, makes an instance.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use counterpoint::registry::{BuildContext, RewardEntry, settings};
use counterpoint::{Error, ErrorKind, Result, inventory};
use counterpoint_abi::CPT_CAP_BATCH_INVARIANT;
use counterpoint_bridge::Bridged;
use counterpoint_host::{Expert, Found, Loaded, Manifest, Runner, Setup, Sidecar, discover, load};
use serde_json::Value;

use crate::{PluginConfig, PluginReward};

inventory::submit! {
    RewardEntry::new(
        "plugin",
        |table, context| {
            let config: PluginConfig = settings("", table)?;
            Ok(Box::new(PluginReward::new(config, context)?))
        },
    )
}

/// An expert with what is known of it.
pub(crate) struct Made {
    pub(crate) expert: Box<dyn Expert>,
    /// Whether an item's scores do not depend on the others of its call.
    pub(crate) batch_invariant: bool,
}

/// Finds the plugin that `config` means, loads or starts it, and makes its expert.
///
/// # Errors
/// [`ErrorKind::Config`] when there is none, it has no such expert, or it was refused before it ran; [`ErrorKind::Reward`] with the
/// plugin's or the host's words.
pub(crate) fn make(config: &PluginConfig, context: &BuildContext) -> Result<Made> {
    config.check()?;
    // An empty base is the current folder, and no absolute path can be made of it.
    let base = context.base.join(".");
    let base = std::path::absolute(&base).map_err(|e| Error::io("cannot find", &base, e))?;
    let settings = serde_json::to_value(&config.settings)
        .map_err(|e| Error::config("settings: expected what JSON can hold").with_source(e))?;
    start(config, &base, &settings).map_err(engine)
}

fn start(config: &PluginConfig, base: &Path, settings: &Value) -> counterpoint_host::Result<Made> {
    let mut options = config.process.clone();
    if let Some(sandbox) = &mut options.sandbox {
        // As all paths of a config.
        sandbox.read.iter_mut().chain(&mut sandbox.write).for_each(|path| *path = base.join(&*path));
    }
    // The plugin's file, if it is one, and the program to start, if it is not a library.
    let name = config.expert.as_deref();
    let file = config.path.as_ref().map(|path| found(&base.join(path), name)).transpose()?;
    let program = match &file {
        Some(file) => file.sidecar.command_for(&file.path),
        None => config.command.clone(),
    };
    let folder = file.as_ref().and_then(|file| file.path.parent()).unwrap_or(base);
    let command = |program: &[String]| {
        let mut words = program.iter();
        let mut command = Command::new(words.next().map_or("", String::as_str));
        command.args(words).current_dir(folder);
        command
    };
    let expert = match (name, &file, &program) {
        (Some(name), Some(file), _) => file.sidecar.manifest.expert(name)?.name.clone(),
        (Some(name), None, _) => name.to_owned(),
        (None, Some(file), _) => only(&file.sidecar.manifest)?,
        (None, None, program) => {
            only(&Bridged::describe(command(program.as_deref().unwrap_or_default()), &options)?.0)?
        }
    };
    let setup = Setup { expert: &expert, settings, base };
    let bridged = match (&file, program) {
        (Some(file), None) if !config.is_apart() => {
            let library = load(&file.path, runner().as_ref(), Duration::from_secs_f64(options.startup_timeout_s))?;
            let expert = Box::new(Loaded::create(library, &setup, config.instances)?);
            return Ok(Made { expert, batch_invariant: library.is_batch_invariant() });
        }
        (Some(file), None) => Bridged::of_library(&Runner::find()?, file.sidecar.verify(&file.path)?, &setup, options)?,
        (file, program) => {
            // The program reads the file by its name, after this.
            file.as_ref().map(|file| file.sidecar.verify(&file.path)).transpose()?;
            Bridged::start(command(&program.unwrap_or_default()), &setup, options)?
        }
    };
    if let Some(Found { sidecar, .. }) = &file
        && sidecar.manifest.expert(&expert)? != bridged.manifest()
    {
        let message = format!(
            "expert `{expert}` says of itself something else than its sidecar manifest; write that anew (counterpoint-validator \
             --sidecar)"
        );
        return Err(counterpoint_host::Error::new(counterpoint_host::ErrorKind::Manifest, message));
    }
    let batch_invariant = bridged.capabilities() & CPT_CAP_BATCH_INVARIANT != 0;
    Ok(Made { expert: Box::new(bridged), batch_invariant })
}

/// The plugin at `path`, or in the folder `path` the one that has the expert.
fn found(path: &Path, expert: Option<&str>) -> counterpoint_host::Result<Found> {
    let about = path.metadata().map_err(|e| counterpoint_host::Error::io("cannot find the plugin", path, e))?;
    if about.is_file() {
        return Ok(Found { path: path.to_owned(), sidecar: Sidecar::read(path)? });
    }
    let mut plugins = discover(path)?;
    let wanted = |p: &Found| expert.is_none_or(|expert| p.experts().any(|e| e.name == expert));
    let place = match (expert, plugins.len()) {
        (None, n) if n > 1 => None,
        _ => plugins.iter().position(wanted),
    };
    if let Some(place) = place {
        return Ok(plugins.swap_remove(place));
    }
    let known: Vec<&str> = plugins.iter().flat_map(|p| p.experts().map(|e| e.name.as_str())).collect();
    let message = format!(
        "expert: expected one of a plugin in {} ({}), got {}; a plugin is a file with a sidecar manifest beside it",
        path.display(),
        list(&known),
        expert.map_or_else(|| "none".to_owned(), |expert| format!("`{expert}`"))
    );
    Err(counterpoint_host::Error::new(counterpoint_host::ErrorKind::Config, message))
}

/// The name of the only expert.
fn only(manifest: &Manifest) -> counterpoint_host::Result<String> {
    match manifest.experts.as_slice() {
        [only] => Ok(only.name.clone()),
        several => {
            let names: Vec<&str> = several.iter().map(|e| e.name.as_str()).collect();
            let message = format!("expert: missing; expected one of {}", list(&names));
            Err(counterpoint_host::Error::new(counterpoint_host::ErrorKind::Config, message))
        }
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// What is started for a first look, if this program has it. Without one the library is loaded unseen, which is said.
fn runner() -> Option<Runner> {
    Runner::find()
        .inspect_err(|error| tracing::warn!(error = %format_args!("{error:#}"), "a plugin is loaded without a first look in a child process"))
        .ok()
}

/// The engine's error for one of the host or the bridge.
pub(crate) fn engine(error: counterpoint_host::Error) -> Error {
    use counterpoint_host::ErrorKind as Kind;
    let kind = match error.kind() {
        Kind::Config | Kind::Manifest | Kind::Hash | Kind::Load | Kind::Version | Kind::Probe => ErrorKind::Config,
        Kind::GivenUp => ErrorKind::Stopped,
        Kind::Contract => ErrorKind::Contract,
        Kind::Io => ErrorKind::Io,
        _ => ErrorKind::Reward,
    };
    Error::new(kind, format!("{error:#}"))
}
