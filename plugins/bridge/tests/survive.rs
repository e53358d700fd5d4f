//! A plugin that breaks costs a call.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use counterpoint_bridge::{BridgeOptions, Bridged};
use counterpoint_host::{Call, ErrorKind, Expert, Result, Scores, Sealed};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use serde_json::json;
use support::{bridged, create, hang, moody, quick, runner, says, score, sealed, setup, value};

fn within(expert: &mut Bridged, response: &str, deadline: Duration) -> Result<Scores> {
    expert.score(&[says(response)], &Call { deadline: Some(deadline), ..Call::default() })
}

#[test]
fn a_process_that_ends_costs_one_call() {
    let mut expert = bridged(quick());
    let cases =
        [("exit", "exit status: 7"), ("abort", "SIGABRT"), ("crash", "SIGSEGV"), ("loud crash", "about to crash")];
    for (i, (word, sign)) in cases.into_iter().enumerate() {
        let before = value(&mut expert, "process");
        let error = score(&mut expert, word).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Died, "{word}: {error}");
        assert!(error.to_string().contains(sign), "{word}: {error}");
        assert_ne!(value(&mut expert, "process"), before, "{word}");
        let statistics = expert.statistics();
        assert_eq!((statistics.deaths, statistics.replaced), (i as u64 + 1, i as u64 + 1));
    }
}

#[test]
fn a_call_that_hangs_is_killed_at_its_deadline() {
    let mut expert = bridged(BridgeOptions { call_timeout_s: 1.0, grace_s: 0.1, ..quick() });
    let start = Instant::now();
    for result in [score(&mut expert, "hang"), within(&mut expert, "hang", Duration::from_millis(50))] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadline, "{error}");
        assert!(error.to_string().contains("was killed"), "{error}");
    }
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    value(&mut expert, "fine");
    assert_eq!((expert.statistics().deadlines, expert.statistics().replaced), (2, 2));
}

#[test]
fn a_call_that_heeds_its_deadline_keeps_its_process() {
    let mut expert = bridged(quick());
    let process = value(&mut expert, "process");
    let error = within(&mut expert, "wait", Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline, "{error}");
    assert_eq!(value(&mut expert, "process"), process);
}

#[test]
fn a_call_is_cancelled() {
    let mut expert = bridged(quick());
    let process = value(&mut expert, "process");
    for (word, stays) in [("wait", true), ("hang", false)] {
        let cancel = AtomicBool::new(false);
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                cancel.store(true, Ordering::Relaxed);
            });
            expert.score(&[says(word)], &Call { cancel: Some(&cancel), ..Call::default() }).unwrap_err()
        });
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{word}: {error}");
        assert_eq!(value(&mut expert, "process") == process, stays, "{word}");
    }
}

#[test]
fn what_a_plugin_prints_or_reads_is_not_the_bridges() {
    let mut expert = bridged(quick());
    assert_eq!(value(&mut expert, "print"), 0.5, "its standard input is empty");
    assert_eq!(value(&mut expert, "fine"), 0.0);
    assert_eq!(expert.statistics().replaced, 0);
}

#[test]
fn pipes_closed_by_a_plugin_are_noticed() {
    let mut expert = bridged(BridgeOptions { grace_s: 0.1, ..quick() });
    let error = score(&mut expert, "close").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contract, "{error}");
    value(&mut expert, "fine");
}

#[test]
#[cfg(target_os = "linux")]
fn memory_is_limited() {
    let mut expert = bridged(BridgeOptions { memory_mib: Some(256), ..quick() });
    let error = score(&mut expert, "hog").unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("no memory")), (ErrorKind::Call, true), "{error}");
    value(&mut expert, "fine");
    value(&mut bridged(quick()), "hog");
}

#[test]
fn an_expert_is_given_up_after_so_many_ends_in_a_row() {
    let mut expert = bridged(BridgeOptions { restarts: 2, ..quick() });
    // An answered call begins a new row.
    assert_eq!(score(&mut expert, "exit").unwrap_err().kind(), ErrorKind::Died);
    assert_eq!(score(&mut expert, "exit").unwrap_err().kind(), ErrorKind::Died);
    value(&mut expert, "fine");
    for _ in 0..3 {
        let error = score(&mut expert, "exit").unwrap_err();
        assert!(error.to_string().contains("exit status: 7") && !error.to_string().contains("given up"), "{error}");
    }
    for _ in 0..2 {
        let error = score(&mut expert, "fine").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::GivenUp);
        assert!(error.to_string().contains("given up after 3 ends in a row: "), "{error}");
        assert!(error.to_string().contains("exit status: 7"), "{error}");
    }
    let statistics = expert.statistics();
    assert_eq!((statistics.deaths, statistics.failed_calls, statistics.replaced), (5, 7, 4));
}

