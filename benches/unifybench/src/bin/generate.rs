//! Writes the data sets `unifybench-mini` and `unifybench-validation`: `generate [--out DIR]`; or, with `--strangers DIR`, the first
//! under names that no model knows.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use counterpoint::Result;
use counterpoint_unifybench::{World, dataset};

/// Where the committed copies are.
const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data");

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let worlds =
        |out: &Path| World::ALL.iter().try_for_each(|&world| written(dataset::files(world), &out.join(world.folder())));
    let outcome = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => worlds(Path::new(COMMITTED)),
        ["--out", folder] => worlds(Path::new(folder)),
        ["--strangers", folder] => written(dataset::strangers(), Path::new(folder)),
        ["-h" | "--help"] => {
            println!(
                "usage: generate [--out DIR | --strangers DIR]\nwrites a folder for each data set into DIR (default: {COMMITTED}); \
                 or into DIR the main one, its concepts under names that no model knows"
            );
            Ok(())
        }
        other => {
            eprintln!("expected nothing, `--out DIR` or `--strangers DIR`, got `{}`", other.join(" "));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn written(files: Result<BTreeMap<String, Vec<u8>>>, folder: &Path) -> Result<()> {
    dataset::write(files?, folder)?;
    println!("wrote {}", folder.display());
    Ok(())
}
