//! A child process and the conversation with it: one thread, pipes that do not block, a deadline for everything.

use std::io::{ErrorKind as Cause, IoSlice, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use counterpoint_host::{Error, ErrorKind, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use crate::BridgeOptions;
use crate::forward;
use crate::frame::{Body, Decoder, Step, encode};
use crate::message::{FromChild, ToChild, parse};
use crate::stderr::Stderr;

/// Longest wait until the process is looked at again: it may be gone while another holds its pipes open.
const LOOK: Duration = Duration::from_millis(100);
/// The same while a call can be cancelled.
const LOOK_CANCEL: Duration = Duration::from_millis(5);
/// Slices of one write, the least that systems allow at most.
const SLICES: usize = 1024;

/// A running child.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pid: Pid,
    /// None when the child closed its end.
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    stderr: Stderr,
    decoder: Decoder,
    grace: Duration,
    expert: String,
    /// Whether the process is gone and was waited for.
    ended: bool,
}

/// How long a conversation may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    pub until: Instant,
    /// Ends it early when it becomes true.
    pub cancel: Option<&'a AtomicBool>,
    /// What to send when time is up or `cancel` is set; the answer may then take the grace time.
    pub last_words: &'a [u8],
    /// Bytes of the largest body that may come.
    pub body_limit: u64,
}

