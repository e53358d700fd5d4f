//! An expert of a loaded library: its instances, in turn or side by side.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::gate::Pass;
use crate::instance::{Instance, Plan, Setup};
use crate::owned::OwnedItem;
use crate::{Call, Error, ErrorKind, Expert, ExpertManifest, Item, Library, Result, Scores, Statistics};

/// How often a call with a deadline looks whether it was asked to stop.
const POLL: Duration = Duration::from_millis(10);

/// How a loaded expert is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Instances among which a batch is divided, 1 or more. More than one needs a plugin that says that its calls may overlap and
    /// that scores do not depend on the batch. Default: 1.
    pub instances: usize,
    /// How long a call that is past its deadline may take to notice, before it is given up; `None` waits for it, whatever it
    /// takes. Default: 1 s.
    pub grace: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self { instances: 1, grace: Some(Duration::from_secs(1)) }
    }
}

/// An expert whose code runs in this process.
///
/// A call without a deadline runs on the caller's thread and copies nothing. A call with one that may be given up runs on a thread
/// of its own, over a copy of the items: the plugin is told to stop at the deadline, and when it has not after
/// [`Options::grace`] it is left behind with its thread, its instance and its copy. It cannot be killed here; in a child process it
/// can. A deadline is that of a call: an instance is made and freed without one.
pub struct Loaded {
    plan: Arc<Plan>,
    /// `None` where an instance was given up and its place is not yet filled.
    instances: Vec<Option<Instance>>,
    options: Options,
    statistics: Statistics,
}

impl Loaded {
    /// Makes the instances of an expert of `library`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for an expert that is not there, settings that are no object, or more instances than the plugin
    /// allows; [`ErrorKind::Create`] with what the plugin said.
    pub fn create(library: &'static Library, setup: &Setup<'_>, options: &Options) -> Result<Self> {
        let plan = Arc::new(Plan::new(library, setup)?);
        if options.instances == 0 {
            return Err(Error::new(ErrorKind::Config, "instances: expected 1 or more, got 0"));
        }
        if options.instances > 1 && !(library.is_concurrent() && library.is_batch_invariant()) {
            let message = format!(
                "instances: expected 1 for {}, which does not promise that its calls may overlap and that scores do not depend \
                 on the batch, got {}",
                library.path().display(),
                options.instances
            );
            return Err(Error::new(ErrorKind::Config, message));
        }
        let instances = (0..options.instances).map(|_| plan.create().map(Some)).collect::<Result<_>>()?;
        Ok(Self { plan, instances, options: *options, statistics: Statistics::default() })
    }

    fn call(&mut self, items: &[Item<'_>], call: &Call<'_>) -> Result<Scores> {
        for place in &mut self.instances {
            if place.is_none() {
                *place = Some(self.plan.create()?);
                self.statistics.replaced += 1;
            }
        }
        let count = self.instances.len().min(items.len()).max(1);
        let grace = self.options.grace;
        let outputs = self.plan.manifest.outputs.len();
        let mut parts = self.instances.iter_mut().zip(items.chunks(items.len().div_ceil(count).max(1)));
        if count == 1 {
            return match parts.next() {
                Some((place, items)) => one(place, items, call, grace),
                None => one(&mut self.instances[0], items, call, grace),
            };
        }
        let parts: Vec<Result<Scores>> = thread::scope(|scope| {
            let threads: Vec<_> =
                parts.map(|(place, items)| scope.spawn(move || one(place, items, call, grace))).collect();
            let lost = || Err(Error::new(ErrorKind::Call, "a thread of the host ended early"));
            threads.into_iter().map(|t| t.join().unwrap_or_else(|_| lost())).collect()
        });
        let mut all = Scores { outputs, values: Vec::new(), states: Vec::new() };
        for part in parts {
            let part = part?;
            all.values.extend(part.values);
            all.states.extend(part.states);
        }
        Ok(all)
    }
}

impl Expert for Loaded {
    fn manifest(&self) -> &ExpertManifest {
        &self.plan.manifest
    }

