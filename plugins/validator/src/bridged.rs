//! An expert behind a command that speaks the bridge's protocol.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use counterpoint_abi::{CPT_ABSTAIN, CPT_CANCELLED, CPT_ERROR, CPT_FAIL, CPT_PANIC, CPT_VALUE};
use counterpoint_bridge::{BridgeOptions, Bridged};
use counterpoint_host::{
    self as host, Error, ErrorKind, Expert, ExpertManifest, Image, Item, Manifest, Pixels, Setup, State,
};
use serde_json::Value;

use crate::job::{Target, pass};
use crate::samples::{Channels, Kit, Picture, Sample};
use crate::subject::{Answers, BROKEN, Call, Failure, Scorer, Subject};
use crate::{Job, Outcome, progress};

/// A command and one of its experts.
pub(crate) struct Bridge {
    command: Vec<String>,
    manifest: ExpertManifest,
    capabilities: u64,
    kit: Kit,
    settings: Value,
    base: PathBuf,
    options: BridgeOptions,
}

fn command(words: &[String]) -> Command {
    let mut command = Command::new(words.first().map_or("", String::as_str));
    command.args(words.get(1..).unwrap_or_default());
    command
}

fn options(job: &Job) -> BridgeOptions {
    BridgeOptions { startup_timeout_s: job.timeout, call_timeout_s: job.timeout, ..BridgeOptions::default() }
}

/// Whether the command starts and says what it is.
pub(crate) fn hello(job: &Job) -> Outcome {
    let (manifest, capabilities) = describe(job)?;
    progress::send(&progress::Line::Plugin { manifest, capabilities });
    pass("")
}

/// What the plugin behind the job's command says of itself.
fn describe(job: &Job) -> Result<(Manifest, u64), String> {
    let Target::Command(words) = &job.target else { return Err("expected a command".into()) };
    progress::step("while waiting for hello");
    Bridged::describe(command(words), &options(job)).map_err(|e| e.to_string())
}

impl Bridge {
    /// Finds the job's expert.
    pub fn open(job: &Job) -> Result<Self, String> {
        let (manifest, capabilities) = describe(job)?;
        let Target::Command(words) = &job.target else { return Err("expected a command".into()) };
        let manifest = manifest.expert(&job.expert).map_err(|e| e.to_string())?.clone();
        Ok(Self {
            command: words.clone(),
            kit: Kit::new(&manifest, &job.params),
            manifest,
            capabilities,
            settings: job.settings.clone(),
            base: job.base.clone(),
            options: options(job),
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
        progress::step("while starting the process");
        let setup = Setup { expert: &self.manifest.name, settings: &self.settings, base: &self.base };
        let running = Bridged::start(command(&self.command), &setup, self.options.clone());
        Ok(Box::new(Running { expert: running.map_err(failure)? }))
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
    Failure { code, message: error.to_string() }
}
