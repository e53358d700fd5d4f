//! Writes the `unifybench-mini` data set: `generate [--out DIR]`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::PathBuf;
use std::process::ExitCode;

use counterpoint_unifybench::dataset;

/// Where the committed copy is.
const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/unifybench-mini");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let out = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => PathBuf::from(COMMITTED),
        ["--out", folder] => PathBuf::from(folder),
        ["-h" | "--help"] => {
            println!("usage: generate [--out DIR]\nwrites the unifybench-mini data set (default: {COMMITTED})");
            return ExitCode::SUCCESS;
        }
        other => {
            eprintln!("expected nothing or `--out DIR`, got `{}`", other.join(" "));
            return ExitCode::from(2);
        }
    };
    match dataset::write(&out) {
        Ok(()) => {
            println!("wrote {}", out.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
