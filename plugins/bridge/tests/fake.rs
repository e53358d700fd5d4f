//! Children that break the protocol are killed, and nothing is invented.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use counterpoint_bridge::frame::{HEADER_LIMIT, encode};
use counterpoint_bridge::{BridgeOptions, Bridged};
use counterpoint_host::{Call, ErrorKind, Expert, Image, Item, Pixels, Result, Scores};
use serde_json::{Value, json};
use support::{quick, says, setup};
use tempfile::NamedTempFile;

/// A program that says `bytes`, whatever it is told, and then runs `then`.
struct Fake {
    said: NamedTempFile,
    then: String,
}

const LISTENS: &str = "cat > /dev/null";
const DEAF: &str = "exec sleep 1000";

impl Fake {
    fn new(bytes: &[u8], then: &str) -> Self {
        let mut said = NamedTempFile::new().unwrap();
        said.write_all(bytes).unwrap();
        Self { said, then: then.to_owned() }
    }

    fn start(&self, options: BridgeOptions) -> Result<Bridged> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("cat \"$0\"; {}", self.then)).arg(self.said.path());
        Bridged::start(command, &setup("fake", &json!({})), options)
    }
}

fn frame(header: &Value, body: &[u8]) -> Vec<u8> {
    [encode(header, body.len() as u64).unwrap(), body.to_vec()].concat()
}

fn hello() -> Value {
    json!({
        "kind": "hello",
        "protocol": {"major": 1, "minor": 0},
        "program": "fake",
        "capabilities": 0,
        "manifest": {"abi": {"major": 1, "minor": 0}, "name": "fake", "version": "1",
            "experts": [{"name": "fake", "outputs": [{"name": "score"}]}]},
    })
}

/// A good start, and then `more`.
fn started(more: &[u8]) -> Vec<u8> {
    [frame(&hello(), &[]), frame(&json!({"kind": "created"}), &[]), more.to_vec()].concat()
}

fn scores(id: u64, states: usize, values: &Value, body: &[u8]) -> Vec<u8> {
    frame(&json!({"kind": "scores", "id": id, "states": vec!["value"; states], "values": values}), body)
}

fn two() -> Value {
    json!({"dtype": "f64", "shape": [2, 1], "offset": 0})
}

fn halves() -> Vec<u8> {
    [0.5f64.to_le_bytes(), 0.25f64.to_le_bytes()].concat()
}

/// Scores two items, once.
fn call(expert: &mut Bridged) -> Result<Scores> {
    expert.score(&[says("a"), says("b")], &Call::default())
}

/// The same in a short time.
fn hurried_call(expert: &mut Bridged) -> Result<Scores> {
    let deadline = Some(Duration::from_millis(300));
    expert.score(&[says("a"), says("b")], &Call { deadline, ..Call::default() })
}

#[test]
fn later_minor_versions_are_understood() {
    let mut newer = hello();
    newer["protocol"] = json!({"major": 1, "minor": 9, "patch": 1});
    newer["colour"] = json!("green");
    let answer = json!({"kind": "scores", "id": 1, "states": ["value", {"abstain": "x"}], "values": two(), "time": 3});
    let said =
        [frame(&newer, &[]), frame(&json!({"kind": "created", "x": 1}), &[]), frame(&answer, &halves())].concat();
    let mut expert = Fake::new(&said, LISTENS).start(quick()).unwrap();
    let scores = call(&mut expert).unwrap();
    assert_eq!((scores.value(0, 0), scores.value(1, 0)), (Some(0.5), None));
}

