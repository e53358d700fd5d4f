//! Roles that need a process of their own: this program, begun again.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const ROLE: &str = "ROLE_OF_TEST";
const FOLDER: &str = "FOLDER_OF_TEST";

/// The command that plays `role` on `folder`, begun by `before` (a program with its arguments, which is to run what follows).
pub(super) fn child(before: &[&str], role: &str, folder: &Path) -> Command {
    let mut line: Vec<OsString> = before.iter().map(Into::into).collect();
    line.push(std::env::current_exe().unwrap().into());
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).env(ROLE, role).env(FOLDER, folder).stdout(Stdio::piped());
    command
}

/// The role that this process was begun for, and the folder to play it on.
pub(super) fn role() -> Option<(String, PathBuf)> {
    Some((std::env::var(ROLE).ok()?, std::env::var_os(FOLDER)?.into()))
}
