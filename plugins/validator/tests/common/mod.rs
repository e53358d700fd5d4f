//! Runs the validator.
#![allow(clippy::unwrap_used, dead_code)]

use std::ffi::OsStr;
use std::process::{Command, Output};

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
