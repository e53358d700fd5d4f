//! The thread that computes rewards while the rollouts' own goes on with the next rollout.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};

use crate::{Error, ErrorKind, Result};

type Job = Box<dyn FnOnce() + Send>;

/// One thread for all rewards, from the first that overlap on. It is the same one all along, for a GPU's
/// memory is pooled by thread: a thread for each group would leave a pool behind each.
pub(super) struct RewardThread {
    /// `None` once it ends.
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
}

/// A job on its way.
pub(super) struct Running<T>(Receiver<std::thread::Result<T>>);

impl RewardThread {
    pub(super) fn start() -> Result<Self> {
        let (jobs, todo) = channel::<Job>();
        let work = move || todo.into_iter().for_each(|job| job());
        let thread = Builder::new().name("rewards".to_owned()).spawn(work);
        let thread =
            thread.map_err(|e| Error::new(ErrorKind::Io, "cannot start a thread for rewards").with_source(e))?;
        Ok(Self { jobs: Some(jobs), thread: Some(thread) })
    }

    /// Begins `job`, once those before it are done. What it logs goes where this thread's logs go.
    pub(super) fn run<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Running<T> {
        let (tell, told) = channel();
        let log = tracing::dispatcher::get_default(Clone::clone);
        let job = move || {
            let result = tracing::dispatcher::with_default(&log, || catch_unwind(AssertUnwindSafe(job)));
            // Nobody listens any more when the thread that rolls out has panicked.
            tell.send(result).ok();
        };
        if let Some(jobs) = &self.jobs {
            // The thread ends with `self`.
            jobs.send(Box::new(job)).ok();
        }
        Running(told)
    }
}

impl<T> Running<T> {
    /// What came of it; `Err` is the payload of its panic.
    pub(super) fn wait(self) -> Result<std::thread::Result<T>> {
        self.0.recv().map_err(|_| Error::contract("the thread for rewards has ended before the rollouts"))
    }
}

impl Drop for RewardThread {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // It catches every panic of a job.
            thread.join().ok();
        }
    }
}
