//! The good plugins pass every check, and each bad one is named by the check that is for it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

mod common;

use common::{each, failed, findings};
use counterpoint_bad_plugins::{ALL, BadPlugin, GOOD, build, build_grown, can_build};
use counterpoint_validator::checks;

#[test]
fn good_plugins_pass_every_check() {
    let folder = tempfile::tempdir().unwrap();
    for name in GOOD {
        if !can_build(name) {
            eprintln!("not run: there is no compiler for {name}");
            continue;
        }
        let (findings, content) = findings([build(name, folder.path())]);
        let failed = failed(&findings);
        assert!(failed.is_empty() && content, "{name}: {failed:#?}");
        let skipped: BTreeSet<_> =
            findings.iter().filter(|f| f["verdict"] == "skipped").map(|f| f["check"].as_str().unwrap()).collect();
        let expected: &[&str] = match *name {
            "no_promises" => &["batch-size", "concurrent", "deterministic", "permutation"],
            "abstains" => &["batch-size", "deterministic", "permutation", "range"],
            _ => &[],
        };
        assert_eq!(skipped, expected.iter().copied().collect(), "{name}");
        assert_eq!(findings.len(), checks::ALL.iter().filter(|c| c.is_for_libraries()).count(), "{name}");
    }
}

#[test]
fn plugins_of_a_header_whose_structs_grew_pass_every_check() {
    let folder = tempfile::tempdir().unwrap();
    let sources = [("grown", "#include \"good.h\"\n"), ("brightness", include_str!("../../template/c/brightness.c"))];
    for (name, text) in sources {
        let (findings, content) = findings([build_grown(name, text, folder.path())]);
        assert!(content, "{name}: {:#?}", failed(&findings));
    }
}

#[test]
fn each_bad_plugin_is_named_by_the_check_that_is_for_it() {
    each(ALL, |plugin| is_named(plugin).map_err(|how| format!("{} ({}): {how}", plugin.name, plugin.what)));
}

fn is_named(plugin: &BadPlugin) -> Result<(), String> {
    if !can_build(plugin.name) {
        eprintln!("not run: there is no compiler for {}", plugin.name);
        return Ok(());
    }
    let folder = tempfile::tempdir().unwrap();
    let library = build(plugin.name, folder.path());
    // Its own check, and nothing but that among these.
    let timeout = if plugin.says == "took longer" { "2" } else { "60" };
    let only = ["one-symbol", "load", "create", plugin.check].map(|check| format!("--only={check}"));
    let more = ["--timeout", timeout, library.to_str().unwrap()].map(str::to_owned);
    let (findings, content) = findings(only.into_iter().chain(more));
    match failed(&findings).first() {
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
    let checks: BTreeSet<_> = checks::ALL.iter().filter(|c| c.is_for_libraries()).map(|c| c.name).collect();
    assert_eq!(named, checks);
}
