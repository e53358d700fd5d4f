//! The child's side: a program that makes and calls an expert of a shared library for another.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::time::Duration;

use counterpoint_host::{
    CHILD, Call, Error, ErrorKind, Expert, Library, Loaded, PROBE, Result, Scores, Setup, look,
    this_program_runs_children,
};
use rustix::process::{Signal, getpgrp, getpid, kill_process, kill_process_group};
use rustix::stdio::{dup2_stdin, dup2_stdout};

use crate::confine::{CONFINED, become_confined};
use crate::forward::Forward;
use crate::frame::{Decoder, Frame, Step, encode};
use crate::message::{Dtype, FromChild, PROTOCOL, Tensor, ToChild, Urgent, WireItem, error_name, parse};
use crate::running::Running;
use crate::wire;

/// The work of a child that runs an expert: `serve LIBRARY [DESCRIPTOR]`.
pub(crate) const SERVE: &str = "serve";
/// Time that a call has to notice that the host is gone.
const LAST_CALL: Duration = Duration::from_secs(1);

/// Does a child's work and ends the process, if this program was started for that; returns at once otherwise. To be called
/// first in `main`: plugins are then looked at, and with `isolation = "process"` run, in children of this very program.
///
/// The work is in the arguments: `counterpoint-plugin-child probe LIBRARY [DESCRIPTOR]` prints what the plugin says of itself as one
/// line of JSON, `counterpoint-plugin-child serve LIBRARY [DESCRIPTOR]` speaks the bridge's protocol, and `counterpoint-plugin-child
/// confined LIMITS PROGRAM ARGUMENTS` confines itself and becomes that program. Under the descriptor the host left the library as it
/// had read it; without one the file is read.
pub fn run_if_child() {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().as_deref() != Some(OsStr::new(CHILD)) {
        return this_program_runs_children();
    }
    let arguments: Vec<OsString> = arguments.collect();
    std::process::exit(match run(&arguments) {
        Ok(()) => 0,
        Err(error) => {
            let _unheard = writeln!(io::stderr(), "{error:#}");
            1
        }
    });
}

fn run(arguments: &[OsString]) -> Result<()> {
    if let [work, rest @ ..] = arguments
        && work == CONFINED
    {
        return Err(become_confined(rest));
    }
    let unknown = || {
        let message = format!("expected `{CHILD} {PROBE} | {SERVE} LIBRARY [DESCRIPTOR]`, got {arguments:?}");
        Error::new(ErrorKind::Config, message)
    };
    let (work, library, descriptor) = match arguments {
        [work, library] => (work, library, None),
        [work, library, descriptor] => {
            let number = descriptor.to_str().and_then(|number| number.parse().ok());
            (work, library, Some(number.ok_or_else(unknown)?))
        }
        _ => return Err(unknown()),
    };
    let library = Given { path: Path::new(library), descriptor };
    let (input, output) = take_streams().map_err(|e| io_error("cannot take the standard streams", e))?;
    if work == PROBE {
        probe(library, File::from(input), File::from(output))
    } else if work == SERVE {
        serve(library, File::from(input), Output(Mutex::new(output.into())))
    } else {
        Err(unknown())
    }
}

/// The library that a child is started for.
#[derive(Clone, Copy)]
struct Given<'a> {
    path: &'a Path,
    descriptor: Option<i32>,
}

/// Standard input and output for this program alone: a plugin reads nothing, and what it prints goes to standard error.
fn take_streams() -> io::Result<(OwnedFd, OwnedFd)> {
    let input = io::stdin().as_fd().try_clone_to_owned()?;
    let output = io::stdout().as_fd().try_clone_to_owned()?;
    dup2_stdin(File::open("/dev/null")?)?;
    dup2_stdout(io::stderr())?;
    Ok((input, output))
}

/// The pipe to the host.
pub(crate) struct Output(Mutex<File>);

impl Output {
    /// Sends a frame.
    pub(crate) fn send(&self, message: &FromChild, body: &[u8]) -> Result<()> {
        let mut frame = encode(message, body.len() as u64)?;
        frame.extend(body);
        let mut pipe = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pipe.write_all(&frame).map_err(|e| io_error("cannot write to the host", e))
    }

    fn error(&self, id: Option<u64>, error: &Error) -> Result<()> {
        let (error, message) = (error_name(error.kind()).to_owned(), format!("{error:#}"));
        self.send(&FromChild::Error { id, error, message }, &[])
    }
}

/// Says what the plugin says of itself. A host that holds a pipe to this process is gone when the pipe ends.
fn probe(library: Given<'_>, mut input: File, mut output: File) -> Result<()> {
    let looked = Arc::new(AtomicBool::new(false));
    if input.metadata().is_ok_and(|input| input.file_type().is_fifo()) {
        let looked = Arc::clone(&looked);
        thread("counterpoint-host", move || {
            while input.read(&mut [0; 64]).is_ok_and(|n| n > 0) {}
            if !looked.load(Ordering::Relaxed) {
                kill();
            }
        })?;
    }
    let found = look(library.path, library.descriptor);
    // From here on it ends without help.
    looked.store(true, Ordering::Relaxed);
    let answer = serde_json::to_string(&found?)
        .map_err(|e| Error::new(ErrorKind::Io, "cannot write the answer").with_source(e))?;
    writeln!(output, "{answer}").map_err(|e| io_error("cannot write the answer", e))
}

