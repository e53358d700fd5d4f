//! Tests that need a process of their own.

use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Stdio};

/// The command that runs the ignored test `name` of this test binary on `folder`, begun by `before` (a program with
/// its arguments, which is to run what follows).
///
/// The test finds the folder in the variable `FOLDER_OF_TEST`; without it, it is to do nothing.
pub fn child(before: &[&str], name: &str, folder: &Path) -> Command {
    let mut line: Vec<OsString> = before.iter().map(Into::into).collect();
    line.push(std::env::current_exe().unwrap().into());
    line.extend([name, "--exact", "--ignored", "--nocapture"].map(Into::into));
    let mut command = Command::new(&line[0]);
    command.args(&line[1..]).env("FOLDER_OF_TEST", folder).stdout(Stdio::piped());
    command
}
