//! `cargo run --release --example parity -- showo DIR`, or a reward tower's name for `showo`: our implementation against a
//! folder of golden numbers.
//!
//! Prints a line per quantity (largest absolute and relative error, tolerance, ok or FAIL) and a JSON summary. Exit
//! status 1 when anything failed. All sizes come from DIR's `config.json`.

use std::process::ExitCode;

use clap::Parser;
use counterpoint_examples::commands::parity::{ParityArgs, run};

fn main() -> ExitCode {
    run(ParityArgs::parse())
}
