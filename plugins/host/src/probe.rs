//! The first look at a plugin, in a child process: what dies there does not die here.

use std::io::{BufRead, BufReader, Read, Take};
use std::path::Path;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::{Error, ErrorKind, Library, Manifest, Result, Runner, Sealed, contain};

/// The work of a child that looks at a plugin: `probe PATH [DESCRIPTOR]`.
pub const PROBE: &str = "probe";
/// Most bytes of a child's answer, or of its complaints, that are read.
const ANSWER_LIMIT: u64 = 4 << 20;
/// Longest wait for what a child said that has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What a child found: one line of JSON on its standard output.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probed {
    /// `CPT_CAP_*` bits.
    pub capabilities: u64,
    /// What the plugin says of itself.
    pub manifest: Manifest,
}

/// What this process finds when it loads the plugin at `path`, which it may have under `descriptor`: the child's side of [`probe`].
///
/// # Errors
/// As [`Library::inherited`].
pub fn look(path: &Path, descriptor: Option<i32>) -> Result<Probed> {
    let library = Library::inherited(path, descriptor)?;
    Ok(Probed { capabilities: library.capabilities(), manifest: library.manifest().clone() })
}

/// Loads `plugin` in a child process that `runner` starts.
///
/// # Errors
/// [`ErrorKind::Probe`] with the child's own words when it refuses the plugin, dies, takes longer than `timeout` or answers with
/// something else.
pub fn probe(runner: &Runner, plugin: &Sealed, timeout: Duration) -> Result<Probed> {
    let bad = |message: String| Error::new(ErrorKind::Probe, format!("{}: {message}", plugin.path().display()));
    let mut command = runner.command_on(PROBE, plugin)?;
    // Its standard input stays open as long as somebody waits for the answer.
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    contain(&mut command, &[]);
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let not_started =
        |e| bad(format!("cannot start {} for a first look at it", runner.program().display())).with_source(e);
    let mut child = Looking(command.spawn().map_err(not_started)?);
    let until = Instant::now() + timeout;
    // The answer is one line; complaints may be several.
    let answer = first_of(child.0.stdout.take(), |pipe, bytes| pipe.read_until(b'\n', bytes));
    let complaints = first_of(child.0.stderr.take(), |pipe, bytes| pipe.read_to_end(bytes));
    while !child.has_exited() {
        if Instant::now() >= until {
            return Err(bad(format!("expected it to load within {timeout:?} in a child process, got no answer")));
        }
        thread::sleep(Duration::from_millis(2));
    }
    let status = child.end().map_err(|e| bad("cannot wait for a child process".to_owned()).with_source(e))?;
    // A process that the plugin started may have left the group and hold the pipes open: nobody waits for that.
    if !status.success() {
        let said = complaints.recv_timeout(LAST_WORDS).unwrap_or_default();
        return Err(bad(format!(
            "loading it in a child process {}: {}",
            ended(status),
            String::from_utf8_lossy(&said).trim()
        )));
    }
    let answer = answer.recv_timeout(LAST_WORDS).unwrap_or_default();
    serde_json::from_slice(&answer)
        .map_err(|e| bad("expected a child's answer, got something else".to_owned()).with_source(e))
}

/// A child that is ended, with what it started, when nobody looks any more.
struct Looking(Child);

impl Looking {
    /// Whether it is gone. On Unix it stays a zombie, so that its number belongs to nobody else.
    fn has_exited(&mut self) -> bool {
        #[cfg(unix)]
        {
            use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
            let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
            !matches!(waitid(WaitId::Pid(Pid::from_child(&self.0)), options), Ok(None))
        }
        #[cfg(not(unix))]
        !matches!(self.0.try_wait(), Ok(None))
    }

    /// Kills what is left of it and its group, and waits for it.
    fn end(&mut self) -> std::io::Result<ExitStatus> {
        #[cfg(unix)]
        {
            use rustix::process::{Pid, Signal, kill_process_group};
            let _gone = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        }
        let _gone = self.0.kill();
        self.0.wait()
    }
}

impl Drop for Looking {
    fn drop(&mut self) {
        // Once it was waited for, its number may be another's.
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            let _gone = self.end();
        }
    }
}

/// What `read` takes of a pipe, on a thread, so that the child never waits for a full one.
fn first_of<P: Read + Send + 'static>(
    pipe: Option<P>,
    read: fn(&mut BufReader<Take<P>>, &mut Vec<u8>) -> std::io::Result<usize>,
) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(pipe) = pipe {
            let _what_came = read(&mut BufReader::new(pipe.take(ANSWER_LIMIT)), &mut bytes);
        }
        let _unwanted = sender.send(bytes);
    });
    receiver
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
