//! From a config to an expert: finds the plugin, loads or starts it, makes an instance.

use std::path::{Path, PathBuf};
use std::process::Command;

use counterpoint::registry::{BuildContext, RewardEntry, settings};
use counterpoint::{Error, ErrorKind, Result, inventory};
use counterpoint_abi::CPT_CAP_BATCH_INVARIANT;
use counterpoint_bridge::Bridged;
use counterpoint_host::{Expert, Loaded, Manifest, Options, Runner, Setup, Sidecar, discover, load};
use serde_json::Value;

use crate::{Isolation, PluginConfig, PluginReward};

inventory::submit! {
    RewardEntry {
        name: "plugin",
        build: |table, context| {
            let config: PluginConfig = settings("", table)?;
            Ok(Box::new(PluginReward::new(config, context)?))
        },
    }
}

/// A plugin that was found and looked at, ready to give an expert: again and again, when one breaks or moves.
pub(crate) struct Maker {
    source: Source,
    expert: String,
    settings: Value,
    base: PathBuf,
    config: PluginConfig,
}

/// What there is to start.
enum Source {
    Library(PathBuf),
    Command { program: Vec<String>, folder: PathBuf },
}

/// An expert with what is known of it.
pub(crate) struct Made {
    pub(crate) expert: Box<dyn Expert>,
    /// Whether an item's scores do not depend on the others of its call.
    pub(crate) batch_invariant: bool,
}

impl Maker {
    /// Finds the plugin that `config` means.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when there is none, or it has no such expert.
    pub(crate) fn new(config: PluginConfig, context: &BuildContext) -> Result<Self> {
        config.check()?;
        let base = std::path::absolute(&context.base).map_err(|e| Error::io("cannot find", &context.base, e))?;
        let settings = serde_json::to_value(&config.settings)
            .map_err(|e| Error::config("settings: expected what JSON can hold").with_source(e))?;
        let (source, expert) = match (&config.command, &config.path) {
            (Some(program), _) => {
                (Source::Command { program: program.clone(), folder: base.clone() }, config.expert.clone())
            }
            (None, Some(path)) => found(&base.join(path), config.expert.as_deref())?,
            (None, None) => return Err(Error::config("expected path or command, got neither")),
        };
        let expert = match expert {
            Some(expert) => expert,
            None => only(&source.manifest(&config)?)?,
        };
        Ok(Self { source, expert, settings, base, config })
    }

    pub(crate) fn config(&self) -> &PluginConfig {
        &self.config
    }

    /// Makes the expert where the config says, or in a child process if `isolated`.
    ///
    /// # Errors
    /// [`ErrorKind::Reward`] with the plugin's or the host's words.
    pub(crate) fn make(&self, isolated: bool) -> Result<Made> {
        let setup = Setup { expert: &self.expert, settings: &self.settings, base: &self.base };
        let options = self.config.process.clone();
        let made = match &self.source {
            Source::Command { program, folder } => {
                Bridged::start(command(program, folder), &setup, options).map(Made::from)
            }
            Source::Library(path) if isolated || self.config.isolation == Isolation::Process => verified(path)
                .and_then(|()| Bridged::of_library(&Runner::find()?, path, &setup, options))
                .map(Made::from),
            Source::Library(path) => load(path, runner().as_ref()).and_then(|library| {
                let options = Options { instances: self.config.instances, ..Options::default() };
                let expert = Box::new(Loaded::create(library, &setup, &options)?);
                Ok(Made { expert, batch_invariant: library.is_batch_invariant() })
            }),
        };
        made.map_err(engine)
    }
}

impl From<Bridged> for Made {
    fn from(expert: Bridged) -> Self {
        let batch_invariant = expert.capabilities() & CPT_CAP_BATCH_INVARIANT != 0;
        Self { expert: Box::new(expert), batch_invariant }
    }
}

impl Source {
    fn manifest(&self, config: &PluginConfig) -> Result<Manifest> {
        match self {
            Self::Library(path) => Ok(Sidecar::read(path).map_err(engine)?.manifest),
            Self::Command { program, folder } => {
                Ok(Bridged::describe(command(program, folder), &config.process).map_err(engine)?.0)
            }
        }
    }
}

/// The plugin at `path`, and its expert when that is settled.
fn found(path: &Path, expert: Option<&str>) -> Result<(Source, Option<String>)> {
    if !path.is_dir() {
        let path = path.canonicalize().map_err(|e| Error::io("cannot find the plugin", path, e))?;
        let sidecar = Sidecar::read(&path).map_err(engine)?;
        return Ok((source(&sidecar, &path)?, expert.map(str::to_owned)));
    }
    let plugins = discover(path).map_err(engine)?;
    let known: Vec<&str> = plugins.iter().flat_map(|p| p.experts().map(|e| e.name.as_str())).collect();
    let wanted = match (expert, known.as_slice()) {
        (Some(expert), _) => expert,
        (None, [only]) => only,
        (None, _) => return Err(Error::config(format!("expert: missing; expected one of {}", list(&known)))),
    };
    let Some(plugin) = plugins.iter().find(|p| p.experts().any(|e| e.name == wanted)) else {
        let message = format!(
            "expected a plugin with an expert `{wanted}` in {}, got {}; a plugin is a file with a sidecar manifest beside it",
            path.display(),
            list(&known)
        );
        return Err(Error::config(message));
    };
    Ok((source(&plugin.sidecar, &plugin.path)?, Some(wanted.to_owned())))
}

fn source(sidecar: &Sidecar, path: &Path) -> Result<Source> {
    let Some(program) = sidecar.command_for(path) else { return Ok(Source::Library(path.to_owned())) };
    sidecar.verify(path).map_err(engine)?;
    Ok(Source::Command { program, folder: path.parent().unwrap_or(Path::new("/")).to_owned() })
}

fn verified(path: &Path) -> counterpoint_host::Result<()> {
    Sidecar::read(path)?.verify(path)
}

fn only(manifest: &Manifest) -> Result<String> {
    match manifest.experts.as_slice() {
        [only] => Ok(only.name.clone()),
        several => {
            let names: Vec<&str> = several.iter().map(|e| e.name.as_str()).collect();
            Err(Error::config(format!("expert: missing; expected one of {}", list(&names))))
        }
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// What is started for a first look, if this program has it. Without one the library is loaded unseen, which is said.
fn runner() -> Option<Runner> {
    Runner::find()
        .inspect_err(|error| tracing::warn!(%error, "a plugin is loaded without a first look in a child process"))
        .ok()
}

fn command(program: &[String], folder: &Path) -> Command {
    let mut command = Command::new(&program[0]);
    command.args(&program[1..]).current_dir(folder);
    command
}

/// The engine's error for one of the host or the bridge.
pub(crate) fn engine(error: counterpoint_host::Error) -> Error {
    use counterpoint_host::ErrorKind as Kind;
    let kind = match error.kind() {
        Kind::Config | Kind::Manifest | Kind::Hash | Kind::Load | Kind::Version | Kind::Probe => ErrorKind::Config,
        Kind::Contract => ErrorKind::Contract,
        Kind::Io => ErrorKind::Io,
        _ => ErrorKind::Reward,
    };
    Error::new(kind, error.to_string())
}
