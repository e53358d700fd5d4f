//! What a child writes to its standard error: into the log, and the last lines of it kept for the error when it dies.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::process::ChildStderr;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use counterpoint_host::{Error, ErrorKind, Result};

/// Lines that are kept.
const LINES: usize = 20;
/// Longer lines are split.
const LINE: u64 = 4096;

/// The last lines of a child's standard error.
#[derive(Debug)]
pub struct Stderr {
    lines: Arc<Mutex<VecDeque<String>>>,
    /// Disconnected when the stream has ended.
    end: Receiver<()>,
}

impl Stderr {
    /// Reads `stream` in a thread of its own until it ends.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when there can be no further thread.
    pub fn follow(stream: ChildStderr, expert: &str) -> Result<Self> {
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let (alive, end) = channel();
        let (kept, expert) = (Arc::clone(&lines), expert.to_owned());
        std::thread::Builder::new()
            .name("counterpoint-stderr".to_owned())
            .spawn(move || {
                let _alive = alive;
                let mut stream = BufReader::new(stream);
                let mut line = Vec::new();
                while (&mut stream).take(LINE).read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                    let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                    line.clear();
                    tracing::info!(target: "counterpoint::plugin", expert, "{text}");
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    if kept.len() == LINES {
                        kept.pop_front();
                    }
                    kept.push_back(text);
                }
            })
            .map_err(|e| Error::new(ErrorKind::Io, "cannot start a thread").with_source(e))?;
        Ok(Self { lines, end })
    }

    /// The last lines, as the end of a sentence; empty when there are none. Waits a little for the stream's end, which comes
    /// when the process and those it started are gone.
    pub fn last(&self) -> String {
        let _ended = self.end.recv_timeout(Duration::from_millis(200));
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.is_empty() {
            return String::new();
        }
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        format!("; its last words on standard error:\n{}", lines.join("\n"))
    }
}
