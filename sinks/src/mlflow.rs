//! A run's metrics on their way to MLflow.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use counterpoint::metrics::Metrics;
use counterpoint::{Error, Event, Observer, Result, file};
use serde::{Deserialize, Serialize};

use crate::tracking::{Called, Status, Tracking, now};

/// The file in a run's folder that says which run of which server it is.
const FILE: &str = "mlflow.json";
/// The pause after a call that may succeed later.
const PAUSE: Duration = Duration::from_secs(5);
/// How long the end of a run waits for what is still to be sent.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends every step of a run to an MLflow server.
///
/// What a server does not take for now is kept and sent with later steps; at the end it is waited for half a minute, and then said to be
/// missing there: `metrics.jsonl` has it all the same. The run is `FINISHED` when its last step is done, and `KILLED` when it ends before.
#[derive(Debug)]
pub struct Mlflow {
    /// None once it has ended.
    steps: Option<Sender<(u64, u64, Metrics)>>,
    thread: Option<JoinHandle<()>>,
}

/// Which run of which server.
#[derive(Serialize, Deserialize)]
struct Place {
    address: String,
    run: String,
}

impl Mlflow {
    /// A run called `name` in `experiment`, of so many `steps`, with `config` as its parameters. In a `folder` that such a run was begun in,
    /// on the same server, that one goes on.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when the server cannot be asked, refuses, or the folder cannot be written.
    pub fn new(
        server: Tracking,
        folder: &Path,
        experiment: &str,
        name: &str,
        config: &toml::Table,
        steps: u64,
    ) -> Result<Self> {
        let path = folder.join(FILE);
        let known = match path.is_file() {
            true => Some(serde_json::from_str::<Place>(&file::text(&path)?))
                .transpose()
                .map_err(|e| Error::data(format!("{}: expected a run of MLflow", path.display())).with_source(e))?,
            false => None,
        };
        let run = match known.filter(|place| place.address == server.address()) {
            Some(place) => {
                server.update(&place.run, Status::Running)?;
                place.run
            }
            None => {
                let run = server.begin(&server.experiment(experiment)?, name)?;
                server.parameters(&run, &flat(config))?;
                let place = Place { address: server.address().to_owned(), run: run.clone() };
                let text = serde_json::to_string_pretty(&place)
                    .map_err(|e| Error::data("cannot write JSON").with_source(e))?;
                file::replace(&path, text.as_bytes())?;
                run
            }
        };
        let (sender, receiver) = channel();
        let work = move || Delivery { server, run, steps, kept: Vec::new(), done: 0 }.until_the_end(&receiver);
        let thread = std::thread::Builder::new().name("counterpoint-mlflow".to_owned()).spawn(work);
        let thread = thread.map_err(|e| Error::io("cannot start a thread for", folder, e))?;
        Ok(Self { steps: Some(sender), thread: Some(thread) })
    }
}

impl Mlflow {
    /// Sends the metrics of a step that has just ended, without waiting for it to arrive.
    pub fn send(&self, step: u64, metrics: &Metrics) {
        if let Some(steps) = &self.steps {
            // A server that refused for good is not sent to any more.
            let _unwanted = steps.send((step, now(), metrics.clone()));
        }
    }
}

impl Observer for Mlflow {
    fn event(&mut self, event: &Event<'_>) -> Result<ControlFlow<()>> {
        if let Event::Step(report) = event {
            self.send(report.step, &report.metrics);
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl Drop for Mlflow {
    fn drop(&mut self) {
        self.steps = None;
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// The thread's side.
struct Delivery {
    server: Tracking,
    run: String,
    /// Steps of the whole run.
    steps: u64,
    /// What is still to be sent.
    kept: Vec<(u64, u64, Metrics)>,
    /// Steps done.
    done: u64,
}

impl Delivery {
    fn until_the_end(mut self, steps: &Receiver<(u64, u64, Metrics)>) {
        loop {
            let wait = if self.kept.is_empty() { Duration::MAX } else { PAUSE };
            match steps.recv_timeout(wait) {
                Ok(step) => self.take(step),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            while let Ok(step) = steps.try_recv() {
                self.take(step);
            }
            if !self.send() {
                return;
            }
        }
        let until = Instant::now() + PATIENCE;
        while !self.kept.is_empty() && Instant::now() < until {
            std::thread::sleep(PAUSE);
            if !self.send() {
                return;
            }
        }
        if !self.kept.is_empty() {
            let count = self.kept.len();
            tracing::warn!(
                "MLflow at {} did not take the last {count} steps; metrics.jsonl has them",
                self.server.address()
            );
        }
        let status = if self.done >= self.steps { Status::Finished } else { Status::Killed };
        if let Err(error) = self.server.update(&self.run, status) {
            tracing::warn!("{error:#}");
        }
    }

    fn take(&mut self, step: (u64, u64, Metrics)) {
        self.done = step.0 + 1;
        self.kept.push(step);
    }

    /// Sends what is kept. Whether it is worth going on.
    fn send(&mut self) -> bool {
        match self.server.metrics(&self.run, &self.kept) {
            Called::Answered(_) => self.kept.clear(),
            Called::Again(why) => tracing::debug!("MLflow at {}: {why}; sent again later", self.server.address()),
            Called::Never(status, why) => {
                let address = self.server.address();
                tracing::warn!(
                    "MLflow at {address} refuses the run's metrics (status {status}: {why}); it gets no more"
                );
                return false;
            }
        }
        true
    }
}

/// Keys and values of `config`, as `trainer.steps` and `30`.
fn flat(config: &toml::Table) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (key, value) in config {
        match value {
            toml::Value::Table(table) => {
                found.extend(flat(table).into_iter().map(|(inner, value)| (format!("{key}.{inner}"), value)));
            }
            toml::Value::String(text) => found.push((key.clone(), text.clone())),
            other => found.push((key.clone(), other.to_string())),
        }
    }
    found
}
