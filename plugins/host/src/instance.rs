//! One instance of an expert: made, called, freed.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::mem::size_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use counterpoint_abi::{
    CPT_CANCELLED, CPT_ERROR, CPT_OK, CPT_PANIC, cpt_batch, cpt_image, cpt_item, cpt_scores, cpt_setup, cpt_str,
};

use crate::context::Context;
use crate::marshal::Arrays;
use crate::output::Output;
use crate::{Call, Error, ErrorKind, ExpertManifest, Item, Library, Result, Scores, fp_mode};

const CHANGED_MODE: &str = "it changed the floating-point mode of its thread, which was put back";

/// What an instance is made from.
#[derive(Debug, Clone, Copy)]
pub struct Setup<'a> {
    /// Which of the manifest's experts.
    pub expert: &'a str,
    /// Its settings: an object.
    pub settings: &'a serde_json::Value,
    /// Folder that relative paths in the settings are relative to.
    pub base: &'a Path,
}

/// The same, owned: a broken instance is replaced by a new one.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) library: &'static Library,
    pub(crate) manifest: ExpertManifest,
    settings: String,
    base: PathBuf,
}

/// An instance. It may move to another thread between calls.
pub(crate) struct Instance {
    plan: Arc<Plan>,
    state: *mut c_void,
    /// Not to be called again.
    pub(crate) poisoned: bool,
    arrays: Arrays,
    output: Output,
}

// SAFETY: the interface says that create, score and destroy may be called from different threads, one at a time; the arrays
// point only to what a call lends, and are filled anew by each.
unsafe impl Send for Instance {}

impl Plan {
    pub(crate) fn new(library: &'static Library, setup: &Setup<'_>) -> Result<Self> {
        let manifest = library.manifest().expert(setup.expert).map_err(|e| e.at(library.path().display()))?.clone();
        if !setup.settings.is_object() {
            let message =
                format!("expert `{}`: expected its settings as an object, got {}", setup.expert, setup.settings);
            return Err(Error::new(ErrorKind::Config, message));
        }
        Ok(Self { library, manifest, settings: setup.settings.to_string(), base: setup.base.to_owned() })
    }

    /// Where it is, for errors.
    fn place(&self) -> String {
        format!("expert `{}` of {}", self.manifest.name, self.library.path().display())
    }

    /// Makes an instance.
    ///
    /// # Errors
    /// [`ErrorKind::Create`] with what the plugin said.
    pub(crate) fn create(self: &Arc<Self>) -> Result<Instance> {
        let refused = |message: String| Error::new(ErrorKind::Create, format!("{}: {message}", self.place()));
        let base =
            self.base.to_str().ok_or_else(|| refused(format!("{}: expected a path in UTF-8", self.base.display())))?;
        let context = Context::new(&self.manifest.name, 0, None, None);
        let host = context.host();
        let setup = cpt_setup {
            struct_size: size_of::<cpt_setup>() as u32,
            reserved: 0,
            expert: cpt_str::of(&self.manifest.name),
            settings: cpt_str::of(&self.settings),
            base: cpt_str::of(base),
        };
        let mut state = std::ptr::null_mut();
        let create = self.library.functions.create;
        let turn = self.library.turn();
        // SAFETY: everything lent lives until the call returns.
        let (code, changed) = keep_fp_mode(|| unsafe { create(&raw const host, &raw const setup, &raw mut state) });
        // To free an instance that is refused takes a turn of its own.
        drop(turn);
        let mut messages = context.messages();
        match code {
            CPT_OK if state.is_null() => Err(refused("expected an instance, got a null pointer".to_owned())),
            CPT_OK => {
                let (arrays, output) = (Arrays::default(), Output::default());
                let made = Instance { plan: Arc::clone(self), state, poisoned: false, arrays, output };
                if changed { Err(refused(CHANGED_MODE.to_owned())) } else { Ok(made) }
            }
            CPT_PANIC => Err(refused(format!("it panicked while it was made: {}", messages.whole()))),
            CPT_ERROR => Err(refused(messages.whole())),
            other => Err(refused(format!("expected create to return 0, 1 or 2, got {other}"))),
        }
    }
}

