//! An expert of a loaded library: its instances, in turn or side by side.

use std::sync::Arc;
use std::thread;
use std::time::Instant;

use crate::instance::{Instance, Plan, Setup};
use crate::{Call, Error, ErrorKind, Expert, ExpertManifest, Item, Library, Result, Scores, Statistics};

/// An expert whose code runs in this process, on the caller's thread; a call copies nothing.
///
/// At its deadline a plugin is told to stop, and a later answer is refused. One that does not listen is waited for: nothing in this
/// process can end it. Who must not wait for ever has the expert in a child process, which can be killed.
pub struct Loaded {
    plan: Arc<Plan>,
    /// `None` where an instance broke and its place is not yet filled.
    instances: Vec<Option<Instance>>,
    statistics: Statistics,
}

impl Loaded {
    /// Makes `instances` instances of an expert of `library`, 1 or more, among which a batch is divided, as an expert that works on one
    /// core leaves the others idle. More than one needs a plugin that says that its calls may overlap and that scores do not depend on
    /// the batch.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for an expert that is not there, settings that are no object, or more instances than the plugin
    /// allows; [`ErrorKind::Create`] with what the plugin said.
    pub fn create(library: &'static Library, setup: &Setup<'_>, instances: usize) -> Result<Self> {
        let plan = Arc::new(Plan::new(library, setup)?);
        if instances == 0 {
            return Err(Error::new(ErrorKind::Config, "instances: expected 1 or more, got 0"));
        }
        if instances > 1 && !(library.is_concurrent() && library.is_batch_invariant()) {
            let message = format!(
                "instances: expected 1 for {}, which does not promise that its calls may overlap and that scores do not depend \
                 on the batch, got {instances}",
                library.path().display(),
            );
            return Err(Error::new(ErrorKind::Config, message));
        }
        let instances = (0..instances).map(|_| plan.create().map(Some)).collect::<Result<_>>()?;
        Ok(Self { plan, instances, statistics: Statistics::default() })
    }

    fn call(&mut self, items: &[Item<'_>], call: &Call<'_>) -> Result<Scores> {
        for place in &mut self.instances {
            if place.is_none() {
                *place = Some(self.plan.create()?);
                self.statistics.replaced += 1;
            }
        }
        let count = self.instances.len().min(items.len());
        if count <= 1 {
            return one(&mut self.instances[0], items, call);
        }
        let outputs = self.plan.manifest.outputs.len();
        let parts = self.instances.iter_mut().zip(items.chunks(items.len().div_ceil(count)));
        let parts: Vec<Result<Scores>> = thread::scope(|scope| {
            let threads: Vec<_> = parts.map(|(place, items)| scope.spawn(move || one(place, items, call))).collect();
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
fn one(place: &mut Option<Instance>, items: &[Item<'_>], call: &Call<'_>) -> Result<Scores> {
    let Some(instance) = place else {
        return Err(Error::new(ErrorKind::Call, "expected an instance to call, got none"));
    };
    let result = instance.score(items, call);
    if instance.poisoned {
        *place = None;
    }
    result
}
