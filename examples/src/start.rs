//! The `main` of a recipe.

use std::process::{ExitCode, Termination};

use clap::Parser;
use counterpoint::Result;
use counterpoint_kernels::keep_pages;

use crate::{OutputMode, Progress, run_if_child, show_warnings};

/// How a recipe ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// With all that it was to do.
    Completed,
    /// Because it was asked to stop; what was done is kept and `--resume` goes on with it.
    Stopped,
}

/// The status of a recipe that was asked to stop: 75, "try again later" (`EX_TEMPFAIL` of `sysexits.h`), so that a scheduler can tell it from
/// one that is done (0), from a failure (1) and from a wrong command line (2).
const STOPPED: u8 = 75;

impl Termination for Done {
    fn report(self) -> ExitCode {
        match self {
            Self::Completed => ExitCode::SUCCESS,
            Self::Stopped => ExitCode::from(STOPPED),
        }
    }
}

/// How a program without a display ends: its error on standard error.
#[allow(clippy::print_stderr)]
pub fn status(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Reads the command line, runs the recipe with somebody to talk to, and says its error. Returns at once from a process that was
/// started for a plugin.
pub fn start<A: Parser, T: Termination>(
    output: impl FnOnce(&A) -> OutputMode,
    run: impl FnOnce(&A, &Progress) -> Result<T>,
) -> ExitCode {
    keep_pages();
    run_if_child();
    let args = A::parse();
    with_progress(output(&args), |progress| run(&args, progress))
}

/// Runs a recipe with somebody to talk to, and says its error.
pub fn with_progress<T: Termination>(output: OutputMode, run: impl FnOnce(&Progress) -> Result<T>) -> ExitCode {
    let progress = Progress::new(output);
    show_warnings(&progress);
    match run(&progress) {
        Ok(done) => done.report(),
        Err(error) => {
            progress.error(&error);
            ExitCode::FAILURE
        }
    }
}