    fn score(&mut self, items: &[Item<'_>], call: &Call<'_>) -> Result<Scores> {
        let started = Instant::now();
        let result = self.call(items, call);
        self.statistics.count(items.len(), started.elapsed(), &result);
        result
    }

    fn statistics(&self) -> Statistics {
        self.statistics
    }
}

/// Calls the instance in `place`, which is empty afterwards if the instance is not to be called again.
fn one(place: &mut Option<Instance>, items: &[Item<'_>], call: &Call<'_>, grace: Option<Duration>) -> Result<Scores> {
    let result = match (place.as_mut(), call.deadline, grace) {
        (None, _, _) => return Err(no_instance()),
        (Some(_), Some(deadline), Some(grace)) => with_deadline(place, items, call, deadline, grace),
        (Some(instance), deadline, _) => {
            let _pass = instance.library().pass(None)?;
            instance.score(items, call.seed, deadline, call.cancel)
        }
    };
    if place.as_ref().is_some_and(|instance| instance.poisoned) {
        *place = None;
    }
    result
}

/// The call on a thread of its own. If that does not come back in time, it keeps the instance.
fn with_deadline(
    place: &mut Option<Instance>,
    items: &[Item<'_>],
    call: &Call<'_>,
    deadline: Duration,
    grace: Duration,
) -> Result<Scores> {
    let started = Instant::now();
    let limit = deadline.saturating_add(grace);
    let Some(library) = place.as_ref().map(Instance::library) else { return Err(no_instance()) };
    let pass = library.pass(started.checked_add(deadline))?;
    let number = pass.as_ref().map(Pass::number);
    // Waiting for others is part of it.
    let left = pass.as_ref().map_or(deadline, |pass| deadline.saturating_sub(pass.waited()));
    let Some(instance) = place.take() else { return Err(no_instance()) };
    let mut held = Held { pass, instance };
    let (items, seed): (Vec<OwnedItem>, u64) = (items.iter().map(OwnedItem::of).collect(), call.seed);
    let stop = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&stop);
    let (sender, receiver) = mpsc::sync_channel(1);
    let work = move || {
        let borrowed: Result<Vec<Item<'_>>> = items.iter().map(OwnedItem::borrow).collect();
        let result = borrowed.and_then(|items| held.call(&items, seed, left, &asked));
        let Held { pass, instance } = held;
        drop(pass);
        // Where nobody waits any more, the instance is freed here.
        let _ = sender.send((instance, result));
    };
    let no_thread = |e| Error::new(ErrorKind::Call, "cannot start a thread for a call").with_source(e);
    thread::Builder::new().name("counterpoint-plugin".to_owned()).spawn(work).map_err(no_thread)?;
    loop {
        let left = limit.saturating_sub(started.elapsed());
        match receiver.recv_timeout(left.min(POLL)) {
            Ok((instance, result)) => {
                *place = Some(instance);
                return result;
            }
            Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                number.into_iter().for_each(|number| library.give_up(number));
                let message = format!(
                    "{}: expected an answer within {deadline:?}, got none {grace:?} after it was told to stop; the call was given \
                     up and still runs on its thread: run the plugin in a child process (isolation = \"process\"), where it can \
                     be killed",
                    library.path().display()
                );
                return Err(Error::new(ErrorKind::Deadline, message));
            }
            Err(RecvTimeoutError::Timeout) => {
                if call.cancel.is_some_and(|c| c.load(Ordering::Relaxed)) {
                    stop.store(true, Ordering::Relaxed);
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::new(ErrorKind::Call, "the thread of a call ended without an answer"));
            }
        }
    }
}

/// An instance on its way to another thread. The pass goes first: to free an instance needs one of its own.
struct Held {
    pass: Option<Pass>,
    instance: Instance,
}

impl Held {
    fn call(&mut self, items: &[Item<'_>], seed: u64, deadline: Duration, cancel: &AtomicBool) -> Result<Scores> {
        self.instance.score(items, seed, Some(deadline), Some(cancel))
    }
}

fn no_instance() -> Error {
    Error::new(ErrorKind::Call, "expected an instance to call, got none")
}