impl Process {
    /// Starts `command` as the leader of its own process group.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when it cannot be started, [`ErrorKind::Io`] when there can be no further thread.
    pub fn start(command: &mut Command, expert: &str, options: &BridgeOptions) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let failed = move |doing: &str, e: std::io::Error| {
            Error::new(ErrorKind::Config, format!("cannot {doing} the plugin's process `{program}`")).with_source(e)
        };
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(|e| failed("start", e))?;
        let pid = Pid::from_child(&child);
        let (Some(stdin), Some(stdout), Some(stderr)) = (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(Error::new(ErrorKind::Io, "expected pipes to the plugin's process, got none"));
        };
        let stderr = Stderr::follow(stderr, expert).inspect_err(|_| {
            let _status = end(&mut child, pid);
        })?;
        let decoder = Decoder::new(0);
        let expert = expert.to_owned();
        let grace = options.grace();
        // From here on, dropping it ends the process.
        let process = Self { child, pid, stdin: Some(stdin), stdout, stderr, decoder, grace, expert, ended: false };
        process.prepare_pipes().map_err(|e| failed("prepare the pipes of", e.into()))?;
        Ok(process)
    }

    fn prepare_pipes(&self) -> rustix::io::Result<()> {
        rustix::io::ioctl_fionbio(&self.stdout, true)?;
        if let Some(stdin) = &self.stdin {
            rustix::io::ioctl_fionbio(stdin, true)?;
            // Large images go in fewer turns; without it they go all the same.
            #[cfg(target_os = "linux")]
            let _size = rustix::pipe::fcntl_setpipe_size(stdin, 1 << 20);
        }
        Ok(())
    }

    /// Writes `pieces` and takes frames until `answer` makes something of one. The second value is why the conversation was to
    /// end early, if it was: [`ErrorKind::Deadline`] or [`ErrorKind::Cancelled`].
    ///
    /// # Errors
    /// Those of `answer` and of a malformed frame; [`ErrorKind::Died`]; [`ErrorKind::Deadline`] and [`ErrorKind::Cancelled`]
    /// without an answer in the grace time. The process is of no use then.
    pub fn converse<T>(
        &mut self,
        pieces: &[&[u8]],
        limits: &Limits<'_>,
        answer: impl FnMut(FromChild, &Body) -> Result<Option<T>>,
    ) -> Result<(T, Option<ErrorKind>)> {
        self.decoder.set_body_limit(limits.body_limit);
        let result = self.try_converse(pieces, limits, answer);
        if result.is_err() {
            self.end();
        }
        result
    }

    fn try_converse<T>(
        &mut self,
        pieces: &[&[u8]],
        limits: &Limits<'_>,
        mut answer: impl FnMut(FromChild, &Body) -> Result<Option<T>>,
    ) -> Result<(T, Option<ErrorKind>)> {
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        slices.push(IoSlice::new(limits.last_words));
        // The last slice is for later.
        let mut kept_back = 1;
        let mut slices = &mut slices[..];
        let (mut until, mut stopped) = (limits.until, None);
        let mut gone = false;
        loop {
            self.write(&mut slices, kept_back)?;
            let pending = match self.decoder.step(&mut self.stdout).map_err(|e| self.malformed(e))? {
                Step::Frame(frame) => {
                    let message = parse(&frame.header).map_err(|e| self.malformed(e))?;
                    if let FromChild::Log { level, message } = &message {
                        forward::emit(&self.expert, level, message);
                    } else if let Some(answer) = answer(message, &frame.body)? {
                        if slices.len() > 1 {
                            // Another frame would come after a part of this one.
                            return Err(self.early());
                        }
                        return Ok((answer, stopped));
                    }
                    false
                }
                Step::End { missing } => return Err(self.died(missing)),
                Step::Pending if gone => return Err(self.died(0)),
                Step::Pending => true,
            };
            let now = Instant::now();
            let cancelled = limits.cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed));
            if stopped.is_none() && (cancelled || now >= until) {
                stopped = Some(if cancelled { ErrorKind::Cancelled } else { ErrorKind::Deadline });
                kept_back = 0;
                until = now + self.grace;
                continue;
            }
            let left = until.saturating_duration_since(now);
            if let Some(stopped) = stopped
                && left.is_zero()
            {
                return Err(self.unanswered(stopped));
            }
            let look = if limits.cancel.is_some() && stopped.is_none() { LOOK_CANCEL } else { LOOK };
            if pending && !self.wait(left.min(look), slices.len() > kept_back)? {
                // One more look at the pipe: it may have answered just before its end.
                gone = self.has_exited();
            }
        }
    }

    /// Writes what the pipe has room for of `slices` but the last `kept_back`. The last words go alone: so short a write to a
    /// pipe is done as a whole or not at all.
    fn write(&mut self, slices: &mut &mut [IoSlice<'_>], kept_back: usize) -> Result<()> {
        let now = if slices.len() == 1 { 1 - kept_back } else { slices.len().saturating_sub(1).min(SLICES) };
        let Some(stdin) = self.stdin.as_mut().filter(|_| now > 0) else { return Ok(()) };
        match stdin.write_vectored(&slices[..now]) {
            Ok(n) => IoSlice::advance_slices(slices, n),
            Err(e) if matches!(e.kind(), Cause::WouldBlock | Cause::Interrupted) => {}
            // It may have said why before it closed its end.
            Err(e) if e.kind() == Cause::BrokenPipe => self.stdin = None,
            Err(e) => return Err(Error::new(ErrorKind::Io, "cannot write to the plugin's process").with_source(e)),
        }
        Ok(())
    }

    /// Waits until there is something to read or, if asked, room to write. False when time was up first.
    fn wait(&self, time: Duration, to_write: bool) -> Result<bool> {
        let mut fds = vec![PollFd::new(&self.stdout, PollFlags::IN)];
        if let Some(stdin) = self.stdin.as_ref().filter(|_| to_write) {
            fds.push(PollFd::new(stdin, PollFlags::OUT));
        }
        let time = Timespec { tv_sec: time.as_secs() as i64, tv_nsec: time.subsec_nanos().into() };
        match poll(&mut fds, Some(&time)) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(true),
            Err(e) => Err(Error::new(ErrorKind::Io, "cannot wait for the plugin's process").with_source(e)),
        }
    }

    /// Whether it is gone. It stays unreaped, so that its number belongs to no other process.
    fn has_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(self.pid), options), Ok(None))
    }

    /// Waits for it to go of itself, at most the grace time.
    fn goes(&self) -> bool {
        let until = Instant::now() + self.grace;
        let mut step = Duration::from_micros(100);
        while !self.has_exited() {
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(step);
            step = (2 * step).min(Duration::from_millis(10));
        }
        true
    }

    /// Kills what is left of it and its group, and waits for it.
    fn end(&mut self) -> Option<ExitStatus> {
        self.stdin = None;
        // Once it was waited for, its number may be another's.
        if std::mem::replace(&mut self.ended, true) { self.child.wait().ok() } else { end(&mut self.child, self.pid) }
    }

    /// The error when it closed its standard output, `missing` bytes before the end of a frame.
    fn died(&mut self, missing: usize) -> Error {
        let within = if missing > 0 { format!(" {missing} bytes before the end of a frame") } else { String::new() };
        if self.goes() {
            let status = self.end().map_or_else(|| "unknown status".to_owned(), |status| status.to_string());
            let message = format!("the plugin's process ended{within} ({status}){}", self.stderr.last());
            return Error::new(ErrorKind::Died, message);
        }
        self.end();
        let message =
            format!("the plugin's process closed its standard output{within} without an answer and was killed");
        Error::new(ErrorKind::Contract, message + &self.stderr.last())
    }

    fn unanswered(&mut self, stopped: ErrorKind) -> Error {
        self.end();
        let why = if stopped == ErrorKind::Cancelled { "a request to stop" } else { "its deadline" };
        let message = format!("the plugin's process did not answer within {:?} after {why} and was killed", self.grace);
        Error::new(stopped, message + &self.stderr.last())
    }

    fn early(&mut self) -> Error {
        self.end();
        let message =
            "expected the plugin's process to read the whole request before it answers, got an answer; it was killed";
        Error::new(ErrorKind::Contract, message.to_owned() + &self.stderr.last())
    }

    fn malformed(&mut self, error: Error) -> Error {
        self.end();
        error.at("the plugin's process was killed for a malformed frame")
    }
}

impl Drop for Process {
    /// Asks it to end, and ends it after the grace time.
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if let (Some(mut stdin), Ok(bye)) = (self.stdin.take(), encode(&ToChild::Bye {}, 0)) {
            // A pipe that is full or closed takes no good-bye; its end says the same.
            let _unsaid = stdin.write(&bye);
        }
        self.goes();
        self.end();
    }
}

/// Kills `child` and its group, and waits for it.
fn end(child: &mut Child, pid: Pid) -> Option<ExitStatus> {
    // Errors mean that it is gone, or left its group.
    let _gone = kill_process_group(pid, Signal::KILL);
    let _gone = child.kill();
    child.wait().ok()
}