#[test]
fn pauses_between_restarts_double_and_can_be_cancelled() {
    let mut expert = bridged(BridgeOptions { backoff_s: 0.1, backoff_max_s: 0.3, ..quick() });
    score(&mut expert, "exit").unwrap_err();
    for pause in [0.1, 0.2, 0.3] {
        let start = Instant::now();
        score(&mut expert, "exit").unwrap_err();
        let took = start.elapsed().as_secs_f64();
        assert!(took > pause - 0.02, "expected a pause of {pause} s, got {took}");
    }
    let mut expert = bridged(BridgeOptions { backoff_s: 1000.0, backoff_max_s: 1000.0, ..quick() });
    score(&mut expert, "exit").unwrap_err();
    let cancel = AtomicBool::new(true);
    let error = expert.score(&[says("fine")], &Call { cancel: Some(&cancel), ..Call::default() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
}

#[test]
fn a_start_that_hangs_is_given_up() {
    let options = BridgeOptions { startup_timeout_s: 0.3, ..quick() };
    let start = Instant::now();
    let error = Bridged::of_library(&runner(), sealed(), &setup("moody", &json!({"hang": 1})), options).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline, "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
#[cfg(target_os = "linux")]
fn a_process_that_takes_the_place_of_another_loads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("libmoody.so");
    std::fs::copy(moody(), &library).unwrap();
    let read = Sealed::of(&library).unwrap();
    // Limits of what it may write are not for what it loads.
    let options = BridgeOptions { file_mib: Some(1), ..quick() };
    let mut expert = Bridged::of_library(&runner(), read, &setup("moody", &json!({})), options).unwrap();
    let before = value(&mut expert, "process");
    std::fs::write(&library, "something else").unwrap();
    score(&mut expert, "exit").unwrap_err();
    assert_ne!(value(&mut expert, "process"), before);
    std::fs::remove_file(&library).unwrap();
    score(&mut expert, "exit").unwrap_err();
    value(&mut expert, "process");
}

#[test]
#[cfg(target_os = "linux")]
fn processes_end_with_their_expert() {
    let mut expert = bridged(BridgeOptions { grace_s: 20.0, ..quick() });
    let process = value(&mut expert, "process");
    assert!(support::is_alive(process));
    let start = Instant::now();
    drop(expert);
    assert!(!support::is_alive(process));
    assert!(start.elapsed() < Duration::from_secs(10), "it went when asked: {:?}", start.elapsed());
}

#[test]
fn a_child_without_a_host_ends() {
    let command = |work: &str| {
        let mut command = runner().command(work);
        command.arg(moody());
        command
    };
    assert!(support::ends_alone(command("serve"), &[create()]).success());
    assert_eq!(support::ends_alone(command("serve"), &[create(), hang()]).signal(), Some(9));
    for (work, load) in [("serve", "well"), ("serve", "hang"), ("probe", "hang")] {
        let mut command = command(work);
        command.env("MOODY_LOAD", load).process_group(0);
        assert_eq!(support::ends_alone(command, &[]).signal(), Some(9), "{work}, {load}");
    }
}

#[test]
fn a_first_look_needs_no_pipe_from_its_host() {
    let output = runner().command("probe").arg(moody()).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success() && output.stdout.starts_with(b"{\"capabilities\":"), "{output:?}");
}

/// What threads cannot be had for is that of the process, so this runs in one of its own.
#[test]
fn a_start_that_fails_here_leaves_no_process() {
    let this = "a_start_that_fails_here_leaves_no_process";
    // So large a stack gets no thread.
    let (variable, stack) = ("RUST_MIN_STACK", (1u64 << 60).to_string());
    if std::env::var(variable).as_deref() != Ok(&*stack) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", this, "--test-threads=1", "--nocapture"]).env(variable, stack);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let mut command = Command::new("sleep");
    command.arg("1000");
    let error = Bridged::start(command, &setup("moody", &json!({})), quick()).unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("thread")), (ErrorKind::Io, true), "{error}");
    let left = waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
    assert_eq!(left.unwrap_err(), rustix::io::Errno::CHILD);
}

#[test]
fn settings_out_of_range_are_refused() {
    let d = BridgeOptions::default;
    let cases = [
        ("call_timeout_s", BridgeOptions { call_timeout_s: 0.0, ..d() }),
        ("grace_s", BridgeOptions { grace_s: f64::NAN, ..d() }),
        ("backoff_s", BridgeOptions { backoff_s: f64::INFINITY, ..d() }),
        ("max_frame_mib", BridgeOptions { max_frame_mib: 1 << 60, ..d() }),
        ("memory_mib", BridgeOptions { memory_mib: Some(0), ..d() }),
    ];
    for (name, options) in cases {
        let error = Bridged::of_library(&runner(), sealed(), &setup("moody", &json!({})), options).unwrap_err();
        assert_eq!((error.kind(), error.to_string().contains(name)), (ErrorKind::Config, true), "{error}");
    }
    assert!(serde_json::from_value::<BridgeOptions>(json!({"restarts": 1, "retries": 1})).is_err());
    assert_eq!(serde_json::from_value::<BridgeOptions>(json!({})).unwrap(), d());
}

#[test]
fn a_call_too_large_for_a_frame_costs_no_process() {
    let mut expert = bridged(BridgeOptions { max_frame_mib: 1, ..quick() });
    let pixels = vec![0; 3 * 700 * 700];
    let image = counterpoint_host::Image::new(700, 700, counterpoint_host::Pixels::U8(&pixels)).unwrap();
    let item = counterpoint_host::Item { image: Some(image), ..Default::default() };
    let error = expert.score(&[item], &Call::default()).unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("max_frame_mib")), (ErrorKind::Config, true), "{error}");
    let long = "x".repeat(17 << 20);
    let error = score(&mut expert, &long).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Call, "{error}");
    value(&mut expert, "fine");
    assert_eq!(expert.statistics().replaced, 0);
}
