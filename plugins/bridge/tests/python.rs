//! Rewards in Python. Needs `python3` (or what the environment variable PYTHON names), in part with numpy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use counterpoint_bridge::{BridgeOptions, Bridged};
use counterpoint_host::{Call, ErrorKind, Expert, Image, Item, Judges, Need, Pixels, Result, State};
use serde_json::{Value, json};
use support::{create, hang, quick, says, score, setup, value};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Python with our package, or none where this cannot be tested.
fn python(import: &str) -> Option<Command> {
    let program = std::env::var("PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let found = Command::new(&program).args(["-c", import]).output();
    if !found.is_ok_and(|output| output.status.success()) {
        eprintln!("not run: `{program}` cannot `{import}`");
        return None;
    }
    let mut command = Command::new(program);
    command.env("PYTHONPATH", here().join("python")).env("PYTHONDONTWRITEBYTECODE", "1");
    Some(command)
}

fn serve(mut python: Command, file: &Path) -> Command {
    python.args(["-m", "counterpoint_reward"]).arg(file);
    python
}

fn rewards() -> PathBuf {
    here().join("tests/plugins/rewards.py")
}

fn start(expert: &str, settings: &Value, options: BridgeOptions, import: &str) -> Option<Result<Bridged>> {
    Some(Bridged::start(serve(python(import)?, &rewards()), &setup(expert, settings), options))
}

/// The expert `moody`.
fn moody(options: BridgeOptions) -> Option<Bridged> {
    start("moody", &json!({"weight": 2}), options, "pass").map(Result::unwrap)
}

#[test]
fn the_packages_own_tests_pass() {
    let Some(mut python) = python("pass") else { return };
    let tests = here().join("python/tests");
    let output = python.args(["-W", "error", "-m", "unittest", "discover", "-s"]).arg(tests).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let ran = said.split_once("Ran ").and_then(|(_, rest)| rest.split(' ').next()?.parse::<u32>().ok());
    assert!(output.status.success() && ran > Some(10) && said.contains("\nOK"), "{said}");
}

#[test]
fn a_file_says_what_it_has() {
    let Some(python) = python("pass") else { return };
    let (manifest, capabilities) = Bridged::describe(serve(python, &rewards()), &quick()).unwrap();
    assert_eq!((&*manifest.name, &*manifest.version, capabilities), ("rewards", "1.2", 0));
    let [moody, few, images] = &manifest.experts[..] else { panic!("{manifest:?}") };
    assert_eq!((&*moody.name, &*moody.description), ("moody", "Does what the response says."));
    assert_eq!((&*few.name, few.outputs[0].range), ("too_few", None));
    assert_eq!([moody.judges, few.judges, images.judges], [Judges::Understanding, Judges::Both, Judges::Both]);
    assert_eq!((images.outputs.len(), images.outputs[0].range, images.needs(Need::Image)), (2, Some([0.0, 1.0]), true));
}

#[test]
fn scores_states_and_messages() {
    let Some(mut expert) = moody(quick()) else { return };
    let mut items: Vec<Item<'_>> = ["abstain", "none", "fail", "nan", "seed"].map(says).to_vec();
    items.push(Item { prompt: "日本 🙂\0", params: "{\"n\": 0.1}", candidate: 3, ..Item::default() });
    let scores = expert.score(&items, &Call { seed: u64::MAX, ..Call::default() }).unwrap();
    let fail = |why: &str| State::Fail(why.to_owned());
    let states = [
        State::Abstain("not my thing".to_owned()),
        State::Abstain(String::new()),
        fail("cannot see \"it\"\n"),
        fail("expected a finite `score`, got NaN"),
        State::Value,
        State::Value,
    ];
    assert_eq!(scores.states, states);
    assert_eq!((scores.value(4, 0), scores.value(5, 0)), (Some(4294967295.0), Some(2.0 * (5.0 + 0.1 + 3.0 * 1e-3))));
    assert_eq!(expert.score(&[], &Call::default()).unwrap().states, []);
}

#[test]
fn mistakes_are_told_and_the_reward_lives_on() {
    let Some(mut expert) = moody(quick()) else { return };
    let process = value(&mut expert, "process");
    let cases = [
        ("raise", ErrorKind::Call, &["ValueError: no mood today", "rewards.py\", line", "in _one"][..]),
        ("leave", ErrorKind::Call, &["SystemExit: left"]),
        ("long", ErrorKind::Contract, &["expected 1 numbers for item 0, one for each output, got 2"]),
        ("text", ErrorKind::Contract, &["expected a number, Abstain or Fail for item 0, got str '0.5'"]),
    ];
    for (word, kind, words) in cases {
        let error = score(&mut expert, word).unwrap_err();
        assert_eq!(error.kind(), kind, "{word}: {error}");
        assert!(words.iter().all(|w| error.to_string().contains(w)), "{word}: {error}");
        assert!(!error.to_string().contains("serve.py"), "{word}: {error}");
    }
    assert_eq!(value(&mut expert, "print"), 0.5);
    assert_eq!(value(&mut expert, "process"), process);

    let mut few = start("too_few", &json!({}), quick(), "pass").unwrap().unwrap();
    let error = few.score(&[says(""), says("")], &Call::default()).unwrap_err();
    assert!(error.to_string().contains("expected 2 scores, one for each item, got 1"), "{error}");
    assert_eq!(value(&mut few, ""), 1.0);
}

#[test]
fn ends_hangs_and_hogs_cost_a_call() {
    let Some(mut expert) = moody(BridgeOptions { grace_s: 2.0, ..quick() }) else { return };
    let cases = [("exit", ErrorKind::Died, "exit status: 7"), ("crash", ErrorKind::Died, "SIGABRT")];
    for (word, kind, words) in cases {
        let error = score(&mut expert, word).unwrap_err();
        assert_eq!((error.kind(), error.to_string().contains(words)), (kind, true), "{word}: {error}");
        value(&mut expert, "fine");
    }
    let (cancel, deadline) = (AtomicBool::new(true), Some(Duration::from_millis(50)));
    let error = expert.score(&[says("hang")], &Call { deadline, ..Call::default() }).unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("killed")), (ErrorKind::Deadline, true), "{error}");
    let process = value(&mut expert, "process");
    let error = expert.score(&[says("wait")], &Call { cancel: Some(&cancel), ..Call::default() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
    let error = expert.score(&[says("wait")], &Call { deadline, ..Call::default() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline, "{error}");
    assert_eq!(value(&mut expert, "process"), process, "it heeded both");

    if cfg!(target_os = "linux") {
        let mut expert = moody(BridgeOptions { memory_mib: Some(256), ..quick() }).unwrap();
        let error = score(&mut expert, "hog").unwrap_err();
        assert!(error.to_string().contains("MemoryError"), "{error}");
        value(&mut expert, "fine");
    }
}

#[test]
fn a_child_without_a_host_ends() {
    for frames in [&[create()][..], &[create(), hang()]] {
        let Some(python) = python("pass") else { return };
        let status = support::ends_alone(serve(python, &rewards()), frames);
        assert_eq!(status.code(), Some(frames.len() as i32 - 1));
    }
    for load in ["well", "hang"] {
        let mut command = serve(python("pass").unwrap(), &rewards());
        command.env("MOODY_LOAD", load).process_group(0);
        assert_eq!(support::ends_alone(command, &[]).signal(), Some(9), "{load}");
    }
}

#[test]
fn files_that_cannot_be_served_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
        ("x = (", "SyntaxError"),
        ("x = 1", "expected a function or class decorated with @reward, or a function with"),
        ("from counterpoint_reward import reward\n@reward(range=(2, 1))\ndef f(batch): pass", "in order"),
    ];
    for (text, words) in cases {
        let Some(python) = python("pass") else { return };
        let file = folder.path().join("plugin.py");
        std::fs::write(&file, text).unwrap();
        let error = Bridged::start(serve(python, &file), &setup("f", &json!({})), quick()).unwrap_err();
        assert_eq!((error.kind(), error.to_string().contains(words)), (ErrorKind::Load, true), "{text}: {error}");
    }
    let error = start("nobody", &json!({}), quick(), "pass").unwrap().unwrap_err();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("moody, too_few, images"), "{error}");
    let error = start("images", &json!({"refuse": true}), quick(), "pass").unwrap().unwrap_err();
    assert!(error.kind() == ErrorKind::Create && error.to_string().contains("refused, as asked"), "{error}");
}

