//! The program that hosts start for work in a child process, where their own `main` does not begin with `run_if_child`.

use std::process::ExitCode;

fn main() -> ExitCode {
    counterpoint_bridge::run_if_child();
    // Whoever starts it by hand sees what it is.
    use std::io::Write as _;
    let _unread = writeln!(
        std::io::stderr(),
        "expected to be started by a program with counterpoint-host, or as `counterpoint-plugin-child \
         counterpoint-plugin-child probe LIBRARY`"
    );
    ExitCode::from(2)
}
