//! What is sent to an OpenTelemetry collector, to one of the tests' own, and what becomes of it when that is busy.
#![cfg(feature = "opentelemetry")]
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use counterpoint::metrics::Metrics;
use counterpoint_sinks::Telemetry;
use serde_json::Value;

/// Takes what is posted to `/v1/metrics`, once it has refused so many calls.
fn collector(mut refusals: u32) -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}/v1/metrics", listener.local_addr().unwrap());
    let taken: Arc<Mutex<Vec<Value>>> = Arc::default();
    let seen = Arc::clone(&taken);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let body = read(&stream);
            let busy = refusals > 0;
            refusals = refusals.saturating_sub(1);
            if !busy {
                seen.lock().unwrap().push(body);
            }
            answer(stream, if busy { 503 } else { 200 });
        }
    });
    (endpoint, taken)
}

fn read(stream: &TcpStream) -> Value {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with("POST /v1/metrics "), "{line}");
    let (mut length, mut json) = (0, false);
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).unwrap();
        let header = header.trim().to_lowercase();
        if header.is_empty() {
            break;
        }
        json |= header == "content-type: application/json";
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    assert!(json);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn answer(mut stream: TcpStream, status: u16) {
    let head = format!("HTTP/1.1 {status} x\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}");
    let _gone = stream.write_all(head.as_bytes());
}

/// Every gauge of an export.
fn gauges(export: &Value) -> BTreeMap<String, f64> {
    let metrics = export["resourceMetrics"][0]["scopeMetrics"][0]["metrics"].as_array().unwrap();
    let number = |point: &Value| match &point["asInt"] {
        Value::Null => point["asDouble"].as_f64().unwrap(),
        Value::String(text) => text.parse().unwrap(),
        number => number.as_f64().unwrap(),
    };
    let one = |metric: &Value| {
        let points = metric["gauge"]["dataPoints"].as_array().unwrap();
        assert_eq!(points.len(), 1);
        (metric["name"].as_str().unwrap().to_owned(), number(&points[0]))
    };
    metrics.iter().map(one).collect()
}

fn step(number: u64) -> Metrics {
    let mut metrics = Metrics::new();
    metrics.insert("reward", number as f64 / 4.0);
    metrics.insert("rewards/tier/mean", f64::NAN);
    if number == 0 {
        metrics.insert("gate/max", 0.5);
    }
    metrics
}

#[test]
fn every_step_is_an_export_of_its_own_numbers() {
    let (endpoint, taken) = collector(0);
    let run = Telemetry::new(Some(&endpoint), "mine").unwrap();
    (0..3).for_each(|number| run.send(number, &step(number)));
    drop(run);
    let taken = taken.lock().unwrap();
    let of = |pairs: &[(&str, f64)]| pairs.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    let expected: Vec<BTreeMap<String, f64>> = vec![
        of(&[("step", 0.0), ("reward", 0.0), ("gate/max", 0.5)]),
        of(&[("step", 1.0), ("reward", 0.25)]),
        of(&[("step", 2.0), ("reward", 0.5)]),
    ];
    assert_eq!(taken.iter().map(gauges).collect::<Vec<_>>(), expected);
    let attributes = taken[0]["resourceMetrics"][0]["resource"]["attributes"].to_string();
    assert!(attributes.contains("\"counterpoint\"") && attributes.contains("\"mine\""), "{attributes}");
}

#[test]
fn a_busy_collector_gets_it_later() {
    // More often than the library asks by itself.
    let (endpoint, taken) = collector(5);
    let run = Telemetry::new(Some(&endpoint), "mine").unwrap();
    let started = Instant::now();
    (0..2).for_each(|number| run.send(number, &step(number)));
    assert!(started.elapsed() < Duration::from_millis(100), "nobody waits for a collector");
    drop(run);
    let steps: Vec<f64> = taken.lock().unwrap().iter().map(|export| gauges(export)["step"]).collect();
    assert_eq!(steps, [0.0, 1.0]);
}

#[test]
fn an_endpoint_that_is_none_is_refused() {
    let error = Telemetry::new(Some("not an address"), "mine").unwrap_err();
    assert!(error.to_string().contains("not an address"), "{error}");
}
