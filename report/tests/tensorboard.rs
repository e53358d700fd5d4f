//! Event files, read back by a reader that shares no code with the writer: its own checksum, its own protobuf.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use counterpoint::metrics::Metrics;
use counterpoint_report::tensorboard::EventFile;

/// CRC-32C bit by bit, masked as TFRecords have it.
fn masked_crc(data: &[u8]) -> u32 {
    let crc = !data.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82F6_3B78 } else { crc >> 1 })
    });
    crc.rotate_right(15).wrapping_add(0xA282_EAD8)
}

/// The data of every record; panics on a wrong checksum or length.
fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        assert_eq!(u32::from_le_bytes(bytes[8..12].try_into().unwrap()), masked_crc(&bytes[..8]));
        let data = &bytes[12..12 + length];
        assert_eq!(u32::from_le_bytes(bytes[12 + length..16 + length].try_into().unwrap()), masked_crc(data));
        found.push(data.to_vec());
        bytes = &bytes[16 + length..];
    }
    found
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            break;
        }
    }
    value
}

/// Number and content of every field; a varint as its 8 bytes.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                found.push((key >> 3, varint(&mut bytes).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            other => panic!("wire type {other}"),
        };
        found.push((key >> 3, bytes[..length].to_vec()));
        bytes = &bytes[length..];
    }
    found
}

fn one(fields: &[(u64, Vec<u8>)], number: u64) -> Option<Vec<u8>> {
    fields.iter().find(|(n, _)| *n == number).map(|(_, content)| content.clone())
}

fn time(event: &[(u64, Vec<u8>)]) -> f64 {
    f64::from_le_bytes(one(event, 1).unwrap().try_into().unwrap())
}

fn history() -> Vec<(u64, Metrics)> {
    let step = |step: u64| {
        let mut metrics = Metrics::new();
        metrics.insert("reward", 0.1 * step as f64);
        metrics.insert("kl", if step == 201 { f64::NAN } else { 0.0 });
        metrics.insert("time/update", 2.5);
        (step, metrics)
    };
    [0, 1, 201].map(step).to_vec()
}

#[test]
fn events_hold_every_metric_of_every_step() {
    assert_eq!(
        masked_crc(b"123456789"),
        0xE306_9283u32.rotate_right(15).wrapping_add(0xA282_EAD8),
        "the test's own CRC"
    );
    let folder = tempfile::tempdir().unwrap();
    let start = UNIX_EPOCH + Duration::from_millis(1_700_000_000_250);
    let path = EventFile::new(folder.path(), start, &history()).unwrap().path().to_owned();
    assert!(path.file_name().unwrap().to_str().unwrap().starts_with("events.out.tfevents."));

    let records = records(&std::fs::read(&path).unwrap());
    assert_eq!(records.len(), 4);
    let version = fields(&records[0]);
    assert_eq!(one(&version, 3).unwrap(), b"brain.Event:2");
    assert_eq!(time(&version), 1_700_000_000.25);
    for (i, (record, (step, metrics))) in records[1..].iter().zip(history()).enumerate() {
        let event = fields(record);
        assert_eq!(time(&event), 1_700_000_000.25 + 2.5 * (i + 1) as f64);
        // The default, 0, is not written.
        let found = one(&event, 2).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
        assert_eq!(found, step);
        let values = fields(&one(&event, 5).unwrap()).into_iter().map(|(number, value)| {
            let value = fields(&value);
            assert_eq!(number, 1);
            let bits = f32::from_le_bytes(one(&value, 2).unwrap().try_into().unwrap()).to_bits();
            (String::from_utf8(one(&value, 1).unwrap()).unwrap(), bits)
        });
        let expected = metrics.iter().map(|(name, value)| (name.to_owned(), (value as f32).to_bits()));
        assert_eq!(values.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }
}

#[test]
fn an_empty_history_is_a_valid_file_and_a_second_call_replaces_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let path = EventFile::new(folder.path(), UNIX_EPOCH, &history()).unwrap().path().to_owned();
    assert_eq!(EventFile::new(folder.path(), UNIX_EPOCH, &[]).unwrap().path(), path);
    assert_eq!(records(&std::fs::read(&path).unwrap()).len(), 1);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_step_is_in_the_file_as_soon_as_it_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second, third] = history().try_into().unwrap();
    let mut file = EventFile::new(folder.path(), UNIX_EPOCH, &[first]).unwrap();
    for (n, (step, metrics)) in [second, third].into_iter().enumerate() {
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        file.append(step, &metrics).unwrap();
        let records = records(&std::fs::read(file.path()).unwrap());
        assert_eq!(records.len(), n + 3);
        let event = fields(records.last().unwrap());
        assert_eq!(one(&event, 2).unwrap(), step.to_le_bytes());
        assert!((before..before + 60.0).contains(&time(&event)));
    }
}
