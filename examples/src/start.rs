//! The `main` of a recipe.

use std::process::{ExitCode, Termination};

use clap::Parser;
use counterpoint::Result;

use crate::{OutputMode, Progress, keep_pages, run_if_child, show_warnings};

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
    let progress = Progress::new(output(&args));
    show_warnings(&progress);
    match run(&args, &progress) {
        Ok(done) => done.report(),
        Err(error) => {
            progress.error(&error);
            ExitCode::FAILURE
        }
    }
}
