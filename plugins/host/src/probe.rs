//! The first look at a plugin, in a child process: what dies there does not die here.

use std::io::Read;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Library, Manifest, Result, Runner};

/// The work of a child that looks at a plugin: `probe PATH`.
pub const PROBE: &str = "probe";
/// Most bytes of a child's answer, or of its complaints, that are read.
const ANSWER_LIMIT: u64 = 4 << 20;

/// What a child found: one line of JSON on its standard output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probed {
    /// `CPT_CAP_*` bits.
    pub capabilities: u64,
    /// What the plugin says of itself.
    pub manifest: Manifest,
}

/// What this process finds when it loads the plugin at `path`: the child's side of [`probe`].
///
/// # Errors
/// As [`Library::open`].
pub fn look(path: &Path) -> Result<Probed> {
    let library = Library::open(path)?;
    Ok(Probed { capabilities: library.capabilities(), manifest: library.manifest().clone() })
}

/// Loads the plugin at `path` in a child process that `runner` starts.
///
/// # Errors
/// [`ErrorKind::Probe`] with the child's own words when it refuses the plugin, dies, takes longer than `timeout` or answers with
/// something else.
pub fn probe(runner: &Runner, path: &Path, timeout: Duration) -> Result<Probed> {
    let bad = |message: String| Error::new(ErrorKind::Probe, format!("{}: {message}", path.display()));
    let mut command = runner.command(PROBE);
    command.arg(path).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let not_started =
        |e| bad(format!("cannot start {} for a first look at it", runner.program().display())).with_source(e);
    let mut child = command.spawn().map_err(not_started)?;
    let (output, complaints) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let started = Instant::now();
    let status = loop {
        match child.try_wait().map_err(|e| bad("cannot wait for a child process".to_owned()).with_source(e))? {
            Some(status) => break status,
            None if started.elapsed() < timeout => thread::sleep(Duration::from_millis(2)),
            None => {
                let _ = child.kill();
                let _ = child.wait();
                return Err(bad(format!("expected it to load within {timeout:?} in a child process, got no answer")));
            }
        }
    };
    if !status.success() {
        let said = complaints.join().unwrap_or_default();
        return Err(bad(format!(
            "loading it in a child process {}: {}",
            ended(status),
            String::from_utf8_lossy(&said).trim()
        )));
    }
    let answer = output.join().unwrap_or_default();
    serde_json::from_slice(&answer)
        .map_err(|e| bad("expected a child's answer, got something else".to_owned()).with_source(e))
}

/// Reads to the end on a thread, so that the child never waits for a full pipe.
fn reader(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            let _ = pipe.take(ANSWER_LIMIT).read_to_end(&mut bytes);
        }
        bytes
    })
}

/// How a process ended, as the end of a sentence.
pub fn ended(status: ExitStatus) -> String {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return format!("died of signal {signal}");
    }
    match status.code() {
        Some(code) => format!("ended with exit status {code}"),
        None => "ended without an exit status".to_owned(),
    }
}