#[test]
fn images_are_numpy_arrays() {
    let Some(expert) = start("images", &json!({}), quick(), "import numpy") else { return };
    let mut expert = expert.unwrap();
    let bytes: Vec<u8> = (0..600u32).map(|i| (i * 7919 % 251) as u8).collect();
    let floats: Vec<f32> = (0..600u32).map(|i| (i % 64) as f32 / 64.0).collect();
    let gaps = Image::with_strides(4, 5, Pixels::U8(&bytes), 20, 4).unwrap();
    let small = Image::new(1, 1, Pixels::U8(&bytes[..3])).unwrap();
    let float = Image::new(10, 20, Pixels::F32(&floats)).unwrap();
    let items = [
        Item { image: Some(gaps), references: vec![small, float], ..Item::default() },
        Item { image: Some(float), ..Item::default() },
    ];
    let scores = expert.score(&items, &Call::default()).unwrap();
    let packed: Vec<f64> = (0..5)
        .flat_map(|y| (0..4).flat_map(move |x| (0..3).map(move |c| 20 * y + 4 * x + c)))
        .map(|i| f64::from(bytes[i]))
        .collect();
    let weighted = |samples: &[f64]| samples.iter().zip(1..).map(|(s, i)| s * f64::from(i)).sum::<f64>();
    let wide: Vec<f64> = floats.iter().map(|s| f64::from(*s)).collect();
    let sum = |samples: &[f64]| samples.iter().sum::<f64>();
    let small = sum(&[bytes[0], bytes[1], bytes[2]].map(f64::from));
    assert_eq!(scores.value(0, 1), Some(sum(&packed) + small + sum(&wide) + weighted(&packed)));
    assert_eq!(scores.value(1, 1), Some(sum(&wide) + weighted(&wide)));
    assert_eq!(scores.value(1, 0), Some(sum(&wide) / 600.0));
    assert!((scores.value(0, 0).unwrap() - sum(&packed) / 60.0 / 255.0).abs() < 1e-15);
}
