//! TensorBoard event files: every metric of every step as a scalar.
//!
//! An event file is a sequence of TFRecords, each a protobuf message `tensorflow.Event`, with the few fields that scalars
//! need. `tensorboard --logdir runs` then shows all runs.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use counterpoint::metrics::Metrics;
use counterpoint::{Result, file};
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

/// Writes `folder/events.out.tfevents.counterpoint`, in one go, in place of that of an earlier call, and returns its path.
/// A step's wall time is `start` plus the seconds of training until its end. Numbers become f32, as in every event file;
/// those that are not finite are written as they are.
///
/// # Errors
/// [`Io`](counterpoint::ErrorKind::Io) when the file cannot be written.
pub fn write(folder: &Path, start: SystemTime, history: &[(u64, Metrics)]) -> Result<PathBuf> {
    let path = folder.join(NAME);
    file::replace(&path, &encode(start, history))?;
    Ok(path)
}

fn encode(start: SystemTime, history: &[(u64, Metrics)]) -> Vec<u8> {
    let start = start.duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
    let version = Event { wall_time: start, file_version: Some("brain.Event:2".to_owned()), ..Event::default() };
    let mut bytes = record(&version.encode_to_vec());
    for ((step, metrics), place) in history.iter().zip(series::places(history)) {
        let value = |(name, value): (&str, f64)| Value { tag: name.to_owned(), simple_value: Some(value as f32) };
        let event = Event {
            wall_time: start + place.seconds,
            step: i64::try_from(*step).unwrap_or(i64::MAX),
            file_version: None,
            summary: Some(Summary { values: metrics.iter().map(value).collect() }),
        };
        bytes.extend(record(&event.encode_to_vec()));
    }
    bytes
}

/// A TFRecord: length, checksum of the length, data, checksum of the data; all little-endian.
fn record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), data, &masked(data)].concat()
}

/// CRC-32C, rotated and offset so that the checksum of data with checksums in it is not trivial.
fn masked(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xA282_EAD8).to_le_bytes()
}
