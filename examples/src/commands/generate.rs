//! What is made of the command line itself: completions for shells, and manual pages.
#![allow(clippy::print_stdout)]

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use clap::Command;
use clap_complete::Shell;
use counterpoint::{Error, Result};

/// Prints the script with which `shell` completes `command`.
pub fn completions(shell: Shell, mut command: Command) {
    let (name, mut script) = (command.get_name().to_owned(), Vec::new());
    clap_complete::generate(shell, &mut command, name, &mut script);
    // A reader that went away has seen enough.
    let _ = io::stdout().lock().write_all(&script);
}

/// Writes a manual page of `command`, and one of each of its subcommands, into `folder`, which is made where it is not there.
///
/// # Errors
/// [`Io`](counterpoint::ErrorKind::Io).
pub fn manual(folder: &Path, command: Command) -> Result<()> {
    fs::create_dir_all(folder).map_err(|e| Error::io("cannot make the folder", folder, e))?;
    let page = folder.join(format!("{}.1", command.get_name()));
    clap_mangen::generate_to(command, folder).map_err(|e| Error::io("cannot write manual pages to", folder, e))?;
    println!("wrote {} and a page for each subcommand", page.display());
    Ok(())
}
