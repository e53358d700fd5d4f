//! Runs the validator.
#![allow(clippy::unwrap_used, dead_code)]

use std::ffi::OsStr;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::Value;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_counterpoint-validator");

pub fn run<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

/// The findings of the validator, and whether it was content.
pub fn findings<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> (Vec<Value>, bool) {
    let output = Command::new(PROGRAM).arg("--json").args(arguments).output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    (report["findings"].as_array().unwrap().clone(), output.status.success())
}

/// Those that failed.
pub fn failed(findings: &[Value]) -> Vec<&Value> {
    findings.iter().filter(|f| f["verdict"] == "fail").collect()
}

/// Does `work` with each of `all`, a few at a time, as some of them sleep.
///
/// # Panics
/// With everything that was wrong.
pub fn each<T: Sync>(all: &[T], work: impl Fn(&T) -> Result<(), String> + Sync) {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    work(one).unwrap_or_else(|how| wrong.lock().unwrap().push(how));
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
