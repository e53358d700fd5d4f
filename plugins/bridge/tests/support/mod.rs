//! What the tests share: a plugin in C that does what it is told, and the program that runs it in a child.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::channel;
use std::time::Duration;

use counterpoint_bad_plugins::build_file;
use counterpoint_bridge::frame::encode;
use counterpoint_bridge::{BridgeOptions, Bridged};
use counterpoint_host::{Call, Expert, Item, Result, Runner, Scores, Sealed, Setup};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;

/// `tests/plugins/moody.c` as a shared library.
pub fn moody() -> &'static Path {
    static LIBRARY: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/plugins/moody.c");
        let library = build_file("moody", &source, &["-std=gnu11"], folder.path());
        (folder, library)
    });
    &LIBRARY.1
}

/// The same, read.
pub fn sealed() -> Sealed {
    Sealed::of(moody()).unwrap()
}

pub fn runner() -> Runner {
    Runner::at(env!("CARGO_BIN_EXE_counterpoint-plugin-child"))
}

/// Options that make a test quick.
pub fn quick() -> BridgeOptions {
    BridgeOptions {
        grace_s: 1.0,
        backoff_s: 0.01,
        startup_timeout_s: 20.0,
        runner: Some(runner()),
        ..BridgeOptions::default()
    }
}

pub fn setup<'a>(expert: &'a str, settings: &'a Value) -> Setup<'a> {
    Setup { expert, settings, base: Path::new(".") }
}

/// The expert `moody` in a child.
pub fn bridged(options: BridgeOptions) -> Bridged {
    Bridged::of_library(&runner(), sealed(), &setup("moody", &json!({})), options).unwrap()
}

/// An item that only has a response.
pub fn says(response: &str) -> Item<'_> {
    Item { response, ..Item::default() }
}

pub fn score(expert: &mut dyn Expert, response: &str) -> Result<Scores> {
    expert.score(&[says(response)], &Call::default())
}

/// The one value of an item.
pub fn value(expert: &mut dyn Expert, response: &str) -> f64 {
    let scores = score(expert, response).unwrap();
    scores.value(0, 0).unwrap_or_else(|| panic!("{scores:?}"))
}

/// The frame that makes the expert `moody`.
pub fn create() -> Value {
    json!({"kind": "create", "expert": "moody", "settings": {}, "base": ".", "body_limit": 0})
}

/// The frame of a call that hangs.
pub fn hang() -> Value {
    let item = json!({"prompt": "", "response": "hang", "class_name": "", "params": "", "candidate": 0,
        "image": null, "references": []});
    json!({"kind": "score", "id": 1, "seed": 0, "deadline_ns": null, "items": [item]})
}

/// How `command` ends when its host is gone after `frames`. What it started has its standard error, and has to end too.
pub fn ends_alone(mut command: Command, frames: &[Value]) -> ExitStatus {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut host = child.stdin.take().unwrap();
    for frame in frames {
        host.write_all(&encode(frame, 0).unwrap()).unwrap();
    }
    let (ended, end) = channel();
    let mut stderr = child.stderr.take().unwrap();
    std::thread::spawn(move || ended.send(stderr.read_to_end(&mut Vec::new())));
    // It has time to load the plugin.
    std::thread::sleep(Duration::from_millis(200));
    drop(host);
    if end.recv_timeout(Duration::from_secs(20)).is_err() {
        let _not_a_leader = kill_process_group(Pid::from_child(&child), Signal::KILL);
        child.kill().unwrap();
        panic!("it lives on without a host");
    }
    child.wait().unwrap()
}

/// Whether a process of this number is there.
#[cfg(target_os = "linux")]
pub fn is_alive(pid: f64) -> bool {
    Path::new(&format!("/proc/{}", pid as u64)).exists()
}
