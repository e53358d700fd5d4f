//! Raw calls of an expert in a library.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::path::Path;
use std::ptr;

use counterpoint_abi::{CPT_ERROR, CPT_OK, cpt_batch, cpt_host, cpt_scores};
use counterpoint_host::{ExpertManifest, Library};

use crate::Job;
use crate::calls;
use crate::layout::{Arguments, Layout, Outputs};
use crate::progress::step;
use crate::samples::{Kit, Sample};
use crate::subject::{Answers, Call, Failure, Scorer, Subject};

/// Loads the library at `path`, as a run does.
pub(crate) fn open(path: &Path) -> Result<&'static Library, String> {
    step("while loading");
    let library = Library::open(path).map_err(|e| format!("{e:#}"))?;
    step("after loading");
    Ok(library)
}

/// An expert of a loaded library, with its settings.
pub(crate) struct Raw {
    pub library: &'static Library,
    pub manifest: ExpertManifest,
    pub kit: Kit,
    pub timeout: f64,
    settings: String,
    base: String,
}

impl Raw {
    /// Loads the job's library and finds its expert; its first one for a check of the whole plugin.
    pub fn open(job: &Job) -> Result<Self, String> {
        let library = open(job.library()?)?;
        let first = library.manifest().experts.first().filter(|_| job.expert.is_empty());
        let manifest = match first {
            Some(first) => first,
            None => library.manifest().expert(&job.expert).map_err(|e| format!("{e:#}"))?,
        };
        let manifest = manifest.clone();
        Ok(Self {
            kit: Kit::new(&manifest, &job.params),
            manifest,
            library,
            timeout: job.timeout,
            settings: job.settings.to_string(),
            base: job.base.to_string_lossy().into_owned(),
        })
    }

    /// A new instance, made in the usual way.
    pub fn instance(&self) -> Result<Instance<'_>, Failure> {
        self.create(&self.manifest.name, self.settings.as_bytes(), &Layout::default())
    }

    /// A new instance of the expert as the job has it, its arguments in memory as `layout` says.
    pub fn instance_of(&self, layout: &Layout) -> Result<Instance<'_>, Failure> {
        self.create(&self.manifest.name, self.settings.as_bytes(), layout)
    }

    /// Asks for an instance.
    pub fn create(&self, expert: &str, settings: &[u8], layout: &Layout) -> Result<Instance<'_>, Failure> {
        let mut arguments = Arguments::new(layout, &Call::default());
        let mut made = ptr::null_mut();
        let setup = arguments.setup(expert.as_bytes(), settings, self.base.as_bytes()).map_err(no_memory)?;
        let host = arguments.host().map_err(no_memory)?;
        arguments.seal().map_err(no_memory)?;
        // SAFETY: host and setup live in `arguments`, which live longer than the call.
        let code = unsafe { calls::create(self.library.functions().create, "in create", host, setup, &mut made) };
        step("after create");
        if code == CPT_OK {
            return Ok(Instance { raw: self, pointer: made });
        }
        Err(Failure { code, message: format!("in create of `{expert}`: {}", arguments.callbacks.take_message()) })
    }
}

impl Subject for Raw {
    fn manifest(&self) -> &ExpertManifest {
        &self.manifest
    }

    fn capabilities(&self) -> u64 {
        self.library.capabilities()
    }

    fn kit(&self) -> &Kit {
        &self.kit
    }

    fn start(&self) -> Result<Box<dyn Scorer + '_>, Failure> {
        Ok(Box::new(self.instance()?))
    }
}

/// An instance, destroyed at the end.
pub(crate) struct Instance<'a> {
    raw: &'a Raw,
    pointer: *mut c_void,
}

// SAFETY: the contract lets create, score and destroy be called from different threads.
unsafe impl Send for Instance<'_> {}

impl Instance<'_> {
    /// Scores `samples`, their arguments in memory as `layout` says.
    pub fn score_as(&mut self, samples: &[Sample], call: &Call, layout: &Layout) -> Result<Answers, Failure> {
        let mut prepared = Prepared::new(samples, call, layout, self.raw.manifest.outputs.len()).map_err(no_memory)?;
        let code = self.call(&mut prepared);
        prepared.answers(code)
    }

    /// Calls `score` and returns its code.
    pub fn call(&mut self, prepared: &mut Prepared) -> i32 {
        let Prepared { host, batch, scores, .. } = *prepared;
        prepared.arguments.callbacks.begin();
        // SAFETY: the arguments live in `prepared`.
        let code = unsafe {
            calls::score(self.raw.library.functions().score, &prepared.when, self.pointer, host, batch, scores)
        };
        step("after score");
        code
    }
}

impl Scorer for Instance<'_> {
    fn score(&mut self, samples: &[Sample], call: &Call) -> Result<Answers, Failure> {
        self.score_as(samples, call, &Layout::default())
    }
}

impl Drop for Instance<'_> {
    fn drop(&mut self) {
        // SAFETY: `create` made the pointer, and it is not used again.
        unsafe { calls::destroy(self.raw.library.functions().destroy, "in destroy", self.pointer) };
        step("after destroy");
    }
}

/// A call's arguments in memory, ready to be passed any number of times.
pub(crate) struct Prepared {
    arguments: Arguments,
    outputs: Outputs,
    host: *const cpt_host,
    batch: *const cpt_batch,
    scores: *const cpt_scores,
    when: String,
}

impl Prepared {
    pub fn new(samples: &[Sample], call: &Call, layout: &Layout, outputs: usize) -> io::Result<Self> {
        let mut arguments = Arguments::new(layout, call);
        let outputs = Outputs::new(samples.len(), outputs, layout.outputs)?;
        let batch = arguments.batch(samples, call)?;
        let scores = outputs.scores(&mut arguments)?;
        let host = arguments.host()?;
        arguments.seal()?;
        let when = match samples.len() {
            1 => "in score of 1 item".to_owned(),
            n => format!("in score of {n} items"),
        };
        Ok(Self { arguments, outputs, host, batch, scores, when })
    }

    /// What the last call answered, which returned `code`.
    pub fn answers(&self, code: i32) -> Result<Answers, Failure> {
        if code == CPT_OK {
            return Ok(self.outputs.answers(&self.arguments.callbacks));
        }
        let message = format!("{}: {}", self.when, self.arguments.callbacks.take_message());
        Err(Failure { code, message })
    }
}

fn no_memory(error: io::Error) -> Failure {
    Failure { code: CPT_ERROR, message: format!("the validator got no memory: {error}") }
}
