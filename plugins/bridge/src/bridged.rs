//! An expert whose code runs in a child process.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use counterpoint_host::{
    Call, Error, ErrorKind, Expert, ExpertManifest, Item, Manifest, Result, Runner, Scores, Sealed, Setup, State,
    Statistics,
};
use serde_json::Value;

use crate::BridgeOptions;
use crate::child::SERVE;
use crate::confine::confined;
use crate::frame::{Body, encode};
use crate::message::{Dtype, FromChild, PROTOCOL, Tensor, ToChild, error_kind};
use crate::process::{Limits, Process};
use crate::wire::Pieces;

/// An [`Expert`] in a child process, which is started again after it died, hung or wrote nonsense.
///
/// A call that could not be answered is an error: [`ErrorKind::Died`] when the process ended, with its status and its last
/// lines of standard error; [`ErrorKind::Deadline`], [`ErrorKind::Cancelled`] and [`ErrorKind::Contract`] when it was killed.
/// [`ErrorKind::Call`] and [`ErrorKind::Panic`] never end it. The next call starts another process, after a pause that doubles
/// with each such end in a row; after [`BridgeOptions::restarts`] of them every call is refused
/// ([`ErrorKind::GivenUp`]). Dropping it ends the process
/// and its group.
#[derive(Debug)]
pub struct Bridged {
    command: Command,
    /// What its process loads, if that is a library: a process that takes the place of another loads the same.
    _library: Option<Sealed>,
    setup: Owned,
    options: BridgeOptions,
    manifest: ExpertManifest,
    capabilities: u64,
    process: Option<Process>,
    /// Number of the last call.
    id: u64,
    /// Ends of the process in a row.
    failures: u32,
    /// When the last one was, and why.
    last: Option<(Instant, String)>,
    statistics: Statistics,
}

/// A [`Setup`] for as long as the expert lives.
#[derive(Debug)]
struct Owned {
    expert: String,
    settings: Value,
    base: String,
}

impl Bridged {
    /// Starts `command`, a program that speaks the protocol, and makes an expert with `setup`. The command's standard streams
    /// and process group are set here.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for options out of range, a program that cannot be started or an expert that it does not have;
    /// [`ErrorKind::Create`] when the plugin refuses; [`ErrorKind::Deadline`] when it takes longer than
    /// [`BridgeOptions::startup_timeout_s`]; [`ErrorKind::Version`] for another major version of the protocol;
    /// [`ErrorKind::Died`] and [`ErrorKind::Contract`].
    pub fn start(command: Command, setup: &Setup<'_>, options: BridgeOptions) -> Result<Self> {
        Self::start_with(command, None, setup, options)
    }

    /// The same for a program that loads `library`, whose folder a sandbox has to leave open.
    fn start_with(
        command: Command,
        library: Option<Sealed>,
        setup: &Setup<'_>,
        options: BridgeOptions,
    ) -> Result<Self> {
        options.check()?;
        let folder = library.as_ref().and_then(|library| library.path().parent());
        let own: Vec<PathBuf> = folder.into_iter().chain([setup.base]).map(Path::to_owned).collect();
        let mut command = confined(command, &options, &own)?;
        let base = setup.base.to_str().ok_or_else(|| {
            Error::new(
                ErrorKind::Config,
                format!("expected a folder with a name in UTF-8, got {}", setup.base.display()),
            )
        })?;
        let (expert, settings, base) = (setup.expert.to_owned(), setup.settings.clone(), base.to_owned());
        let setup = Owned { expert, settings, base };
        let (process, manifest, capabilities) = open(&mut command, &setup, &options, None)?;
        Ok(Self {
            command,
            _library: library,
            setup,
            options,
            manifest,
            capabilities,
            process: Some(process),
            id: 0,
            failures: 0,
            last: None,
            statistics: Statistics::default(),
        })
    }

    /// Runs an expert of the shared library `library` in a child process of `runner`. The sidecar is not looked at.
    ///
    /// # Errors
    /// Those of [`start`](Self::start), and of the library: [`ErrorKind::Load`] and its like.
    pub fn of_library(runner: &Runner, library: Sealed, setup: &Setup<'_>, mut options: BridgeOptions) -> Result<Self> {
        let command = runner.command_on(SERVE, &library)?;
        options.runner.get_or_insert_with(|| runner.clone());
        Self::start_with(command, Some(library), setup, options)
    }

