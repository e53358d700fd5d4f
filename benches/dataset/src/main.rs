//! Checks and begins data sets of personal concepts; `--help` says how.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    counterpoint_dataset::run(&counterpoint_dataset::Options::parse())
}
