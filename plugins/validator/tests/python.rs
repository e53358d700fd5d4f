//! Rewards in Python, behind the package `counterpoint_reward`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::Path;
use std::process::Command;

use common::{PROGRAM, each, failed, findings};
use counterpoint_bridge::{BridgeOptions, Bridged};
use counterpoint_host::Sidecar;

const GOOD: &str = r#"
from counterpoint_reward import reward

@reward(range=(0, 1), needs=["text"], judges="understanding", deterministic=True, batch_invariant=True)
def short(batch):
    return [1 / (1 + len(item.response)) for item in batch]
"#;

/// The arguments that check the reward whose source is `text`; none without Python.
fn arguments(name: &str, text: &str, folder: &Path) -> Option<Vec<String>> {
    if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("not run: there is no python3");
        return None;
    }
    let file = folder.join(format!("{name}.py"));
    std::fs::write(&file, text).unwrap();
    let package = format!("PYTHONPATH={}/../bridge/python", env!("CARGO_MANIFEST_DIR"));
    let words = ["--", "env", &package, "python3", "-B", "-m", "counterpoint_reward", file.to_str().unwrap()];
    Some(words.map(str::to_owned).to_vec())
}

#[test]
fn a_good_reward_passes_every_check() {
    let folder = tempfile::tempdir().unwrap();
    let Some(arguments) = arguments("good", GOOD, folder.path()) else { return };
    let (findings, content) = findings(arguments);
    assert!(content && findings.iter().all(|f| f["verdict"] == "pass"), "{findings:#?}");
}

#[test]
fn a_reward_that_reads_a_file_is_installed_and_starts_in_its_new_folder() {
    let text = "import sys\nWEIGHTS = open(sys.argv[1]).read()\n".to_owned() + GOOD;
    let folder = tempfile::tempdir().unwrap();
    if arguments("weighted", &text, folder.path()).is_none() {
        return;
    }
    std::fs::write(folder.path().join("weights.txt"), "1 2 3").unwrap();
    let package = concat!(env!("CARGO_MANIFEST_DIR"), "/../bridge/python");
    let words = "--install plugins -- python3 -B -m counterpoint_reward weighted.py weights.txt";
    let output = Command::new(PROGRAM)
        .args(words.split(' '))
        .current_dir(folder.path())
        .env("PYTHONPATH", package)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));

    let installed = folder.path().join("plugins/weighted.py");
    let sidecar = Sidecar::read(&installed).unwrap();
    sidecar.verify(&installed).unwrap();
    let words = sidecar.command_for(&installed).unwrap();
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).current_dir(folder.path().join("plugins")).env("PYTHONPATH", package);
    let (manifest, _) = Bridged::describe(command, &BridgeOptions::default()).unwrap();
    assert_eq!(manifest.experts[0].name, "short");
}

#[test]
fn a_reward_that_was_checked_in_an_environment_is_started_in_it() {
    let folder = tempfile::tempdir().unwrap();
    if arguments("good", GOOD, folder.path()).is_none() {
        return;
    }
    let environment = folder.path().join("environment");
    let made = Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&environment).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let bin = environment.join("bin");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = Command::new(PROGRAM)
        .args("--sidecar -- python3 -B -m counterpoint_reward good.py".split(' '))
        .current_dir(folder.path())
        .env("PATH", path)
        .env("PYTHONPATH", concat!(env!("CARGO_MANIFEST_DIR"), "/../bridge/python"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let command = Sidecar::read(&folder.path().join("good.py")).unwrap().command.unwrap();
    assert_eq!(command[0], bin.join("python3").to_str().unwrap());
}

#[test]
fn what_fails_every_check_is_said_once_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let text =
        GOOD.replace("return [1 / (1 + len(item.response)) for item in batch]", "return [1 / 0 for item in batch]");
    let Some(arguments) = arguments("divides", &text, folder.path()) else { return };
    let output = Command::new(PROGRAM).args(arguments).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    // Once after a call of no items, and once for all the others.
    assert_eq!(said.matches("ZeroDivisionError: division by zero").count(), 2, "{said}");
    assert!(said.contains("divides.py\", line 6, in "), "{said}");
    assert!(said.contains("as `many-items`"), "{said}");
}

#[test]
fn bad_rewards_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let score = "return [1 / (1 + len(item.response)) for item in batch]";
    each(
        &[
            ("syntax_error", "hello", "SyntaxError", "return [1 / (".to_owned()),
            ("raises", "many-items", "ZeroDivisionError: division by zero", "return [1 / 0 for item in batch]".into()),
            ("one_score", "many-items", "expected", "return [0.5]".into()),
            ("nan", "range", "NaN", "return [float('nan')] * len(batch)".into()),
            ("out_of_range", "range", "in the declared range 0 to 1", "return [-1] * len(batch)".into()),
            ("by_place", "permutation", "in place", "return [1 / (1 + i) for i, _ in enumerate(batch)]".into()),
            (
                "unseeded",
                "deterministic",
                "the same call twice",
                "import random; return [random.random() for _ in batch]".into(),
            ),
            ("ends", "many-items", "", "import os; os._exit(3)".into()),
        ],
        |(name, check, says, body)| {
            let text = GOOD.replace(score, body);
            assert_ne!(text, GOOD);
            let Some(arguments) = arguments(name, &text, folder.path()) else { return Ok(()) };
            let only = ["--only".to_owned(), (*check).to_owned()];
            let (findings, content) = findings(only.into_iter().chain(arguments));
            match failed(&findings)[..] {
                [one] if !content && one["check"] == *check && one["detail"].as_str().unwrap().contains(says) => Ok(()),
                _ => Err(format!("{name}: expected `{check}` to fail and to say {says:?}, got {findings:?}")),
            }
        },
    );
}
