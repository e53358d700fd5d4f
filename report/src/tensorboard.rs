//! TensorBoard event files: every metric of every step as a scalar.
//!
//! An event file is a sequence of TFRecords, each a protobuf message `tensorflow.Event`, with the few fields that scalars
//! need. `tensorboard --logdir runs` then shows all runs.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use counterpoint::metrics::Metrics;
use counterpoint::{Error, Observer, Result, file};
use prost::Message;

use crate::series;

/// TensorBoard reads every file whose name holds `tfevents`.
const NAME: &str = "events.out.tfevents.counterpoint";

/// `tensorflow.Event`, the fields that are written here.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

/// `tensorflow.Summary`.
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Value>,
}

/// `tensorflow.Summary.Value`. The number is written even when it is 0.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// `folder/events.out.tfevents.counterpoint`. As an [`Observer`] it grows with the run that it watches. Numbers become f32, as in every
/// event file; those that are not finite are written as they are.
#[derive(Debug)]
pub struct EventFile {
    path: PathBuf,
    file: File,
}

impl EventFile {
    /// Writes the steps of `history`, in one go, in place of a file of an earlier call. A step's wall time is `start` plus the seconds of
    /// training until its end.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when the file cannot be written.
    pub fn new(folder: &Path, start: SystemTime, history: &[(u64, Metrics)]) -> Result<Self> {
        let path = folder.join(NAME);
        let start = since_epoch(start);
        let version = Event { wall_time: start, file_version: Some("brain.Event:2".to_owned()), ..Event::default() };
        let steps = history.iter().zip(series::places(history));
        let steps = steps.map(|((step, metrics), place)| Event::of(start + place.seconds, *step, metrics));
        let bytes: Vec<u8> = std::iter::once(version).chain(steps).flat_map(|event| record(&event)).collect();
        file::replace(&path, &bytes)?;
        let file = OpenOptions::new().append(true).open(&path).map_err(|e| Error::io("cannot write", &path, e))?;
        Ok(Self { path, file })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a step that has just ended.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when the file cannot be written.
    pub fn append(&mut self, step: u64, metrics: &Metrics) -> Result<()> {
        let event = Event::of(since_epoch(SystemTime::now()), step, metrics);
        self.file.write_all(&record(&event)).map_err(|e| Error::io("cannot write", &self.path, e))
    }
}

impl Observer for EventFile {
    fn event(&mut self, event: &counterpoint::Event<'_>) -> Result<ControlFlow<()>> {
        if let counterpoint::Event::Step(report) = event {
            self.append(report.step, &report.metrics)?;
        }
        Ok(ControlFlow::Continue(()))
    }
}

impl Event {
    /// The metrics of a step.
    fn of(wall_time: f64, step: u64, metrics: &Metrics) -> Self {
        let value = |(name, value): (&str, f64)| Value { tag: name.to_owned(), simple_value: Some(value as f32) };
        Self {
            wall_time,
            step: i64::try_from(step).unwrap_or(i64::MAX),
            file_version: None,
            summary: Some(Summary { values: metrics.iter().map(value).collect() }),
        }
    }
}

fn since_epoch(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// A TFRecord: length, checksum of the length, data, checksum of the data; all little-endian.
fn record(event: &Event) -> Vec<u8> {
    let data = event.encode_to_vec();
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), &data, &masked(&data)].concat()
}

/// CRC-32C, rotated and offset so that the checksum of data with checksums in it is not trivial.
fn masked(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8).to_le_bytes()
}
