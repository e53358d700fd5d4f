//! Rewards in Python, behind the package `counterpoint_reward`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::Path;
use std::process::Command;

use common::{each, failed, findings};

const GOOD: &str = r#"
from counterpoint_reward import reward

@reward(range=(0, 1), needs=["text"], deterministic=True, batch_invariant=True)
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
fn bad_rewards_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let score = "return [1 / (1 + len(item.response)) for item in batch]";
    each(
        &[
            ("syntax_error", "hello", "SyntaxError", "return [1 / (".to_owned()),
            ("raises", "many-items", "ZeroDivisionError", "return [1 / 0 for item in batch]".into()),
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
