//! The good plugins pass every check, and each bad one is named by the check that is for it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use counterpoint_bad_plugins::{ALL, BadPlugin, GOOD, build, can_build};
use counterpoint_validator::checks;
use serde_json::Value;

/// The findings of the validator, and whether it was content.
fn validate(arguments: &[&str], library: &Path) -> (Vec<Value>, bool) {
    let output = Command::new(env!("CARGO_BIN_EXE_counterpoint-validator"))
        .arg("--json")
        .args(arguments)
        .arg(library)
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    (report["findings"].as_array().unwrap().clone(), output.status.success())
}

#[test]
fn good_plugins_pass_every_check() {
    let folder = tempfile::tempdir().unwrap();
    for name in GOOD {
        if !can_build(name) {
            eprintln!("not run: there is no compiler for {name}");
            continue;
        }
        let (findings, content) = validate(&[], &build(name, folder.path()));
        let failed: Vec<_> = findings.iter().filter(|f| f["verdict"] == "fail").collect();
        assert!(failed.is_empty() && content, "{name}: {failed:#?}");
        let skipped: BTreeSet<_> =
            findings.iter().filter(|f| f["verdict"] == "skipped").map(|f| f["check"].as_str().unwrap()).collect();
        // Extensions came with minor version 1.
        let expected: &[&str] = if *name == "minor_0" { &["unknown-extension", "poisoned"] } else { &[] };
        assert_eq!(skipped, expected.iter().copied().collect(), "{name}");
        assert_eq!(findings.len(), checks::ALL.len() - 1, "{name}: all but `hello`, which is for commands");
    }
}

#[test]
fn each_bad_plugin_is_named_by_the_check_that_is_for_it() {
    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(Vec::new());
    let work = || {
        while let Some(plugin) = ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(how) = is_named(plugin) {
                wrong.lock().unwrap().push(format!("{} ({}): {how}", plugin.name, plugin.what));
            }
        }
    };
    // Some of them sleep.
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn is_named(plugin: &BadPlugin) -> Result<(), String> {
    if !can_build(plugin.name) {
        eprintln!("not run: there is no compiler for {}", plugin.name);
        return Ok(());
    }
    let folder = tempfile::tempdir().unwrap();
    let library = build(plugin.name, folder.path());
    // What its own check must find, and nothing but that before it.
    let only =
        ["--only", "one-symbol", "--only", "table", "--only", "create", "--only", plugin.check, "--timeout", "3"];
    let (findings, content) = validate(&only, &library);
    let failed: Vec<_> = findings.iter().filter(|f| f["verdict"] == "fail").collect();
    match failed.first() {
        None => Err(format!("expected `{}` to fail, got {findings:?}", plugin.check)),
        Some(first) if first["check"] != plugin.check => {
            Err(format!("expected `{}` to fail, got {first}", plugin.check))
        }
        Some(first) if !first["detail"].as_str().unwrap().contains(plugin.says) => {
            Err(format!("expected it to say {:?}, got {first}", plugin.says))
        }
        Some(_) if content => Err("expected an exit status other than 0, got 0".into()),
        Some(_) => Ok(()),
    }
}

#[test]
fn every_check_of_libraries_has_a_bad_plugin() {
    let named: BTreeSet<_> = ALL.iter().map(|plugin| plugin.check).collect();
    let unnamed: Vec<_> = checks::ALL.iter().map(|check| check.name).filter(|name| !named.contains(name)).collect();
    assert_eq!(unnamed, ["hello"]);
}
