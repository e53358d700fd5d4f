//! What the program prints, returns and writes.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{PROGRAM, run};
use counterpoint_bad_plugins::build;
use counterpoint_host::{CHILD, Sidecar, discover};
use counterpoint_validator::checks;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_table_with_a_line_for_each_check_and_a_summary() {
    let folder = tempfile::tempdir().unwrap();
    let library = build("nan", folder.path());
    let output = run(["--only", "range", "--only", "process", library.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let printed = text(&output.stdout);
    let lines: Vec<Vec<&str>> = printed.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0][..3], ["range", "good", "FAIL"], "{printed}");
    assert_eq!(lines[1][..3], ["process", "good", "pass"], "{printed}");
    assert!(printed.trim_end().ends_with("1 passed, 1 failed, 0 skipped"), "{printed}");
}

#[test]
fn list_names_every_check() {
    let printed = text(&run(["--list"]).stdout);
    let names: Vec<_> = printed.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, checks::ALL.iter().map(|check| check.name).collect::<Vec<_>>());
}

#[test]
fn mistakes_on_the_command_line_are_told_from_failures() {
    for arguments in [
        &[][..],
        &["--only", "no-such-check", "x.so"],
        &["--settings", "[]", "x.so"],
        &["--timeout", "0", "x.so"],
        &["--only", "range", "--sidecar", "x.so"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    let output = run(["there/is/no/such.so"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot find there/is/no/such.so"));
    let output = run(["brightness.py"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("-- python3 -m counterpoint_reward brightness.py"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn an_expert_that_is_not_there_fails() {
    let folder = tempfile::tempdir().unwrap();
    let library = build("good", folder.path());
    let output = run(["--expert", "better", "--only", "create", library.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stdout).contains("`better`"), "{}", text(&output.stdout));
}

#[test]
fn a_plugin_that_passed_is_installed_with_a_sidecar_that_hosts_accept() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("plugins");
    let library = build("good", folder.path());
    let output = run(["--install", to.to_str().unwrap(), library.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stdout));
    let found = discover(&to).unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].sidecar.manifest.experts[0].name, "good");
    found[0].sidecar.verify(&found[0].path).unwrap();
    let files = std::fs::read_dir(&to).unwrap().count();
    assert_eq!(files, 2, "the library and its sidecar, nothing half written");
}

#[test]
fn a_plugin_that_failed_is_not_installed() {
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("plugins");
    let library = build("nan", folder.path());
    let output = run(["--install", to.to_str().unwrap(), library.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("nothing was written"), "{}", text(&output.stderr));
    assert!(!to.exists());
    assert!(!run(["--sidecar", library.to_str().unwrap()]).status.success());
    assert!(!Sidecar::path(&library).exists());
}

#[test]
fn the_sidecar_of_a_command_says_how_to_start_it() {
    let folder = tempfile::tempdir().unwrap();
    let library = build("good", folder.path());
    let output = run(["--sidecar", "--", PROGRAM, CHILD, "serve", library.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stdout));
    let sidecar = Sidecar::read(&library).unwrap();
    sidecar.verify(&library).unwrap();
    assert_eq!(sidecar.command.unwrap(), [PROGRAM, CHILD, "serve", "{file}"]);
}
