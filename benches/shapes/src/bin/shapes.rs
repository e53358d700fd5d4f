//! Writes the rows and images of the world: `shapes [--out DIR]`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::PathBuf;
use std::process::ExitCode;

use counterpoint_shapes::dataset;

/// Where the committed copy is.
const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let out = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => PathBuf::from(COMMITTED),
        ["--out", folder] => PathBuf::from(folder),
        other => {
            eprintln!("expected nothing or `--out DIR` (default: {COMMITTED}), got `{}`", other.join(" "));
            return ExitCode::from(2);
        }
    };
    if let Err(error) = dataset::write(&out) {
        eprintln!("{error:#}");
        return ExitCode::FAILURE;
    }
    println!("wrote {}", out.display());
    ExitCode::SUCCESS
}
