//! Work apart from the steps, such as an evaluation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Progress;

/// Time after which work that is usually short is shown.
const SHOWN: Duration = Duration::from_secs(2);

/// Shows work apart from the steps; made by [`Progress::stage`], over when it is dropped.
#[derive(Debug)]
pub struct Stage {
    progress: Progress,
    name: String,
    done: AtomicU64,
    len: u64,
    started: Instant,
}

/// Work that becomes a [`Stage`] when it takes longer than two seconds; over when it is dropped.
#[derive(Debug)]
pub struct Delay {
    done: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Delay {
    pub(super) fn new(progress: Progress, name: &'static str) -> Self {
        let (done, waits) = channel();
        let show = move || {
            if waits.recv_timeout(SHOWN) == Err(RecvTimeoutError::Timeout) {
                let _shown = progress.stage(name, 0);
                let _until = waits.recv();
            }
        };
        // Without a thread nothing is shown.
        let thread = std::thread::Builder::new().name("progress".to_owned()).spawn(show).ok();
        Self { done: Some(done), thread }
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        drop(self.done.take());
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// How far a stage is.
pub(super) struct StageUpdate<'a> {
    pub(super) name: &'a str,
    /// Items done.
    pub(super) done: u64,
    /// Items in all; 0 when nobody knows.
    pub(super) len: u64,
    /// What it took, once it is over.
    pub(super) took: Option<Duration>,
}

impl Stage {
    pub(super) fn new(progress: Progress, name: &str, len: u64) -> Self {
        let stage = Self { progress, name: name.to_owned(), done: AtomicU64::new(0), len, started: Instant::now() };
        stage.update(0, None);
        stage
    }

    /// One more item is done.
    pub fn inc(&self) {
        self.update(self.done.fetch_add(1, Ordering::Relaxed) + 1, None);
    }

    fn update(&self, done: u64, took: Option<Duration>) {
        self.progress.view().stage(&StageUpdate { name: &self.name, done, len: self.len, took });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.update(self.done.load(Ordering::Relaxed), Some(self.started.elapsed()));
    }
}

impl StageUpdate<'_> {
    /// Whether nothing is done yet.
    pub(super) fn begins(&self) -> bool {
        self.done == 0 && self.took.is_none()
    }

    /// As a line: `before: 31/96`, and what it took once it is over.
    pub(super) fn line(&self) -> String {
        let count = match self.len {
            0 => String::new(),
            len => format!(" {}/{len}", self.done),
        };
        match self.took {
            None => format!("{}:{}", self.name, if count.is_empty() { " ..." } else { &count }),
            Some(took) => format!("{}:{count} done in {:.1} s", self.name, took.as_secs_f64()),
        }
    }
}
