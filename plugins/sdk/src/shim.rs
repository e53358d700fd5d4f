//! The functions of the table, over the experts of one plugin.
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::sync::{Mutex, TryLockError};
use std::time::Duration;

use counterpoint_abi::*;

use crate::description::Output;
use crate::host::{Host, sized};
use crate::panics::catch;
use crate::raw::{Parsed, RawBatch, RawScores, text};
use crate::{Batch, Description, Error, Expert, Score, Setup};

/// A plugin's experts; `export_rewards!` writes it.
pub trait Plugin {
    /// Name of the plugin's crate.
    const NAME: &'static str;
    /// Version of the plugin's crate.
    const VERSION: &'static str;
    /// All of them.
    const EXPERTS: &'static [Entry];
}

/// One expert of a plugin, without its type.
pub struct Entry {
    pub(crate) name: &'static str,
    pub(crate) describe: fn() -> Description,
    create: fn(&Setup<'_>) -> Result<Box<dyn Scorer>, Error>,
}

impl Entry {
    /// The entry of `E`.
    pub const fn of<E: Expert>() -> Self {
        Self { name: E::NAME, describe: E::describe, create: |setup| Ok(Box::new(E::create(setup)?)) }
    }
}

/// An [`Expert`] without its type.
trait Scorer: Send {
    fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error>;
}

impl<E: Expert> Scorer for E {
    fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error> {
        Expert::score(self, batch)
    }
}

/// What `void *instance` points to.
struct Instance {
    outputs: Vec<Output>,
    /// Locked for a call, and poisoned by a panic, as any mutex is.
    scorer: Mutex<Box<dyn Scorer>>,
}

/// How a call ended that did not end well.
enum End {
    Failed(Error),
    Panicked(String),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Tells the host how a call ended.
fn report(host: &Host<'_>, end: Result<(), End>) -> i32 {
    let (code, message) = match end {
        Ok(()) => return CPT_OK,
        Err(End::Failed(error)) => (if error.is_cancelled() { CPT_CANCELLED } else { CPT_ERROR }, error.to_string()),
        Err(End::Panicked(message)) => (CPT_PANIC, message),
    };
    host.fail(CPT_WHOLE_CALL, &message);
    code
}

/// The table's `create`.
///
/// # Safety
/// The arguments are as the header says.
pub unsafe extern "C-unwind" fn create<P: Plugin>(
    host: *const cpt_host,
    setup: *const cpt_setup,
    instance: *mut *mut c_void,
) -> i32 {
    // SAFETY: the header's promise.
    let Ok(host) = (unsafe { Host::new(host) }) else { return CPT_ERROR };
    // SAFETY: the header's promise.
    let made = unsafe { make(P::EXPERTS, host, setup) }.map(|made| {
        // SAFETY: the host has room for a pointer there.
        unsafe { instance.write(Box::into_raw(Box::new(made)).cast()) }
    });
    report(&host, made)
}

/// # Safety
/// As of `create`.
unsafe fn make(experts: &[Entry], host: Host<'_>, setup: *const cpt_setup) -> Result<Instance, End> {
    // SAFETY: the caller's promise.
    let raw = unsafe { sized(setup, CPT_SETUP_SIZE_0, "cpt_setup") }?;
    // SAFETY: the texts are borrowed for the call.
    let [name, settings, base] =
        unsafe { [text(raw.expert, "expert"), text(raw.settings, "settings"), text(raw.base, "base")] }
            .map(|text| text.map_err(Error::new));
    let (name, setup) = (name?, Setup::new(host, settings?, base?)?);
    let entry = experts.iter().find(|e| e.name == name).ok_or_else(|| {
        let known: Vec<&str> = experts.iter().map(|e| e.name).collect();
        Error::new(format!("expected an expert of this plugin, got `{name}` (experts: {})", known.join(", ")))
    })?;
    let made = catch(|| {
        let scorer = (entry.create)(&setup)?;
        setup.check_read()?;
        Ok::<_, Error>(Instance { outputs: (entry.describe)().outputs, scorer: Mutex::new(scorer) })
    });
    Ok(made.map_err(End::Panicked)??)
}

/// The table's `score`.
///
/// # Safety
/// The arguments are as the header says.
pub unsafe extern "C-unwind" fn score(
    instance: *mut c_void,
    host: *const cpt_host,
    batch: *const cpt_batch,
    scores: *const cpt_scores,
) -> i32 {
    // SAFETY: the header's promise.
    let Ok(host) = (unsafe { Host::new(host) }) else { return CPT_ERROR };
    // SAFETY: the header's promise: null, or what `create` made.
    let done = match unsafe { instance.cast::<Instance>().as_ref() } {
        // SAFETY: the header's promise.
        Some(instance) => unsafe { answer(instance, host, batch, scores) },
        None => Err(Error::new("expected an instance, got a null pointer").into()),
    };
    report(&host, done)
}

/// Scores what can be scored. Writes nothing unless the expert answered.
///
/// # Safety
/// As of `score`.
unsafe fn answer(
    instance: &Instance,
    host: Host<'_>,
    batch: *const cpt_batch,
    scores: *const cpt_scores,
) -> Result<(), End> {
    // SAFETY: the caller's promise.
    let raw = unsafe { RawBatch::new(batch) }?;
    // SAFETY: the caller's promise.
    let out = unsafe { RawScores::new(scores, raw.len(), instance.outputs.len()) }?;
    // SAFETY: the caller's promise: all of it is borrowed for the call.
    let Parsed { mut items, references, counts, malformed } = unsafe { raw.parse() };
    let mut rest = references.as_slice();
    for (item, count) in items.iter_mut().zip(counts) {
        (item.references, rest) = rest.split_at(count);
    }

    let deadline = (raw.head.deadline_ns > 0).then(|| Duration::from_nanos(raw.head.deadline_ns));
    let batch = Batch { host, items: &items, seed: raw.head.seed, deadline };
    let answers = with(instance, |scorer| if items.is_empty() { Ok(Vec::new()) } else { scorer.score(&batch) })??;
    if answers.len() != items.len() {
        let message = format!("expected {} scores, one for each item, got {}", items.len(), answers.len());
        return Err(Error::new(message).into());
    }

    let mut malformed = malformed.into_iter().peekable();
    let mut answers = answers.into_iter();
    for i in 0..raw.len() {
        let score = match malformed.next_if(|(number, _)| *number == i) {
            Some((_, reason)) => Score::Fail(reason),
            None => answers.next().map_or_else(|| Score::Fail("no score".to_owned()), |s| check(s, &instance.outputs)),
        };
        let status = match &score {
            Score::Abstain(reason) => {
                host.fail(i as u64, reason);
                CPT_ABSTAIN
            }
            Score::Fail(reason) => {
                host.fail(i as u64, reason);
                CPT_FAIL
            }
            values => {
                // SAFETY: `i` is an item's number, and `check` counted the values.
                unsafe { out.values(i, values.values()) };
                CPT_VALUE
            }
        };
        // SAFETY: `i` is an item's number.
        unsafe { out.status(i, status) }
    }
    Ok(())
}

/// Calls the instance. A panic poisons it: it is never called again.
fn with<T>(instance: &Instance, call: impl FnOnce(&mut dyn Scorer) -> T) -> Result<T, End> {
    // The lock is released within `catch`, so that a panic poisons it.
    let locked = catch(|| match instance.scorer.try_lock() {
        Ok(mut scorer) => Ok(call(scorer.as_mut())),
        Err(TryLockError::Poisoned(_)) => {
            Err(End::Panicked("an earlier call panicked; make another instance".to_owned()))
        }
        Err(TryLockError::WouldBlock) => Err(Error::new("expected one call at a time, got two of one instance").into()),
    });
    locked.map_err(End::Panicked)?
}

/// The score, or the failure in its place when it does not keep what the description says.
fn check(score: Score, outputs: &[Output]) -> Score {
    if matches!(score, Score::Abstain(_) | Score::Fail(_)) {
        return score;
    }
    let values = score.values();
    if values.len() != outputs.len() {
        return Score::Fail(format!("expected {} values, one for each output, got {}", outputs.len(), values.len()));
    }
    match values.iter().zip(outputs).find_map(|(value, output)| output.refuse(*value)) {
        Some(reason) => Score::Fail(reason),
        None => score,
    }
}

/// The table's `destroy`.
///
/// # Safety
/// `instance` is null or what `create` made, and is not used afterwards.
pub unsafe extern "C-unwind" fn destroy(instance: *mut c_void) {
    if !instance.is_null() {
        // SAFETY: `create` made it with `Box::into_raw`.
        let instance = unsafe { Box::from_raw(instance.cast::<Instance>()) };
        // There is no host to tell; the panic's hook wrote it to standard error.
        let _ = catch(|| drop(instance));
    }
}
