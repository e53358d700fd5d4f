//! `counterpoint`: training, evaluation, and the tools around them in one program; `--help` lists them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use counterpoint_examples::commands::{ablate, evaluate, generate, parity, plugins, report, weights};
use counterpoint_examples::{Invocation, RecipeArgs, job, run_if_child, status, with_progress};
use counterpoint_kernels::keep_pages;

/// Reinforcement learning for models that both understand and generate.
///
/// Exit status: 0 when all is done, 1 for an error or a check that failed, 2 for a wrong command line (and for errors of `weights`), 75
/// when a run was asked to stop and `--resume` goes on with it.
#[derive(Debug, Parser)]
#[command(name = "counterpoint", version)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Trains by a config, and evaluates before and after.
    #[command(mut_arg("config", |arg| arg.required(true).help("The run's config; relative paths in it are relative to its folder")))]
    Train(RecipeArgs),
    /// Measures trained models beside each other and the one that they began from.
    Evaluate(evaluate::EvaluateArgs),
    /// Trains a recipe with one part changed at a time, on the same seeds, and says what each is worth.
    Ablate(ablate::AblateArgs),
    /// Shows, compares, converts, merges and fetches weight files of any public format.
    Weights(weights::WeightsArgs),
    /// Compares this implementation with golden numbers of the reference implementation.
    Parity(parity::ParityArgs),
    /// Begins and checks reward plugins.
    Plugins(plugins::PluginsArgs),
    /// Checks, begins and converts data sets of personal concepts, in the layout of UniCTokens.
    Data(counterpoint_dataset::Options),
    /// Writes the report of a run anew, from what is in its folder.
    Report(report::ReportArgs),
    /// Prints the script with which a shell completes this program's command lines.
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Writes manual pages: one of this program and one of each subcommand.
    Man {
        /// The folder to write to.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

fn main() -> ExitCode {
    keep_pages();
    run_if_child();
    #[cfg(unix)]
    if let Some(status) = counterpoint_validator::run_if_child() {
        return status;
    }
    match Options::parse().command {
        Command::Train(args) => with_progress(args.output(), |progress| {
            let config = args.config.as_deref().unwrap_or(Path::new(""));
            job(&args, config, Invocation::Subcommand("train"), progress)
        }),
        Command::Evaluate(args) => with_progress(args.output(), |progress| evaluate::run(&args, progress)),
        Command::Ablate(args) => {
            with_progress(args.output(), |progress| ablate::run(&args, Invocation::Subcommand("ablate"), progress))
        }
        Command::Weights(args) => weights::run(args),
        Command::Parity(args) => parity::run(args),
        Command::Plugins(args) => plugins::run(&args),
        Command::Data(options) => counterpoint_dataset::run(&options),
        Command::Report(args) => status(report::run(&args)),
        Command::Completions { shell } => {
            generate::completions(shell, Options::command());
            ExitCode::SUCCESS
        }
        Command::Man { folder } => status(generate::manual(&folder, Options::command())),
    }
}