#[test]
fn bad_starts_are_told_apart() {
    let mut other = hello();
    other["protocol"]["major"] = json!(2);
    let mut nothing = hello();
    nothing["manifest"]["experts"] = json!([]);
    let refused = json!({"kind": "error", "id": null, "error": "load", "message": "no such file"});
    let cases: &[(&[u8], &str, ErrorKind, &str)] = &[
        (b"Hello, I am a program that prints\n", LISTENS, ErrorKind::Contract, "Hello, I am"),
        (&frame(&other, &[]), LISTENS, ErrorKind::Version, "expected version 1.1 of the bridge's protocol, got 2.0"),
        (&frame(&nothing, &[]), LISTENS, ErrorKind::Manifest, "1 or more"),
        (&frame(&refused, &[]), LISTENS, ErrorKind::Load, "no such file"),
        (&frame(&json!({"kind": "created"}), &[]), LISTENS, ErrorKind::Contract, "expected `hello`"),
        (&frame(&hello(), &[]), LISTENS, ErrorKind::Deadline, "starting"),
        (b"", DEAF, ErrorKind::Deadline, "starting"),
        (b"", "echo why >&2; exit 3", ErrorKind::Died, "why"),
        (b"", "kill -9 $$", ErrorKind::Died, "SIGKILL"),
        (&frame(&hello(), &[])[..40], "exit 0", ErrorKind::Died, "before the end of a frame"),
        (&frame(&hello(), b"more"), LISTENS, ErrorKind::Contract, "body of at most 0 bytes, got 4"),
    ];
    for (bytes, then, kind, words) in cases {
        let start = Instant::now();
        let startup_timeout_s = if *kind == ErrorKind::Deadline { 0.3 } else { 20.0 };
        let error = Fake::new(bytes, then).start(BridgeOptions { startup_timeout_s, ..quick() }).unwrap_err();
        assert_eq!((error.kind(), error.to_string().contains(words)), (*kind, true), "{words}: {error}");
        assert!(start.elapsed() < Duration::from_secs(10), "{words}: {:?}", start.elapsed());
    }
    let missing = Bridged::start(Command::new("/no/such/program"), &setup("a", &json!({})), quick()).unwrap_err();
    assert_eq!((missing.kind(), missing.to_string().contains("/no/such/program")), (ErrorKind::Config, true));
}

#[test]
fn bad_answers_are_refused_and_their_process_killed() {
    let error = |id| frame(&json!({"kind": "error", "id": id, "error": "call", "message": "m"}), &[]);
    let long = [&b"CPTF"[..], &(HEADER_LIMIT as u32 + 1).to_le_bytes(), &[0; 8]].concat();
    let cases = [
        ("of call 7", scores(7, 2, &two(), &halves())),
        ("of call 7", error(json!(7))),
        ("got `error`", error(json!(null))),
        ("expected 2 items' states in an answer, got 3", scores(1, 3, &two(), &halves())),
        ("shape [2, 1]", scores(1, 2, &json!({"dtype": "f64", "shape": [1, 2], "offset": 0}), &halves())),
        ("shape [2, 1]", scores(1, 2, &json!({"dtype": "f32", "shape": [2, 1], "offset": 0}), &halves()[..8])),
        ("within a body of 8 bytes", scores(1, 2, &two(), &halves()[..8])),
        ("within a body of 16 bytes", scores(1, 2, &json!({"dtype": "f64", "shape": [2, 1], "offset": 4}), &halves())),
        ("within a body", scores(1, 2, &json!({"dtype": "f64", "shape": [2, 1], "offset": u64::MAX - 7}), &halves())),
        ("at most 16 bytes, got 24", scores(1, 2, &two(), &[0; 24])),
        ("got `created`", frame(&json!({"kind": "created"}), &[])),
        ("unknown variant `score`", frame(&json!({"kind": "score", "id": 1}), &[])),
        ("missing field `states`", frame(&json!({"kind": "scores", "id": 1, "values": two()}), &halves())),
        ("unknown variant `meh`", frame(&json!({"kind": "scores", "id": 1, "states": ["meh"], "values": two()}), &[])),
        ("only frames may be written", b"a line that was printed\n".to_vec()),
        ("header of at most", long),
    ];
    for (words, answer) in cases {
        let fake = Fake::new(&started(&answer), LISTENS);
        let mut expert = fake.start(quick()).unwrap();
        let error = call(&mut expert).unwrap_err();
        let text = format!("{error:#}");
        assert_eq!((error.kind(), text.contains(words)), (ErrorKind::Contract, true), "{words}: {text}");
        // The next one is another process with the same answer.
        let error = call(&mut expert).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Contract, "{words}, again: {error}");
        let statistics = expert.statistics();
        assert_eq!((statistics.values, statistics.breaches, statistics.replaced), (0, 2, 1), "{words}");
    }
}

#[test]
fn an_error_before_there_is_an_instance_is_no_failed_call() {
    for name in ["call", "panic", "cancelled", "of a later version"] {
        let refused = frame(&json!({"kind": "error", "id": null, "error": name, "message": "not today"}), &[]);
        for said in [refused.clone(), [frame(&hello(), &[]), refused].concat()] {
            let error = Fake::new(&said, LISTENS).start(quick()).unwrap_err();
            assert_eq!((error.kind(), error.to_string().contains("not today")), (ErrorKind::Create, true), "{error}");
        }
    }
}

