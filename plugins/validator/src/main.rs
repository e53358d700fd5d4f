//! Checks a reward plugin; `--help` says how.

use std::process::ExitCode;

#[cfg(unix)]
fn main() -> ExitCode {
    use clap::Parser;
    use counterpoint_validator::{Options, run, run_if_child};

    // A library behind the bridge is served by this program too.
    counterpoint_bridge::run_if_child();
    run_if_child().unwrap_or_else(|| run(&Options::parse()))
}

#[cfg(not(unix))]
fn main() -> ExitCode {
    // Its checks are made with a Unix system's processes and pages.
    ExitCode::FAILURE
}
