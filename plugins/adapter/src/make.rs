//! From a config to an expert: finds the plugin, loads or starts it, makes an instance.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use counterpoint::registry::{BuildContext, RewardEntry, settings};
use counterpoint::{Error, ErrorKind, Result, inventory};
use counterpoint_abi::CPT_CAP_BATCH_INVARIANT;
use counterpoint_bridge::Bridged;
use counterpoint_host::{Expert, Found, Loaded, Manifest, Options, Runner, Setup, Sidecar, discover, load};
use serde_json::Value;

use crate::{Isolation, PluginConfig, PluginReward};

inventory::submit! {
    RewardEntry::new(
        "plugin",
        |table, context| {
            let config: PluginConfig = settings("", table)?;
            Ok(Box::new(PluginReward::new(config, context)?))
        },
    )
}

/// A plugin that was found, ready to give an expert: again, when it moves into a child process.
pub(crate) struct Maker {
    source: Source,
    expert: String,
    settings: Value,
    base: PathBuf,
    config: PluginConfig,
}

/// What there is to start.
enum Source {
    Library(Found),
    Command {
        /// With its arguments.
        program: Vec<String>,
        /// Where it starts.
        folder: PathBuf,
        /// The plugin's file, if the program comes from a sidecar.
        file: Option<Found>,
    },
}

impl Source {
    /// The plugin's file and what it is said to be, if it has one.
    fn file(&self) -> Option<&Found> {
        match self {
            Self::Library(file) => Some(file),
            Self::Command { file, .. } => file.as_ref(),
        }
    }
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
        // An empty base is the current folder, and no absolute path can be made of it.
        let base = context.base.join(".");
        let base = std::path::absolute(&base).map_err(|e| Error::io("cannot find", &base, e))?;
        let settings = serde_json::to_value(&config.settings)
            .map_err(|e| Error::config("settings: expected what JSON can hold").with_source(e))?;
        let expert = config.expert.as_deref();
        let (source, expert) = match (&config.command, &config.path) {
            (Some(program), _) => {
                let expert = match expert {
                    Some(expert) => expert.to_owned(),
                    None => only(&Bridged::describe(command(program, &base), &config.process).map_err(engine)?.0)?,
                };
                (Source::Command { program: program.clone(), folder: base.clone(), file: None }, expert)
            }
            (None, Some(path)) => {
                let file = found(&base.join(path), expert).map_err(engine)?;
                let expert = match expert {
                    Some(expert) => file.sidecar.manifest.expert(expert).map_err(engine)?.name.clone(),
                    None => only(&file.sidecar.manifest)?,
                };
                let folder = file.path.parent().unwrap_or(Path::new("/")).to_owned();
                let source = match file.sidecar.command_for(&file.path) {
                    Some(program) => Source::Command { program, folder, file: Some(file) },
                    None => Source::Library(file),
                };
                (source, expert)
            }
            (None, None) => return Err(Error::config("expected path or command, got neither")),
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
        self.start(isolated || self.config.isolation == Isolation::Process).map_err(engine)
    }

    fn start(&self, isolated: bool) -> counterpoint_host::Result<Made> {
        let setup = Setup { expert: &self.expert, settings: &self.settings, base: &self.base };
        let mut options = self.config.process.clone();
        if let Some(sandbox) = &mut options.sandbox {
            // As all paths of a config.
            sandbox.read.iter_mut().chain(&mut sandbox.write).for_each(|path| *path = self.base.join(&*path));
        }
        let bridged = match &self.source {
            Source::Command { program, folder, file } => {
                // The program reads the file by its name, after this.
                file.as_ref().map(|file| file.sidecar.verify(&file.path)).transpose()?;
                Bridged::start(command(program, folder), &setup, options)?
            }
            Source::Library(file) if isolated => {
                Bridged::of_library(&Runner::find()?, file.sidecar.verify(&file.path)?, &setup, options)?
            }
            Source::Library(file) => {
                let library = load(&file.path, runner().as_ref(), Duration::from_secs_f64(options.startup_timeout_s))?;
                let options = Options { instances: self.config.instances, ..Options::default() };
                let expert = Box::new(Loaded::create(library, &setup, &options)?);
                return Ok(Made { expert, batch_invariant: library.is_batch_invariant() });
            }
        };
        if let Some(Found { sidecar, .. }) = self.source.file()
            && sidecar.manifest.expert(&self.expert)? != bridged.manifest()
        {
            let message = format!(
                "expert `{}` says of itself something else than its sidecar manifest; write that anew (counterpoint-validator \
                 --sidecar)",
                self.expert
            );
            return Err(counterpoint_host::Error::new(counterpoint_host::ErrorKind::Manifest, message));
        }
        let batch_invariant = bridged.capabilities() & CPT_CAP_BATCH_INVARIANT != 0;
        Ok(Made { expert: Box::new(bridged), batch_invariant })
    }
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
        .inspect_err(|error| tracing::warn!(error = %format_args!("{error:#}"), "a plugin is loaded without a first look in a child process"))
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
        Kind::GivenUp => ErrorKind::Stopped,
        Kind::Contract => ErrorKind::Contract,
        Kind::Io => ErrorKind::Io,
        _ => ErrorKind::Reward,
    };
    Error::new(kind, format!("{error:#}"))
}
