//! Checks a reward plugin; `--help` says how.

use std::process::ExitCode;

use clap::Parser;
use counterpoint_validator::{Options, run, run_if_child};

fn main() -> ExitCode {
    run_if_child().unwrap_or_else(|| run(&Options::parse()))
}
