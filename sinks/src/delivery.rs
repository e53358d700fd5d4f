//! Steps on their way to a server, in a thread of their own: a server that is slow or gone costs the run nothing.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use counterpoint::metrics::Metrics;
use counterpoint::{Error, Result};

/// The pause after a step that could not be sent.
const PAUSE: Duration = Duration::from_secs(5);
/// How long the end of a run waits for what is still to be sent.
const PATIENCE: Duration = Duration::from_secs(30);

/// A step that has ended.
pub(crate) struct Step {
    pub(crate) number: u64,
    /// When, in ms since 1970.
    pub(crate) time: u64,
    pub(crate) metrics: Metrics,
}

/// What became of a step, or why not.
pub(crate) enum Sent {
    Taken,
    /// It may be taken later.
    Later(String),
    /// Neither it nor any other will be.
    Never(String),
}

/// Where steps go.
pub(crate) trait Receives: Send + 'static {
    /// What it is called where something is said of it.
    fn name(&self) -> String;

    fn send(&mut self, step: &Step) -> Sent;

    /// The run has ended, with so many steps done.
    fn end(&mut self, done: u64);
}

/// The run's side. Its end waits for what is still to be sent, half a minute at most.
#[derive(Debug)]
pub(crate) struct Delivery {
    /// None once it has ended.
    steps: Option<Sender<Step>>,
    /// Until when the end of the run is waited for.
    until: Arc<OnceLock<Instant>>,
    thread: Option<JoinHandle<()>>,
}

impl Delivery {
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when there can be no further thread.
    pub(crate) fn to(server: impl Receives) -> Result<Self> {
        let (sender, receiver) = channel();
        let until: Arc<OnceLock<Instant>> = Arc::default();
        let (name, last) = (server.name(), Arc::clone(&until));
        let thread = std::thread::Builder::new().name("counterpoint-sink".to_owned());
        let thread = thread.spawn(move || deliver(server, &receiver, &last));
        let thread = thread.map_err(|e| Error::io("cannot start a thread for", Path::new(&name), e))?;
        Ok(Self { steps: Some(sender), until, thread: Some(thread) })
    }

    /// Does not wait for it to arrive.
    pub(crate) fn send(&self, number: u64, metrics: &Metrics) {
        if let Some(steps) = &self.steps {
            // A server that refused for good is not sent to any more.
            let _unwanted = steps.send(Step { number, time: now(), metrics: metrics.clone() });
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.until.get_or_init(|| Instant::now() + PATIENCE);
        self.steps = None;
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// The thread's side.
fn deliver(mut server: impl Receives, steps: &Receiver<Step>, until: &OnceLock<Instant>) {
    let mut done = 0;
    for step in steps {
        done = step.number + 1;
        loop {
            match server.send(&step) {
                Sent::Taken => break,
                Sent::Later(why) if until.get().is_some_and(|until| Instant::now() >= *until) => {
                    let left: Vec<Step> = steps.try_iter().collect();
                    let (name, count) = (server.name(), 1 + left.len());
                    tracing::warn!("{name} did not take the last {count} steps ({why}); metrics.jsonl has them");
                    return server.end(left.last().map_or(done, |step| step.number + 1));
                }
                Sent::Later(why) => {
                    tracing::debug!("{} did not take step {}: {why}; sent again later", server.name(), step.number)
                }
                Sent::Never(why) => {
                    return tracing::warn!("{} refuses the run's metrics ({why}); it gets no more", server.name());
                }
            }
            std::thread::sleep(PAUSE);
        }
    }
    server.end(done);
}

/// Milliseconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
