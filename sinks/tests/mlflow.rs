//! What is sent to an MLflow server, to one of the tests' own, and what becomes of it when the server is busy, gone or refuses.
#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use counterpoint::ErrorKind;
use counterpoint::metrics::Metrics;
use counterpoint_sinks::{Mlflow, Tracking};
use serde_json::{Value, json};

type Asked = (String, Value);

/// Answers as MLflow does; the first calls of a path with the statuses that are planned for it.
struct Server {
    address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    fn start(planned: &[(&'static str, u16)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (seen, mut planned) = (Arc::clone(&asked), planned.to_vec());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let (what, body) = read(&stream);
                let known = seen.lock().unwrap().iter().any(|(asked, _)| asked == "experiments/create");
                let next = planned.iter().position(|(path, _)| *path == what);
                let status = next.map(|at| planned.remove(at).1).unwrap_or(200);
                let (status, answer) = match (what.split('?').next().unwrap(), status) {
                    ("experiments/get-by-name", 200) if !known => {
                        (404, json!({ "error_code": "RESOURCE_DOES_NOT_EXIST" }))
                    }
                    ("experiments/get-by-name", 200) => (200, json!({ "experiment": { "experiment_id": "7" } })),
                    ("experiments/create", 200) => (200, json!({ "experiment_id": "7" })),
                    ("runs/create", 200) => (200, json!({ "run": { "info": { "run_id": "abc" } } })),
                    (_, status) => (status, json!({})),
                };
                seen.lock().unwrap().push((what, body));
                write(stream, status, &answer.to_string());
            }
        });
        Self { address, asked }
    }

    fn tracking(&self) -> Tracking {
        Tracking::at(&self.address, Some("a secret".to_owned())).unwrap()
    }

    fn asked(&self, what: &str) -> Vec<Value> {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|(path, _)| path.starts_with(what)).map(|(_, body)| body.clone()).collect()
    }

    /// Key, value and step of every metric that was taken.
    fn metrics(&self) -> Vec<(String, Value, u64)> {
        let batches = self.asked("runs/log-batch").into_iter().filter_map(|body| body["metrics"].as_array().cloned());
        let one = |metric: Value| {
            (metric["key"].as_str().unwrap().to_owned(), metric["value"].clone(), metric["step"].as_u64().unwrap())
        };
        batches.flatten().map(one).collect()
    }
}

/// The path after the interface's own, and the body.
fn read(stream: &TcpStream) -> Asked {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    let path = line.split(' ').nth(1).unwrap().trim_start_matches("/api/2.0/mlflow/").to_owned();
    let (mut length, mut token) = (0, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let header = header.trim().to_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        token |= header == "authorization: bearer a secret";
    }
    assert!(token, "{path}: expected the token");
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (path, serde_json::from_slice(&body).unwrap_or_default())
}

fn write(mut stream: TcpStream, status: u16, body: &str) {
    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _gone = stream.write_all((head + body).as_bytes());
}

fn step(number: u64) -> Metrics {
    let mut metrics = Metrics::new();
    metrics.insert("reward", number as f64 / 4.0);
    metrics.insert("rewards/tier/mean", f64::NAN);
    metrics
}

fn config() -> toml::Table {
    "seed = 3\n[trainer]\nsteps = 3\n[run]\nname = 'mine'".parse().unwrap()
}

fn begun(server: &Server, folder: &std::path::Path) -> Mlflow {
    Mlflow::new(server.tracking(), folder, "counterpoint", "mine", &config(), 3).unwrap()
}

#[test]
fn a_run_is_made_with_its_config_and_every_step_arrives() {
    let (server, folder) = (Server::start(&[]), tempfile::tempdir().unwrap());
    let run = begun(&server, folder.path());
    (0..3).for_each(|number| run.send(number, &step(number)));
    drop(run);

    assert_eq!(server.asked("experiments/create"), [json!({ "name": "counterpoint" })]);
    assert_eq!(server.asked("experiments/get-by-name?experiment_name=counterpoint").len(), 1);
    assert_eq!(server.asked("runs/create")[0]["run_name"], "mine");
    let parameters = &server.asked("runs/log-batch")[0]["params"];
    let expected = json!([
        { "key": "seed", "value": "3" },
        { "key": "trainer.steps", "value": "3" },
        { "key": "run.name", "value": "mine" },
    ]);
    let sorted = |value: &Value| {
        let mut all: Vec<String> = value.as_array().unwrap().iter().map(Value::to_string).collect();
        all.sort();
        all
    };
    assert_eq!(sorted(parameters), sorted(&expected));
    let expected = (0..3).flat_map(|n| {
        [("reward".to_owned(), json!(n as f64 / 4.0), n), ("rewards/tier/mean".to_owned(), json!("NaN"), n)]
    });
    assert_eq!(server.metrics(), expected.collect::<Vec<_>>());
    let ended = server.asked("runs/update");
    assert_eq!((ended.len(), &ended[0]["status"]), (1, &json!("FINISHED")));
    assert!(ended[0]["end_time"].as_u64().unwrap() > 1_700_000_000_000, "milliseconds");
}

#[test]
fn a_run_that_ends_early_was_killed_and_goes_on_as_the_same_run() {
    let (server, folder) = (Server::start(&[]), tempfile::tempdir().unwrap());
    let run = begun(&server, folder.path());
    run.send(0, &step(0));
    drop(run);
    let run = begun(&server, folder.path());
    (1..3).for_each(|number| run.send(number, &step(number)));
    drop(run);
    let statuses: Vec<Value> = server.asked("runs/update").into_iter().map(|update| update["status"].clone()).collect();
    assert_eq!(statuses, ["KILLED", "RUNNING", "FINISHED"]);
    assert_eq!(server.asked("runs/create").len(), 1);
    // Another server knows nothing of it.
    let other = Server::start(&[]);
    drop(begun(&other, folder.path()));
    assert_eq!(other.asked("runs/create").len(), 1);
}

#[test]
fn a_busy_server_gets_it_later_and_one_that_refuses_gets_no_more() {
    // Its parameters go through; then it is busy, and then it refuses.
    let refusing = Server::start(&[("runs/log-batch", 200), ("runs/log-batch", 503), ("runs/log-batch", 400)]);
    let folder = tempfile::tempdir().unwrap();
    let run = begun(&refusing, folder.path());
    let started = Instant::now();
    run.send(0, &step(0));
    run.send(1, &step(1));
    assert!(started.elapsed() < Duration::from_millis(100), "nobody waits for a server");
    drop(run);
    // 503 is tried again, 400 is not.
    assert_eq!(refusing.asked("runs/log-batch").len(), 3);
}

#[test]
fn a_server_that_is_not_there_is_said_at_the_beginning() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let tracking = Tracking::at(&format!("http://{free}"), None).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let error = Mlflow::new(tracking, folder.path(), "a", "b", &config(), 3).unwrap_err();
    assert!(error.kind() == ErrorKind::Io && format!("{error:#}").contains(&free.to_string()), "{error:#}");
    let error = Tracking::at("localhost:5000", None).unwrap_err();
    assert!(error.to_string().contains("MLFLOW_TRACKING_URI: expected http://HOST"), "{error}");
}
