//! Writes the data sets `unifybench-mini` and `unifybench-validation`: `generate [--out DIR]`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::path::PathBuf;
use std::process::ExitCode;

use counterpoint_unifybench::{World, dataset};

/// Where the committed copies are.
const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let out = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => PathBuf::from(COMMITTED),
        ["--out", folder] => PathBuf::from(folder),
        ["-h" | "--help"] => {
            println!("usage: generate [--out DIR]\nwrites a folder for each data set into DIR (default: {COMMITTED})");
            return ExitCode::SUCCESS;
        }
        other => {
            eprintln!("expected nothing or `--out DIR`, got `{}`", other.join(" "));
            return ExitCode::from(2);
        }
    };
    for &world in World::ALL {
        let folder = out.join(world.folder());
        if let Err(error) = dataset::write(world, &folder) {
            eprintln!("{error:#}");
            return ExitCode::FAILURE;
        }
        println!("wrote {}", folder.display());
    }
    ExitCode::SUCCESS
}
