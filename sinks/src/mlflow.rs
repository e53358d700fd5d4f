//! A run's metrics on their way to MLflow.

use std::ops::ControlFlow;
use std::path::Path;

use counterpoint::metrics::Metrics;
use counterpoint::{Error, Event, Observer, Result, file};
use serde::{Deserialize, Serialize};

use crate::delivery::{Delivery, Receives, Sent, Step};
use crate::tracking::{Called, Status, Tracking};

/// The file in a run's folder that says which run of which server it is.
const FILE: &str = "mlflow.json";

/// Sends every step of a run to an MLflow server.
///
/// What a server does not take for now is sent again later; at the end it is waited for half a minute, and then said to be missing there:
/// `metrics.jsonl` has it all the same. The run is `FINISHED` when its last step is done, and `KILLED` when it ends before.
#[derive(Debug)]
pub struct Mlflow(Delivery);

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
        Delivery::to(Run { server, run, steps }).map(Self)
    }

    /// Sends the metrics of a step that has just ended, without waiting for it to arrive.
    pub fn send(&self, step: u64, metrics: &Metrics) {
        self.0.send(step, metrics);
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

/// A run of a server.
struct Run {
    server: Tracking,
    run: String,
    /// Steps of the whole run.
    steps: u64,
}

impl Receives for Run {
    fn name(&self) -> String {
        format!("MLflow at {}", self.server.address())
    }

    fn send(&mut self, step: &Step) -> Sent {
        match self.server.metrics(&self.run, step) {
            Called::Answered(_) => Sent::Taken,
            Called::Again(why) => Sent::Later(why),
            Called::Never(status, why) => Sent::Never(format!("status {status}: {why}")),
        }
    }

    fn end(&mut self, done: u64) {
        let status = if done >= self.steps { Status::Finished } else { Status::Killed };
        if let Err(error) = self.server.update(&self.run, status) {
            tracing::warn!("{error:#}");
        }
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