    /// What the plugin behind `command` says of itself, and its `CPT_CAP_*` bits. Starts a process and ends it.
    ///
    /// # Errors
    /// As those of [`start`](Self::start).
    pub fn describe(command: Command, options: &BridgeOptions) -> Result<(Manifest, u64)> {
        options.check()?;
        let mut command = confined(command, options, &[])?;
        let mut process = Process::start(&mut command, "", options)?;
        hello(&mut process, &until(options, None))
    }

    /// The expert's `CPT_CAP_*` bits.
    pub fn capabilities(&self) -> u64 {
        self.capabilities
    }

    /// Sees to it that there is a process: the one that runs, or another in the place of one that ended.
    fn revive(&mut self, cancel: Option<&AtomicBool>) -> Result<()> {
        if self.process.is_some() {
            return Ok(());
        }
        if let Some((when, why)) = &self.last {
            if self.failures > self.options.restarts {
                let message = format!(
                    "the expert `{}` was given up after {} ends in a row: {why}",
                    self.setup.expert, self.failures
                );
                return Err(Error::new(ErrorKind::GivenUp, message));
            }
            sleep_until(*when + self.options.pause(self.failures), cancel)?;
        }
        let opened = open(&mut self.command, &self.setup, &self.options, cancel).and_then(|(process, manifest, _)| {
            if manifest == self.manifest {
                return Ok(process);
            }
            let message = "expected the manifest that the plugin had before its restart, got another";
            Err(Error::new(ErrorKind::Contract, message))
        });
        self.process = Some(opened.inspect_err(|error| self.failed(error))?);
        self.statistics.replaced += 1;
        Ok(())
    }

    /// Counts an end of the process, unless it was wanted.
    fn failed(&mut self, error: &Error) {
        if error.kind() != ErrorKind::Cancelled {
            self.failures += 1;
            self.last = Some((Instant::now(), format!("{error:#}")));
        }
    }