impl Instance {
    /// Scores `items`. After a panic, a breach or an unknown code the instance is poisoned.
    pub(crate) fn score(&mut self, items: &[Item<'_>], call: &Call<'_>) -> Result<Scores> {
        let &Call { seed, deadline, cancel } = call;
        let plan = Arc::clone(&self.plan);
        let _turn = plan.library.turn();
        let outputs = plan.manifest.outputs.len();
        let context = Context::new(
            &plan.manifest.name,
            items.len(),
            deadline.and_then(|d| Instant::now().checked_add(d)),
            cancel,
        );
        let host = context.host();
        let array = self.arrays.fill(items);
        let batch = cpt_batch {
            struct_size: size_of::<cpt_batch>() as u32,
            item_stride: size_of::<cpt_item>() as u32,
            image_stride: size_of::<cpt_image>() as u32,
            reserved: 0,
            items: array.as_ptr(),
            n_items: array.len() as u64,
            seed,
            deadline_ns: deadline.map_or(0, |d| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX).max(1)),
        };
        let (values, status) = self.output.prepare(items.len(), outputs);
        let scores =
            cpt_scores { struct_size: size_of::<cpt_scores>() as u32, n_outputs: outputs as u32, values, status };
        let (score, state) = (plan.library.functions.score, self.state);
        // SAFETY: `state` is an instance of this library and in no other call; everything lent lives until it returns.
        let (code, changed) =
            keep_fp_mode(|| unsafe { score(state, &raw const host, &raw const batch, &raw const scores) });
        self.poisoned |= changed || !matches!(code, CPT_OK | CPT_ERROR | CPT_CANCELLED);

        let mut messages = context.messages();
        let error = |kind, message: String| Err(Error::new(kind, format!("{}: {message}", plan.place())));
        if let Some(buffer) = self.output.breach() {
            self.poisoned = true;
            return error(ErrorKind::Contract, format!("it wrote outside of `{buffer}`, of {} items", items.len()));
        }
        if changed {
            return error(ErrorKind::Contract, CHANGED_MODE.to_owned());
        }
        if context.is_late() && !self.poisoned {
            let limit = deadline.unwrap_or_default();
            return error(ErrorKind::Deadline, format!("expected an answer within {limit:?}, got none in time"));
        }
        match code {
            CPT_OK => {
                let mut scores = self.output.scores(outputs, &mut messages);
                scores.check(&plan.manifest);
                Ok(scores)
            }
            CPT_ERROR => error(ErrorKind::Call, format!("the call failed: {}", messages.whole())),
            CPT_CANCELLED if context.is_cancelled() => error(ErrorKind::Cancelled, "the call was stopped".to_owned()),
            CPT_CANCELLED => error(ErrorKind::Contract, "it says that it was cancelled and was not".to_owned()),
            CPT_PANIC => error(ErrorKind::Panic, format!("it panicked: {}", messages.whole())),
            other => error(ErrorKind::Contract, format!("expected score to return 0, 1, 2 or 3, got {other}")),
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let (destroy, state) = (self.plan.library.functions.destroy, self.state);
        let _turn = self.plan.library.turn();
        // SAFETY: `state` is an instance of this library, not used after this.
        keep_fp_mode(|| unsafe { destroy(state) });
    }
}

/// What `call` returns, and whether it left another floating-point mode behind, which is put back.
fn keep_fp_mode<T>(call: impl FnOnce() -> T) -> (T, bool) {
    let mode = fp_mode::get();
    // A C++ exception ends the process here; so does a panic, in the one case that the plugin shares this program's runtime.
    let Ok(returned) = catch_unwind(AssertUnwindSafe(call)) else { std::process::abort() };
    let changed = fp_mode::get() != mode;
    if changed {
        fp_mode::set(mode);
    }
    (returned, changed)
}
