//! Reward plugins: begun and checked.

mod new;

use std::process::ExitCode;

use clap::{Args, Subcommand};

pub use self::new::{Language, NewPlugin};
use crate::status;

/// What to do about plugins.
#[derive(Debug, Args)]
pub struct PluginsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Checks a reward plugin, each check in a child process with a time limit.
    #[cfg(unix)]
    Validate(counterpoint_validator::Options),
    /// Begins a reward plugin: a folder with the template, ready to be built and checked.
    New(NewPlugin),
}

/// Does what `args` say.
pub fn run(args: &PluginsArgs) -> ExitCode {
    match &args.command {
        #[cfg(unix)]
        Command::Validate(options) => counterpoint_validator::run(options),
        Command::New(plugin) => status(new::run(plugin)),
    }
}