    fn try_score(&mut self, items: &[Item<'_>], call: &Call<'_>) -> Result<Scores> {
        let mut body = Pieces::default();
        let wire = items.iter().map(|item| body.item(item)).collect();
        if body.size > self.options.body_limit() {
            let message = format!(
                "expected at most {} bytes of pixels in a call, got {}; score fewer items or raise max_frame_mib",
                self.options.body_limit(),
                body.size
            );
            return Err(Error::new(ErrorKind::Config, message));
        }
        let time = call.deadline.unwrap_or(self.options.call_timeout());
        let deadline_ns = call.deadline.map(|time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        self.id += 1;
        let id = self.id;
        let head = encode(&ToChild::Score { id, seed: call.seed, deadline_ns, items: wire }, body.size)?;
        let mut pieces = vec![&head[..]];
        pieces.extend(body.pieces.iter().map(|piece| &piece[..]));

        let outputs = self.manifest.outputs.len();
        self.revive(call.cancel)?;
        let Some(process) = &mut self.process else { return Err(Error::new(ErrorKind::Died, "expected a process")) };
        let limits = Limits {
            until: after(time),
            cancel: call.cancel,
            last_words: &encode(&ToChild::Cancel { id }, 0)?,
            body_limit: (items.len() * outputs * 8) as u64,
        };
        let conversation = process.converse(&pieces, &limits, |message, body| match message {
            FromChild::Scores { id: of, states, values } if of == id => {
                scores(states, &values, body, items.len(), outputs).map(|scores| Some(Ok(scores)))
            }
            FromChild::Error { id: Some(of), error, message } if of == id => {
                Ok(Some(Err(Error::new(error_kind(&error), message))))
            }
            other => Err(unexpected(&format!("scores or an error of call {id}"), &other)),
        });
        let (scores, stopped) = conversation.inspect_err(|error| {
            self.process = None;
            self.failed(error);
        })?;
        self.failures = 0;
        match stopped {
            Some(ErrorKind::Deadline) => {
                Err(Error::new(ErrorKind::Deadline, format!("expected an answer within {time:?}, got it later")))
            }
            _ => scores,
        }
    }
}

impl Expert for Bridged {
    fn manifest(&self) -> &ExpertManifest {
        &self.manifest
    }

    fn score(&mut self, items: &[Item<'_>], call: &Call<'_>) -> Result<Scores> {
        let start = Instant::now();
        let result = self.try_score(items, call).map(|mut scores| {
            scores.check(&self.manifest);
            scores
        });
        self.statistics.count(items.len(), start.elapsed(), &result);
        result
    }

    fn statistics(&self) -> Statistics {
        self.statistics
    }
}

/// Starts a process and makes the expert in it.
fn open(
    command: &mut Command,
    setup: &Owned,
    options: &BridgeOptions,
    cancel: Option<&AtomicBool>,
) -> Result<(Process, ExpertManifest, u64)> {
    let mut process = Process::start(command, &setup.expert, options)?;
    let limits = until(options, cancel);
    let (manifest, capabilities) = hello(&mut process, &limits)?;
    let manifest = manifest.expert(&setup.expert)?.clone();
    let create = ToChild::Create {
        expert: Cow::Borrowed(&setup.expert),
        settings: Cow::Borrowed(&setup.settings),
        base: Cow::Borrowed(&setup.base),
        body_limit: options.body_limit(),
    };
    let created = process.converse(&[&encode(&create, 0)?], &limits, |message, _| match message {
        FromChild::Created { capabilities: own } => Ok(Some(own.unwrap_or(capabilities))),
        FromChild::Error { id: None, error, message } => Err(refused(&error, message)),
        other => Err(unexpected("`created` or an error", &other)),
    });
    let capabilities = in_time(created)?;
    Ok((process, manifest, capabilities))
}

/// Takes the first frame.
fn hello(process: &mut Process, limits: &Limits<'_>) -> Result<(Manifest, u64)> {
    let hello = process.converse(&[], limits, |message, _| match message {
        FromChild::Hello { protocol, program, manifest, capabilities } => {
            if protocol.major != PROTOCOL.major {
                let message = format!(
                    "expected version {}.{} of the bridge's protocol, got {}.{} from `{program}`; the major versions must be \
                     the same",
                    PROTOCOL.major, PROTOCOL.minor, protocol.major, protocol.minor
                );
                return Err(Error::new(ErrorKind::Version, message));
            }
            let manifest = Manifest::parse(manifest.to_string().as_bytes(), &program)?;
            Ok(Some((manifest, capabilities)))
        }
        FromChild::Error { id: None, error, message } => Err(refused(&error, message)),
        other => Err(unexpected("`hello`", &other)),
    });
    in_time(hello)
}

/// The error of a child that says why there will be no instance. Its process is ended, as it is not after a failed call.
fn refused(error: &str, message: String) -> Error {
    let kind = match error_kind(error) {
        ErrorKind::Call | ErrorKind::Panic | ErrorKind::Cancelled => ErrorKind::Create,
        kind => kind,
    };
    Error::new(kind, message)
}

/// What came of a conversation at start-up, unless it came too late.
fn in_time<T>(result: Result<(T, Option<ErrorKind>)>) -> Result<T> {
    match result {
        Ok((answer, None)) => Ok(answer),
        Ok((_, Some(stopped))) => Err(Error::new(stopped, "the start was to end early")),
        Err(error) => Err(error),
    }
    .map_err(|e| e.at("starting the plugin's process"))
}

fn until<'a>(options: &BridgeOptions, cancel: Option<&'a AtomicBool>) -> Limits<'a> {
    Limits { until: after(options.startup_timeout()), cancel, last_words: &[], body_limit: 0 }
}

/// The time after `time` from now, or as good as never.
fn after(time: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(time).unwrap_or(now + Duration::from_secs(1 << 30))
}

fn sleep_until(until: Instant, cancel: Option<&AtomicBool>) -> Result<()> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        if cancel.is_some_and(|cancel| cancel.load(Ordering::Relaxed)) {
            return Err(Error::new(ErrorKind::Cancelled, "stopped before the plugin's process was started again"));
        }
        std::thread::sleep(left.min(Duration::from_millis(5)));
    }
}

/// The scores of an answer to a call of `items` items.
pub(crate) fn scores(states: Vec<State>, values: &Tensor, body: &Body, items: usize, outputs: usize) -> Result<Scores> {
    if states.len() != items {
        let message = format!("expected {items} items' states in an answer, got {}", states.len());
        return Err(Error::new(ErrorKind::Contract, message));
    }
    if values.dtype != Dtype::F64 || values.shape != [items as u64, outputs as u64] {
        let message = format!("expected f64 values of shape [{items}, {outputs}] in an answer, got {values:?}");
        return Err(Error::new(ErrorKind::Contract, message));
    }
    let bytes = values.bytes(body.bytes())?;
    let values = bytes.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes)).collect();
    Ok(Scores { outputs, values, states })
}

fn unexpected(expected: &str, got: &FromChild) -> Error {
    let of = match got {
        FromChild::Scores { id, .. } | FromChild::Error { id: Some(id), .. } => format!(" of call {id}"),
        _ => String::new(),
    };
    let message = format!("expected {expected} from the plugin's process, got `{}`{of}", got.kind());
    Error::new(ErrorKind::Contract, message)
}
