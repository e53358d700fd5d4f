//! MLflow's REST interface, the part that a run needs.

use std::fmt;
use std::time::Duration;

use counterpoint::{Error, Result};
use serde_json::{Value, json};
use ureq::http::Response;
use ureq::{Agent, Body, RequestBuilder};

use crate::delivery::{Step, now};

/// How long a call may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Metrics of one call at most, and parameters: MLflow's own limits.
const METRICS: usize = 1000;
const PARAMETERS: usize = 100;
/// Characters of a parameter at most.
const LONGEST: usize = 6000;

/// How a run is going, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It goes on.
    Running,
    /// All of its steps are done.
    Finished,
    /// It was stopped, or failed, before.
    Killed,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Killed => "KILLED",
        }
    }
}

/// A tracking server.
pub struct Tracking {
    agent: Agent,
    address: String,
    token: Option<String>,
}

/// What a call was answered with.
pub(crate) enum Called {
    Answered(Value),
    /// It may be answered later.
    Again(String),
    /// It will not.
    Never(u16, String),
}

impl Tracking {
    /// The server at `address`, such as `http://localhost:5000`; `token` is sent as a bearer token. Nothing is called yet.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when this is no address of a server.
    pub fn at(address: &str, token: Option<String>) -> Result<Self> {
        if !(address.starts_with("http://") || address.starts_with("https://")) {
            let message = format!("MLFLOW_TRACKING_URI: expected http://HOST or https://HOST, got `{address}`");
            return Err(Error::config(message));
        }
        let agent = Agent::config_builder().timeout_global(Some(TIMEOUT)).http_status_as_error(false).build();
        Ok(Self { agent: agent.into(), address: address.trim_end_matches('/').to_owned(), token })
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The experiment `name`, which is made if there is none.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when the server cannot be asked or refuses.
    pub fn experiment(&self, name: &str) -> Result<String> {
        let known = self.agent.get(self.url("experiments/get-by-name")).query("experiment_name", name);
        match answered(self.known(known).call()) {
            Called::Answered(found) => text(&found["experiment"]["experiment_id"]),
            Called::Never(404, _) => text(&self.ask("experiments/create", &json!({ "name": name }))?["experiment_id"]),
            other => Err(self.refused("experiments/get-by-name", other)),
        }
    }

    /// A new run called `name`.
    ///
    /// # Errors
    /// As [`experiment`](Self::experiment).
    pub fn begin(&self, experiment: &str, name: &str) -> Result<String> {
        let body = json!({ "experiment_id": experiment, "run_name": name, "start_time": now() });
        text(&self.ask("runs/create", &body)?["run"]["info"]["run_id"])
    }

    /// Says how a run is going.
    ///
    /// # Errors
    /// As [`experiment`](Self::experiment).
    pub fn update(&self, run: &str, status: Status) -> Result<()> {
        let mut body = json!({ "run_id": run, "status": status.name() });
        if status != Status::Running {
            body["end_time"] = now().into();
        }
        self.ask("runs/update", &body).map(drop)
    }

    /// Sends a run's parameters; a text that is longer than MLflow takes is cut.
    ///
    /// # Errors
    /// As [`experiment`](Self::experiment).
    pub fn parameters(&self, run: &str, parameters: &[(String, String)]) -> Result<()> {
        for some in parameters.chunks(PARAMETERS) {
            let one = |(key, value): &(String, String)| {
                let value: String = value.chars().take(LONGEST).collect();
                json!({ "key": named(key), "value": value })
            };
            let params: Vec<Value> = some.iter().map(one).collect();
            self.ask("runs/log-batch", &json!({ "run_id": run, "params": params }))?;
        }
        Ok(())
    }

    /// Sends the metrics of a step.
    pub(crate) fn metrics(&self, run: &str, step: &Step) -> Called {
        let one = |(key, value): (&str, f64)| {
            let (key, value) = (named(key), number(value));
            json!({ "key": key, "value": value, "timestamp": step.time, "step": step.number })
        };
        let all: Vec<Value> = step.metrics.iter().map(one).collect();
        for some in all.chunks(METRICS) {
            match self.call("runs/log-batch", &json!({ "run_id": run, "metrics": some })) {
                Called::Answered(_) => {}
                other => return other,
            }
        }
        Called::Answered(Value::Null)
    }

    fn ask(&self, what: &str, body: &Value) -> Result<Value> {
        match self.call(what, body) {
            Called::Answered(answer) => Ok(answer),
            other => Err(self.refused(what, other)),
        }
    }

    fn refused(&self, what: &str, called: Called) -> Error {
        let why = match called {
            Called::Never(status, why) => format!("status {status}: {why}"),
            Called::Again(why) => why,
            Called::Answered(answer) => format!("an answer without what was asked for: {answer}"),
        };
        let source = std::io::Error::other(why);
        Error::io("MLflow cannot be asked", std::path::Path::new(&format!("{}, {what}", self.address)), source)
    }

    fn call(&self, what: &str, body: &Value) -> Called {
        let request = self.known(self.agent.post(self.url(what))).content_type("application/json");
        answered(request.send(body.to_string()))
    }

    fn url(&self, what: &str) -> String {
        format!("{}/api/2.0/mlflow/{what}", self.address)
    }

    /// `request` with who asks.
    fn known<B>(&self, request: RequestBuilder<B>) -> RequestBuilder<B> {
        match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }
}

fn answered(response: std::result::Result<Response<Body>, ureq::Error>) -> Called {
    let read =
        response.and_then(|mut response| Ok((response.status().as_u16(), response.body_mut().read_to_string()?)));
    match read {
        Ok((200, text)) => Called::Answered(serde_json::from_str(&text).unwrap_or_default()),
        Ok((status @ (408 | 425 | 429 | 500..), _)) => Called::Again(format!("status {status}")),
        Ok((status, text)) => Called::Never(status, text.chars().take(300).collect()),
        Err(e) => Called::Again(e.to_string()),
    }
}

/// Without the token.
impl fmt::Debug for Tracking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tracking").field("address", &self.address).finish_non_exhaustive()
    }
}

/// What JSON has no number for is a word, as in protobuf's JSON.
fn number(value: f64) -> Value {
    match value {
        value if value.is_finite() => value.into(),
        value if value.is_nan() => "NaN".into(),
        value => if value > 0.0 { "Infinity" } else { "-Infinity" }.into(),
    }
}

/// `name` with the letters that MLflow takes.
fn named(name: &str) -> String {
    let taken = |c: char| if c.is_ascii_alphanumeric() || " _-./:".contains(c) { c } else { '_' };
    name.chars().map(taken).collect()
}

fn text(value: &Value) -> Result<String> {
    let expected = || Error::data(format!("MLflow: expected an id, got {value}"));
    value.as_str().map(str::to_owned).ok_or_else(expected)
}
