//! Limits and sandbox of a plugin's process, in place before its program begins: this program is started, confines itself, and becomes
//! the plugin's.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use counterpoint_host::{Error, ErrorKind, Result, Runner, contain, in_path};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use crate::{BridgeOptions, Sandbox};

/// The work of a child that confines itself and becomes another program: `confined LIMITS PROGRAM ARGUMENTS`.
pub(crate) const CONFINED: &str = "confined";

/// What a process sets itself before it becomes the plugin's.
#[derive(Debug, Serialize, Deserialize)]
struct Confinement {
    memory_mib: Option<u64>,
    cpu_s: Option<u64>,
    file_mib: Option<u64>,
    open_files: Option<u64>,
    processes: Option<u64>,
    sandbox: Option<Sandbox>,
}

/// The command that starts `command` as `options` want it: with an environment of what it needs, and through a program that confines
/// itself first, where there is something to confine. `folders` are the plugin's own.
///
/// # Errors
/// [`ErrorKind::Config`] when there is no such program ([`Runner::find`]).
pub(crate) fn confined(mut command: Command, options: &BridgeOptions, folders: &[PathBuf]) -> Result<Command> {
    contain(&mut command, &options.environment);
    let BridgeOptions { memory_mib, cpu_s, file_mib, open_files, processes, .. } = *options;
    let sandbox = options.sandbox.clone().map(|mut sandbox| {
        sandbox.read.extend(folders.iter().cloned());
        sandbox.read.extend(installation(&command));
        sandbox
    });
    if [memory_mib, cpu_s, file_mib, open_files, processes].iter().all(Option::is_none) && sandbox.is_none() {
        return Ok(command);
    }
    let runner = match &options.runner {
        Some(runner) => runner.clone(),
        None => Runner::find().map_err(|e| e.at("limits and a sandbox of a plugin's process"))?,
    };
    let limits = serde_json::to_string(&Confinement { memory_mib, cpu_s, file_mib, open_files, processes, sandbox })
        .map_err(|e| Error::new(ErrorKind::Config, "process: cannot be written as JSON").with_source(e))?;
    let mut outer = runner.command(CONFINED);
    outer.arg(limits).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => outer.env(name, value),
            None => outer.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        outer.current_dir(folder);
    }
    Ok(outer)
}

/// The folders that a program lies in as it is called and as it is: those of its installation, such as a Python environment.
fn installation(command: &Command) -> Vec<PathBuf> {
    let program = Path::new(command.get_program());
    let called = match program.components().count() {
        1 => in_path(program),
        _ => Some(command.get_current_dir().unwrap_or(Path::new(".")).join(program)),
    };
    let prefix = |path: &Path| path.parent()?.parent().filter(|prefix| prefix.parent().is_some()).map(Path::to_owned);
    let real = called.as_deref().and_then(|path| path.canonicalize().ok());
    [called, real].into_iter().flatten().filter_map(|path| prefix(&path)).collect()
}

/// Confines this process and becomes the program that `arguments` name. Returns only when that failed.
pub(crate) fn become_confined(arguments: &[OsString]) -> Error {
    let [limits, program, arguments @ ..] = arguments else {
        return Error::new(ErrorKind::Config, "expected limits, a program and its arguments");
    };
    if let Err(error) = enter(&limits.to_string_lossy()) {
        return error.at("the plugin's process cannot be confined");
    }
    let error = Command::new(program).args(arguments).exec();
    Error::new(ErrorKind::Config, format!("cannot start the plugin's program {}", program.display())).with_source(error)
}

fn enter(limits: &str) -> Result<()> {
    let Confinement { memory_mib, cpu_s, file_mib, open_files, processes, sandbox } = serde_json::from_str(limits)
        .map_err(|e| Error::new(ErrorKind::Config, "expected limits in JSON").with_source(e))?;
    let mib = |size: Option<u64>| size.map(|size| size << 20);
    let limits = [
        (Resource::Core, Some(0)),
        (Resource::Data, mib(memory_mib)),
        (Resource::Cpu, cpu_s),
        (Resource::Fsize, mib(file_mib)),
        (Resource::Nofile, open_files),
        (Resource::Nproc, processes),
    ];
    for (resource, limit) in limits {
        if limit.is_some() {
            setrlimit(resource, Rlimit { current: limit, maximum: limit }).map_err(|e| {
                Error::new(ErrorKind::Config, format!("cannot limit {resource:?} to {limit:?}")).with_source(e)
            })?;
        }
    }
    sandbox.map_or(Ok(()), |sandbox| shut(&sandbox))
}

#[cfg(target_os = "linux")]
fn shut(sandbox: &Sandbox) -> Result<()> {
    use landlock::{
        ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
        RulesetError, path_beneath_rules,
    };
    /// What every program reads.
    const SYSTEM: [&str; 12] =
        ["/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc", "/opt", "/nix", "/proc", "/dev", "/sys"];
    /// What every program may write to.
    const NOTHING: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/tty"];
    // Files since 5.13, renaming between folders 5.19, truncation 6.2, TCP 6.7.
    let (files, all) = (ABI::V3, ABI::V4);
    let here = std::env::current_dir().ok();
    let read = SYSTEM.iter().map(PathBuf::from).chain(here).chain(sandbox.read.iter().cloned());
    let write = NOTHING.iter().map(PathBuf::from).chain(sandbox.write.iter().cloned());
    let shut = || -> std::result::Result<_, RulesetError> {
        // What an older kernel does not know must fail, or the words above were not true.
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessFs::from_all(files))?;
        if !sandbox.network {
            rules = rules.handle_access(AccessNet::from_all(all))?;
        }
        rules
            .create()?
            .add_rules(path_beneath_rules(read, AccessFs::from_read(files)))?
            .add_rules(path_beneath_rules(write, AccessFs::from_all(files)))?
            .restrict_self()
    };
    let refused = "sandbox: this kernel has no Landlock that can keep it (Linux 6.7 or newer; 6.2 with network = true)";
    shut().map(|_status| ()).map_err(|e| Error::new(ErrorKind::Config, refused).with_source(e))
}

#[cfg(not(target_os = "linux"))]
fn shut(_: &Sandbox) -> Result<()> {
    Err(Error::new(ErrorKind::Config, "sandbox: only Linux has it"))
}
