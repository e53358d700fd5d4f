//! Plugins that try what they should not: what limits and sandbox stop, and what they do not. Needs `python3`.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stderr)]

mod support;

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use counterpoint_bridge::{BridgeOptions, Bridged, Sandbox};
use counterpoint_host::{Call, ErrorKind, Expert};
use rustix::process::{Pid, test_kill_process_group};
use serde_json::json;
use support::{quick, says, score, setup, value};

/// The expert `hostile`; none where there is no Python.
fn hostile(options: BridgeOptions) -> Option<Bridged> {
    if !Command::new("python3").arg("--version").output().is_ok_and(|output| output.status.success()) {
        eprintln!("not run: there is no python3");
        return None;
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new("python3");
    command.args(["-B", "-m", "counterpoint_reward"]).arg(here.join("tests/plugins/hostile.py"));
    command.current_dir(here.join("tests/plugins")).env("PYTHONPATH", here.join("python"));
    Some(Bridged::start(command, &setup("hostile", &json!({})), options).unwrap())
}

/// What a call of this response was refused with.
fn refused(expert: &mut dyn Expert, response: &str) -> String {
    match score(expert, response) {
        Err(error) => format!("{error:#}"),
        Ok(scores) => panic!("{response}: expected an error, got {scores:?}"),
    }
}

#[test]
fn tokens_of_the_environment_are_not_passed_on() {
    // This process has a variable that no child is given, whatever the machine: cargo sets it.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let Some(mut expert) = hostile(quick()) else { return };
    assert_eq!(value(&mut expert, "token"), 0.0);
    assert_eq!(value(&mut expert, "given CARGO_MANIFEST_DIR"), 0.0);
    assert_eq!(value(&mut expert, "given PATH"), 1.0);
    assert_eq!(value(&mut expert, "given PYTHONPATH"), 1.0, "set by the command itself");
    let asked = BridgeOptions { environment: vec!["CARGO_MANIFEST_*".to_owned()], ..quick() };
    assert_eq!(value(&mut hostile(asked).unwrap(), "given CARGO_MANIFEST_DIR"), 1.0);
}

#[test]
fn memory_processor_files_and_disk_are_limited() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    let limits =
        BridgeOptions { memory_mib: Some(256), cpu_s: Some(3), file_mib: Some(4), open_files: Some(32), ..quick() };
    let Some(mut expert) = hostile(limits) else { return };
    assert!(refused(&mut expert, "allocate").contains("MemoryError"));
    assert!(refused(&mut expert, "open").contains("Too many open files"));
    assert!(refused(&mut expert, &format!("fill {}", file.display())).contains("File too large"));
    assert!(fs::metadata(&file).unwrap().len() <= 4 << 20);
    let error = score(&mut expert, "spin").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Died, "{error:#}");
    // It was started again.
    assert_eq!(value(&mut expert, "token"), 0.0);
}

#[test]
fn a_sandbox_has_files_and_no_network_but_what_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let [secret, open, shared] = ["secret", "open", "shared"].map(|name| folder.path().join(name));
    fs::write(&secret, "secret").unwrap();
    fs::write(&open, "open").unwrap();
    fs::create_dir(&shared).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let package = Path::new(env!("CARGO_MANIFEST_DIR")).join("python");
    let sandbox = Sandbox { read: vec![open.clone(), package], write: vec![shared.clone()], network: false };
    let Some(mut expert) = hostile(BridgeOptions { sandbox: Some(sandbox.clone()), ..quick() }) else { return };
    assert_eq!(value(&mut expert, &format!("read {}", open.display())), 4.0);
    assert_eq!(value(&mut expert, &format!("write {}", shared.join("file").display())), 1.0);
    for response in [
        format!("read {}", secret.display()),
        format!("write {}", open.display()),
        format!("write {}", folder.path().join("new").display()),
        format!("connect {port}"),
    ] {
        assert!(refused(&mut expert, &response).contains("PermissionError"), "{response}");
    }
    let online = Sandbox { network: true, ..sandbox };
    assert_eq!(
        value(&mut hostile(BridgeOptions { sandbox: Some(online), ..quick() }).unwrap(), &format!("connect {port}")),
        1.0
    );
    // Without a sandbox it may what this process may.
    let mut free = hostile(quick()).unwrap();
    assert_eq!(value(&mut free, &format!("read {}", secret.display())), 6.0);
}

#[test]
fn what_it_starts_in_its_group_ends_with_it() {
    let Some(mut expert) = hostile(quick()) else { return };
    let scores = expert.score(&[says("fork")], &Call::default()).unwrap();
    let group = Pid::from_raw(scores.value(0, 0).unwrap() as i32).unwrap();
    assert!(test_kill_process_group(group).is_ok());
    drop(expert);
    let begun = Instant::now();
    while test_kill_process_group(group).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(10), "the group lives on");
        sleep(Duration::from_millis(20));
    }
}