#[test]
fn an_answer_to_half_a_request_is_none() {
    let pixels = vec![0; 3 * 2000 * 2000];
    let image = Image::new(2000, 2000, Pixels::U8(&pixels)).unwrap();
    let items = [Item { image: Some(image), ..Item::default() }, says("b")];
    let failed = frame(&json!({"kind": "error", "id": 1, "error": "call", "message": "m"}), &[]);
    for answer in [scores(1, 2, &two(), &halves()), failed] {
        let fake = Fake::new(&started(&answer), DEAF);
        let mut expert = fake.start(quick()).unwrap();
        let error = expert.score(&items, &Call::default()).unwrap_err();
        assert!(error.kind() == ErrorKind::Contract && error.to_string().contains("the whole request"), "{error}");
        // The next one is another process with the same answer.
        assert_eq!(call(&mut expert).unwrap_err().kind(), ErrorKind::Contract);
        assert_eq!(expert.statistics().replaced, 1);
    }
}

#[test]
fn half_an_answer_is_none() {
    let answer = scores(1, 2, &two(), &halves());
    for end in [3, 20, answer.len() - 1] {
        let said = started(&answer[..end]);
        let mut expert = Fake::new(&said, LISTENS).start(BridgeOptions { grace_s: 0.1, ..quick() }).unwrap();
        let error = hurried_call(&mut expert).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Deadline, "{error}");
        // It ends after it was told to start: one that is gone before has answered what it did not read.
        let mut expert = Fake::new(&said, "head -c 1 > /dev/null; exit 4").start(quick()).unwrap();
        let error = call(&mut expert).unwrap_err();
        assert_eq!((error.kind(), error.to_string().contains("exit status: 4")), (ErrorKind::Died, true), "{error}");
    }
}

#[test]
fn an_answer_and_then_the_end_is_an_answer() {
    // It ends within the second frame that it gets.
    let then = "head -c 200 > /dev/null; exit 0";
    let mut expert = Fake::new(&started(&scores(1, 2, &two(), &halves())), then).start(quick()).unwrap();
    assert_eq!(call(&mut expert).unwrap().values, [0.5, 0.25]);
}

#[test]
fn a_process_that_does_not_read_is_killed_in_the_middle_of_a_frame() {
    let mut expert = Fake::new(&started(&[]), DEAF).start(quick()).unwrap();
    let pixels = vec![0; 3 * 2000 * 2000];
    let item = Item { image: Some(Image::new(2000, 2000, Pixels::U8(&pixels)).unwrap()), ..Item::default() };
    let deadline = Some(Duration::from_millis(200));
    let start = Instant::now();
    let error = expert.score(&[item], &Call { deadline, ..Call::default() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline, "{error}");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[test]
fn endless_talk_does_not_hold_up_the_deadline() {
    let log = frame(&json!({"kind": "log", "level": "info", "message": "blah"}), &[]);
    // More than can be taken in the time, without a pause.
    let talk = Fake::new(&log.repeat(100_000), "");
    let path = format!("{} ", talk.said.path().display());
    let then = format!("exec cat {}", path.repeat(100));
    let mut expert = Fake::new(&started(&[]), &then).start(quick()).unwrap();
    let start = Instant::now();
    let error = hurried_call(&mut expert).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Deadline, "{error}");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
}

#[test]
#[cfg(target_os = "linux")]
fn processes_that_a_child_started_end_with_it_and_hold_nothing_up() {
    let note = NamedTempFile::new().unwrap();
    let started_another = |then: &str| {
        let note = note.path().display();
        Fake::new(&started(&[]), &format!("sleep 1000 & echo $! > {note}; {then}")).start(quick()).unwrap()
    };
    let is_running = || {
        let pid = std::fs::read_to_string(note.path()).unwrap();
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
        // A zombie waits for whoever inherited it.
        !pid.trim().is_empty() && !stat.is_empty() && !stat.contains(") Z ")
    };
    let wait_until = |running: bool| {
        let start = Instant::now();
        while is_running() != running {
            assert!(start.elapsed() < Duration::from_secs(5), "expected {running}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let expert = started_another(LISTENS);
    wait_until(true);
    drop(expert);
    wait_until(false);
    // This one holds the pipes open, and there is no end to read.
    let mut expert = started_another("exit 5");
    let start = Instant::now();
    let error = expert.score(&[says("a")], &Call::default()).unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("exit status: 5")), (ErrorKind::Died, true), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
    wait_until(false);
}