/// Speaks the protocol until the host says good-bye or is gone.
fn serve(library: Given<'_>, input: File, output: Output) -> Result<()> {
    let running = Arc::new(Running::default());
    let (sender, frames) = channel();
    let reader = Arc::clone(&running);
    // Before the library is loaded: that may hang, and the host may go meanwhile.
    thread("counterpoint-frames", move || read(input, sender, &reader))?;
    let result = converse(library, &frames, &running, output);
    if running.are_all_cancelled() {
        kill_group();
    }
    result
}

fn converse(library: Given<'_>, frames: &Receiver<Result<Frame>>, running: &Running, output: Output) -> Result<()> {
    let output = Arc::new(output);
    // Only a second one in the same process would be refused.
    let _first = tracing::subscriber::set_global_default(Forward::new(Arc::clone(&output)));
    let library = match Library::inherited(library.path, library.descriptor) {
        Ok(library) => library,
        Err(error) => return output.error(None, &error),
    };
    let manifest = serde_json::to_value(library.manifest())
        .map_err(|e| Error::new(ErrorKind::Manifest, "cannot write the manifest").with_source(e))?;
    let (program, capabilities) = (CHILD.to_owned(), library.capabilities());
    output.send(&FromChild::Hello { protocol: PROTOCOL, program, manifest, capabilities }, &[])?;

    let mut expert: Option<Loaded> = None;
    while let Some(frame) = next(frames)? {
        match parse(&frame.header)? {
            ToChild::Create { expert: name, settings, base, .. } => {
                let setup = Setup { expert: &name, settings: &settings, base: Path::new(&*base) };
                match Loaded::create(library, &setup, 1) {
                    Ok(made) => expert = Some(made),
                    Err(error) => return output.error(None, &error),
                }
                output.send(&FromChild::Created { capabilities: None }, &[])?;
            }
            ToChild::Score { id, seed, deadline_ns, items } => {
                let Some(expert) = &mut expert else {
                    return Err(Error::new(ErrorKind::Contract, "expected `create` before `score`"));
                };
                let cancel = running.begin(id);
                let deadline = deadline_ns.map(Duration::from_nanos);
                let call = Call { seed, deadline, cancel: Some(&cancel) };
                match score(expert, &items, frame.body.bytes(), &call) {
                    Ok(scores) => answer(&output, id, scores)?,
                    Err(error) => output.error(Some(id), &error)?,
                }
            }
            ToChild::Cancel { .. } => {}
            ToChild::Bye {} => break,
        }
    }
    Ok(())
}

fn score(expert: &mut Loaded, items: &[WireItem<'_>], body: &[u8], call: &Call<'_>) -> Result<Scores> {
    let items: Vec<_> = items.iter().map(|wire| wire::item(wire, body)).collect::<Result<_>>()?;
    expert.score(&items, call)
}

fn answer(output: &Output, id: u64, scores: Scores) -> Result<()> {
    let shape = vec![scores.states.len() as u64, scores.outputs as u64];
    let values = Tensor { dtype: Dtype::F64, shape, offset: 0 };
    output.send(&FromChild::Scores { id, states: scores.states, values }, bytemuck::cast_slice(&scores.values))
}

/// The next frame; none when the host is gone.
fn next(frames: &Receiver<Result<Frame>>) -> Result<Option<Frame>> {
    frames.recv().ok().transpose()
}

/// Takes frames until the host is gone, and tells the running call of requests to end.
fn read(mut input: File, frames: Sender<Result<Frame>>, running: &Running) {
    let mut decoder = Decoder::new(0);
    loop {
        let frame = match decoder.step(&mut input) {
            Ok(Step::Frame(frame)) => frame,
            Ok(Step::Pending | Step::End { .. }) => break,
            Err(error) => {
                let _nobody_left = frames.send(Err(error));
                break;
            }
        };
        match parse(&frame.header) {
            Ok(Urgent::Cancel { id }) => running.cancel(id),
            Ok(Urgent::Create { body_limit }) => decoder.set_body_limit(body_limit),
            // The other thread reads it, or says what is wrong with it.
            Ok(Urgent::Other) | Err(_) => {}
        }
        if frames.send(Ok(frame)).is_err() {
            return;
        }
    }
    running.cancel_all();
    drop(frames);
    std::thread::sleep(LAST_CALL);
    // The call did not notice, and nobody waits for it.
    kill();
}

/// Kills this process, and those it started where it leads their group.
fn kill() {
    kill_group();
    let _killed = kill_process(getpid(), Signal::KILL);
}

/// Kills the group of this process, if it is its leader: the host, which would have done it, is gone.
fn kill_group() {
    if getpgrp() == getpid() {
        let _killed = kill_process_group(getpid(), Signal::KILL);
    }
}

/// Starts a thread and waits until it runs: none can begin while the constructors of a library run, as the loader is locked.
fn thread(name: &str, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let here = Arc::new(Barrier::new(2));
    let there = Arc::clone(&here);
    let begin = move || {
        there.wait();
        work();
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(begin).map_err(|e| io_error("cannot start a thread", e))?;
    here.wait();
    Ok(())
}

fn io_error(doing: &str, error: io::Error) -> Error {
    Error::new(ErrorKind::Io, doing).with_source(error)
}
