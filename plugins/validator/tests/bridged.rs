//! Plugins behind a command: here libraries that the validator itself serves in a child process.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{PROGRAM, each, failed, findings};
use counterpoint_bad_plugins::build;
use counterpoint_host::CHILD;
use counterpoint_validator::checks;

/// Arguments that have the plugin called `name` checked behind the bridge.
fn bridged(name: &str, options: &[&str], folder: &std::path::Path) -> Vec<String> {
    let library = build(name, folder);
    let command = ["--", PROGRAM, CHILD, "serve", library.to_str().unwrap()];
    options.iter().chain(&command).map(|word| (*word).to_owned()).collect()
}

#[test]
fn a_good_plugin_passes_every_check_of_behaviour() {
    let folder = tempfile::tempdir().unwrap();
    let (findings, content) = findings(bridged("good", &[], folder.path()));
    assert!(content && failed(&findings).is_empty(), "{findings:#?}");
    assert!(findings.iter().all(|f| f["verdict"] == "pass"), "{findings:#?}");
    assert_eq!(findings[0]["check"], "hello");
    let behaviour: Vec<_> = checks::ALL.iter().filter(|c| c.is_for_commands()).map(|c| c.name).collect();
    assert_eq!(findings.iter().map(|f| f["check"].as_str().unwrap()).collect::<Vec<_>>(), behaviour);
}

#[test]
fn bad_plugins_are_named_behind_a_command_too() {
    let folder = tempfile::tempdir().unwrap();
    let plugins = [
        ("broken_manifest", "hello", "manifest"),
        ("hangs_at_load", "hello", "within"),
        ("refuses_settings", "create", "not today"),
        ("exits", "many-items", "exit"),
        ("segfaults", "many-items", "SIGSEGV"),
        ("slow", "many-items", "within"),
        ("throws", "hostile-items", ""),
        ("spoils_the_batch", "bad-item", "CPT_FAIL"),
        ("depends_on_order", "permutation", "in place"),
        ("depends_on_batch", "batch-size", "among"),
        ("not_deterministic", "deterministic", "the same call twice"),
        ("sees_the_image", "judges", "other images"),
        ("nan", "range", "NaN"),
        ("lies_about_range", "range", "in the declared range 0 to 1"),
        ("ignores_cancel", "cancel", ""),
        ("asks_once", "deadline", ""),
    ];
    each(&plugins, |(name, check, says)| {
        let timeout = if *says == "within" { "2" } else { "60" };
        let (findings, content) = findings(bridged(name, &["--only", check, "--timeout", timeout], folder.path()));
        match failed(&findings)[..] {
            [one] if !content && one["check"] == *check && one["detail"].as_str().unwrap().contains(says) => Ok(()),
            _ => Err(format!("{name}: expected `{check}` to fail and to say {says:?}, got {findings:?}")),
        }
    });
}

#[test]
fn a_command_that_does_not_speak_the_protocol_is_named() {
    for command in ["true", "cat", "there-is-no-such-program"] {
        let (findings, content) = findings(["--timeout", "1", "--", command]);
        assert!(!content && findings[0]["check"] == "hello" && findings.len() == 1, "{command}: {findings:?}");
    }
}
