//! The parent's side: starts a child for each check and says how it ended.

use std::fs::File;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use counterpoint_host::{Manifest, contain};

use crate::child::CHILD;
use crate::progress::Line;
use crate::{Job, Verdict};

/// Most bytes of a child's standard output or error that are shown.
const SHOWN: usize = 300;

/// What came of a check.
#[derive(Debug)]
pub(crate) struct Ended {
    pub verdict: Verdict,
    pub time: Duration,
    /// What the plugin says of itself, after a check that asks.
    pub manifest: Option<Manifest>,
}

impl Ended {
    /// A check that is not made because of `reason`.
    pub fn skipped(reason: &str) -> Self {
        Self { verdict: Verdict::Skipped(reason.into()), time: Duration::ZERO, manifest: None }
    }
}

/// Makes a check in a child process.
pub(crate) fn run(job: &Job) -> Ended {
    let begin = Instant::now();
    let (verdict, manifest) = match try_run(job) {
        Ok(ended) => ended,
        Err(error) => (Verdict::Fail(format!("the validator cannot start a child process: {error}")), None),
    };
    Ended { verdict, time: begin.elapsed(), manifest }
}

fn try_run(job: &Job) -> io::Result<(Verdict, Option<Manifest>)> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let job = Job { answer: path("answer"), ..job.clone() };
    File::create(&job.answer)?;
    let mut command = Command::new(std::env::current_exe()?);
    contain(&mut command, &[]);
    let mut child = command
        .args([CHILD, &serde_json::to_string(&job)?])
        .stdin(Stdio::null())
        .stdout(File::create(path("stdout"))?)
        .stderr(File::create(path("stderr"))?)
        .spawn()?;
    let ended = wait(&mut child, Duration::from_secs_f64(job.timeout))?;

    let (mut step, mut manifest, mut verdict) = ("before the check".to_owned(), None, None);
    for line in String::from_utf8_lossy(&std::fs::read(&job.answer)?).lines() {
        match serde_json::from_str(line) {
            Ok(Line::Step(what)) => step = what,
            Ok(Line::Manifest(said)) => manifest = Some(said),
            Ok(Line::Verdict(said)) => {
                step = "at its exit, after the check".into();
                verdict = Some(said);
            }
            Err(_) => return Ok((Verdict::Fail(format!("wrote into the validator's own file: {line:?}")), None)),
        }
    }
    let during = |how: String| Verdict::Fail(format!("{how} {step}{}", said(&path("stderr"))));
    let verdict = match (ended, verdict) {
        (None, _) => during(format!("took longer than {} s (see --timeout)", job.timeout)),
        // A verdict of failure is more than how the process ended after it.
        (Some(_), Some(Verdict::Fail(reason))) => Verdict::Fail(reason),
        (Some(status), Some(verdict)) if status.success() => verdict,
        (Some(status), _) => during(describe(status)),
    };
    if job.check == "stdout" && matches!(verdict, Verdict::Pass(_)) && path("stdout").metadata()?.len() > 0 {
        let printed = shown(&path("stdout"));
        return Ok((Verdict::Fail(format!("expected nothing on standard output, got {printed:?}")), None));
    }
    Ok((verdict, manifest))
}

/// Waits for the end; kills the child when it takes longer than `limit`.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begin.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        sleep(Duration::from_millis(2));
    }
}

/// How a process ended, in words.
fn describe(status: ExitStatus) -> String {
    if let Some(signal) = status.signal() {
        let name = match signal {
            libc::SIGABRT => "SIGABRT",
            libc::SIGBUS => "SIGBUS",
            libc::SIGFPE => "SIGFPE",
            libc::SIGILL => "SIGILL",
            libc::SIGKILL => "SIGKILL",
            libc::SIGSEGV => "SIGSEGV",
            libc::SIGTERM => "SIGTERM",
            libc::SIGTRAP => "SIGTRAP",
            _ => return format!("died by signal {signal}"),
        };
        return format!("died by {name}");
    }
    status.code().map_or("ended".into(), |code| format!("exited with {code}"))
}

/// The last words on standard error, as the end of a sentence.
fn said(path: &Path) -> String {
    let text = shown(path);
    if text.is_empty() { text } else { format!("; on standard error: {text:?}") }
}

/// The end of a file.
fn shown(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_default();
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(SHOWN)..]).trim().to_owned()
}
