//! An expert behind a command that speaks the bridge's protocol.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use counterpoint_abi::{CPT_ABSTAIN, CPT_CANCELLED, CPT_ERROR, CPT_FAIL, CPT_PANIC, CPT_VALUE};
use counterpoint_bridge::{BridgeOptions, Bridged};
use counterpoint_host::{self as host, Error, ErrorKind, Expert, ExpertManifest, Image, Item, Pixels, Setup, State};

use crate::job::{Target, pass};
use crate::progress::{self, Line};
use crate::samples::{Channels, Kit, Picture, Sample};
use crate::subject::{Answers, BROKEN, Call, Failure, Scorer, Subject, promises};
use crate::{Job, Outcome};

/// A command and one of its experts.
pub(crate) struct Bridge {
    job: Job,
    manifest: ExpertManifest,
    capabilities: u64,
    kit: Kit,
    /// The process that said what it is, until it is asked for.
    first: Cell<Option<Bridged>>,
}

fn command(job: &Job) -> Result<Command, String> {
    let Target::Command(words) = &job.target else { return Err("expected a command".into()) };
    let (program, arguments) = words.split_first().ok_or("expected a program")?;
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

/// The bridge gives up before this process is given up, and says why.
fn options(job: &Job) -> BridgeOptions {
    let (seconds, grace_s) = (0.7 * job.timeout, (0.1 * job.timeout).min(1.0));
    BridgeOptions { startup_timeout_s: seconds, call_timeout_s: seconds, grace_s, ..BridgeOptions::default() }
}

/// Whether the command starts and says what it is.
pub(crate) fn hello(job: &Job) -> Outcome {
    progress::step("while waiting for hello");
    let (manifest, capabilities) = Bridged::describe(command(job)?, &options(job)).map_err(|e| format!("{e:#}"))?;
    progress::send(&Line::Manifest(manifest));
    pass(promises(capabilities))
}

fn start(job: &Job) -> Result<Bridged, String> {
    progress::step("while the process starts");
    let setup = Setup { expert: &job.expert, settings: &job.settings, base: &job.base };
    Bridged::start(command(job)?, &setup, options(job)).map_err(|e| format!("{e:#}"))
}

impl Bridge {
    /// Starts the job's expert.
    pub fn open(job: &Job) -> Result<Self, String> {
        let first = start(job)?;
        Ok(Self {
            job: job.clone(),
            manifest: first.manifest().clone(),
            capabilities: first.capabilities(),
            kit: Kit::new(first.manifest(), &job.params),
            first: Cell::new(Some(first)),
        })
    }
}

impl Subject for Bridge {
    fn manifest(&self) -> &ExpertManifest {
        &self.manifest
    }

    fn capabilities(&self) -> u64 {
        self.capabilities
    }

    fn kit(&self) -> &Kit {
        &self.kit
    }

    fn start(&self) -> Result<Box<dyn Scorer + '_>, Failure> {
        let broken = |message| Failure { code: BROKEN, message };
        let expert = self.first.take().map_or_else(|| start(&self.job), Ok).map_err(broken)?;
        Ok(Box::new(Running { expert }))
    }
}

/// A running process.
struct Running {
    expert: Bridged,
}

impl Scorer for Running {
    fn score(&mut self, samples: &[Sample], call: &Call) -> Result<Answers, Failure> {
        progress::step(&format!("in score of {} items", samples.len()));
        let items: Vec<Item<'_>> = samples.iter().map(item).collect::<host::Result<_>>().map_err(failure)?;
        let cancel = AtomicBool::new(call.cancelled);
        let arguments = host::Call { seed: call.seed, deadline: call.deadline, cancel: Some(&cancel) };
        let restarts = self.expert.statistics().replaced;
        let scores = self.expert.score(&items, &arguments).map_err(failure)?;
        if self.expert.statistics().replaced > restarts {
            let message = "expected the process of the call before to live on, got another".to_owned();
            return Err(Failure { code: BROKEN, message });
        }
        let mut reasons = BTreeMap::new();
        let mut status = Vec::new();
        for (i, state) in (0..).zip(scores.states) {
            status.push(match state {
                State::Value => CPT_VALUE,
                State::Abstain(reason) => {
                    reasons.insert(i, reason);
                    CPT_ABSTAIN
                }
                State::Fail(reason) => {
                    reasons.insert(i, reason);
                    CPT_FAIL
                }
            });
        }
        Ok(Answers { outputs: scores.outputs, values: scores.values, status, reasons })
    }
}

fn item(sample: &Sample) -> host::Result<Item<'_>> {
    let text = |bytes| {
        std::str::from_utf8(bytes).map_err(|e| Error::new(ErrorKind::Contract, "expected UTF-8").with_source(e))
    };
    Ok(Item {
        prompt: text(&sample.prompt)?,
        response: text(&sample.response)?,
        class: text(&sample.class)?,
        params: text(&sample.params)?,
        image: sample.image.as_ref().map(image).transpose()?,
        references: sample.references.iter().map(image).collect::<host::Result<_>>()?,
        candidate: sample.candidate,
    })
}

fn image(picture: &Picture) -> host::Result<Image<'_>> {
    let pixels = match &picture.channels {
        Channels::U8(samples) => Pixels::U8(samples),
        Channels::F32(samples) => Pixels::F32(samples),
    };
    Image::with_strides(picture.width as u32, picture.height as u32, pixels, picture.row, picture.pixel)
}

fn failure(error: Error) -> Failure {
    let code = match error.kind() {
        ErrorKind::Died | ErrorKind::Contract | ErrorKind::Version => BROKEN,
        ErrorKind::Cancelled | ErrorKind::Deadline => CPT_CANCELLED,
        ErrorKind::Panic => CPT_PANIC,
        _ => CPT_ERROR,
    };
    Failure { code, message: format!("{error:#}") }
}
