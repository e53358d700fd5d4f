//! Frames of every kind and none: nothing that comes over a pipe makes either side panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::io::Read;

use counterpoint_host::{Image, Item, Pixels, State};
use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::bridged::scores;
use crate::frame::{ALIGNMENT, Decoder, Frame, HEADER_LIMIT, PREFIX, Step, encode};
use crate::message::{Dtype, FromChild, PROTOCOL, Tensor, ToChild, Urgent, parse};
use crate::wire::{self, Pieces};

/// Gives `bytes` in pieces of up to `most`.
struct Pipe<'a> {
    bytes: &'a [u8],
    most: usize,
}

impl Read for Pipe<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let n = to.len().min(self.most);
        self.bytes.read(&mut to[..n])
    }
}

/// Every frame of `bytes`, then what followed the last.
fn decode(bytes: &[u8], most: usize, body_limit: u64) -> (Vec<Frame>, Result<usize, String>) {
    let (mut decoder, mut pipe) = (Decoder::new(body_limit), Pipe { bytes, most });
    let mut frames = Vec::new();
    loop {
        match decoder.step(&mut pipe) {
            Ok(Step::Frame(frame)) => frames.push(frame),
            Ok(Step::End { missing }) => return (frames, Ok(missing)),
            Ok(Step::Pending) => unreachable!("it never blocks"),
            Err(error) => return (frames, Err(format!("{error:#}"))),
        }
    }
}

/// Does with a frame what host and child would.
fn take(frame: &Frame) {
    for outputs in [1, 2] {
        if let Ok(FromChild::Scores { states, values, .. }) = parse(&frame.header) {
            let items = states.len();
            if let Ok(scores) = scores(states, &values, &frame.body, items, outputs) {
                assert_eq!((scores.states.len(), scores.values.len()), (items, items * outputs));
            }
        }
    }
    let _any: Result<Urgent, _> = parse(&frame.header);
    if let Ok(ToChild::Score { items, .. }) = parse(&frame.header) {
        for item in &items {
            let _maybe = wire::item(item, frame.body.bytes());
        }
    }
}

/// One frame of each kind.
fn examples() -> Vec<Vec<u8>> {
    let pixels: Vec<u8> = (0..60).collect();
    let floats = [0.5f32; 12];
    let image = Image::new(4, 5, Pixels::U8(&pixels)).unwrap();
    let float = Image::new(2, 2, Pixels::F32(&floats)).unwrap();
    let item =
        Item { prompt: "a \"b\"", params: "{}", image: Some(image), references: vec![float, image], ..Item::default() };
    let mut body = Pieces::default();
    let items = vec![body.item(&item), body.item(&item)];
    let mut score = encode(&ToChild::Score { id: 3, seed: u64::MAX, deadline_ns: Some(1), items }, body.size).unwrap();
    body.pieces.iter().for_each(|piece| score.extend_from_slice(piece));
    let create = ToChild::Create {
        expert: "e".into(),
        settings: std::borrow::Cow::Owned(json!({"a": 1})),
        base: ".".into(),
        body_limit: 1 << 30,
    };
    let states = vec![State::Value, State::Abstain("no".to_owned()), State::Fail("é".to_owned())];
    let values = Tensor { dtype: Dtype::F64, shape: vec![3, 1], offset: 0 };
    let mut answer = encode(&FromChild::Scores { id: 3, states, values }, 24).unwrap();
    answer.extend([0; 24]);
    let hello =
        FromChild::Hello { protocol: PROTOCOL, program: "p".to_owned(), manifest: Value::Null, capabilities: 7 };
    let error = FromChild::Error { id: None, error: "call".to_owned(), message: "m".to_owned() };
    let log = FromChild::Log { level: "warn".to_owned(), message: "m".to_owned() };
    let mut all = vec![score, encode(&create, 0).unwrap(), answer];
    all.extend(
        [hello, FromChild::Created { capabilities: Some(2) }, error, log].map(|message| encode(&message, 0).unwrap()),
    );
    all.extend([ToChild::Cancel { id: 3 }, ToChild::Bye {}].map(|message| encode(&message, 0).unwrap()));
    all
}

#[test]
fn a_million_streams_of_frames_good_and_bad_make_nothing_panic() {
    let examples = examples();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let mut stream = Vec::new();
    let mut counts = [0usize; 3];
    for _ in 0..1_000_000 {
        stream.clear();
        let mut draw = |n: usize| random.next_u32() as usize % n;
        for _ in 0..=draw(2) {
            let frame = &examples[draw(examples.len())];
            // More than half of a stream is left as it was, or nothing would come far.
            match draw(8) {
                0 => stream.extend((0..draw(64)).map(|i| (i * 37) as u8 ^ draw(256) as u8)),
                1 => stream.extend_from_slice(&frame[..draw(frame.len())]),
                _ => stream.extend_from_slice(frame),
            }
            for _ in 0..draw(4) {
                if !stream.is_empty() {
                    let at = draw(stream.len());
                    stream[at] = [draw(256) as u8, b'"', b'9', b'-', b'0', b','][draw(6)];
                }
            }
        }
        let (frames, rest) = decode(&stream, 1 + draw(200), 1 << 12);
        frames.iter().for_each(take);
        counts[0] += frames.len();
        counts[1] += usize::from(rest.is_err());
        counts[2] += usize::from(rest.is_ok_and(|missing| missing > 0));
    }
    // The cases are of every kind.
    assert!(counts.iter().all(|n| *n > 50_000), "{counts:?}");
}

proptest! {
    #[test]
    fn any_bytes_decode_without_a_panic(bytes: Vec<u8>, most in 1usize..64) {
        let (frames, _) = decode(&bytes, most, 1 << 20);
        frames.iter().for_each(take);
    }

    #[test]
    fn frames_come_out_as_they_went_in(
        texts in proptest::collection::vec(".*", 0..4),
        bodies in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..4),
        most in 1usize..400,
    ) {
        let sent: Vec<(Value, Vec<u8>)> =
            bodies.into_iter().enumerate().map(|(i, body)| (json!({"texts": texts, "i": i}), body)).collect();
        let mut stream = Vec::new();
        for (header, body) in &sent {
            stream.extend(encode(header, body.len() as u64).unwrap());
            stream.extend(body);
        }
        let (frames, rest) = decode(&stream, most, 300);
        prop_assert_eq!(rest, Ok(0));
        let got: Vec<(Value, Vec<u8>)> = frames
            .iter()
            .map(|frame| (serde_json::from_slice(&frame.header).unwrap(), frame.body.bytes().to_vec()))
            .collect();
        prop_assert_eq!(got, sent);
    }
}

#[test]
fn lengths_are_checked_and_claims_cost_nothing() {
    let prefix = |header: u32, body: u64| [&b"CPTF"[..], &header.to_le_bytes(), &body.to_le_bytes()].concat();
    let refused = |bytes: &[u8], limit| decode(bytes, 100, limit).1.unwrap_err();
    assert!(refused(&prefix(HEADER_LIMIT as u32 + 1, 0), 0).contains("header of at most"));
    assert!(refused(&prefix(0, 101), 100).contains("at most 100 bytes, got 101"));
    assert!(refused(&prefix(0, u64::MAX), u64::MAX).contains("at most"));
    assert!(refused(b"Hello, world: 16", 0).contains("Hello, world"));
    // Half a terabyte, of which ten bytes come: no memory would do for it.
    let (size, mut bytes) = (1 << 39, prefix(2, 1 << 39));
    bytes.extend(b"{}0123456789");
    assert_eq!(decode(&bytes, 100, size).1, Ok(size as usize - 10));
    assert_eq!(decode(&bytes[..7], 100, size).1, Ok(PREFIX - 7));
}

#[test]
fn the_memory_of_a_body_is_used_again_and_aligned() {
    let mut stream = Vec::new();
    for size in [3 << 20, 100, 5 << 20] {
        stream.extend(encode(&(), size).unwrap());
        stream.extend((0..size).map(|i| (i % 251) as u8));
    }
    let (mut decoder, mut pipe) = (Decoder::new(u64::MAX), &stream[..]);
    let mut places = Vec::new();
    for size in [3 << 20, 100, 5 << 20] {
        let Step::Frame(frame) = decoder.step(&mut pipe).unwrap() else { panic!("expected a frame") };
        let bytes = frame.body.bytes();
        assert!(bytes.len() == size && bytes.iter().enumerate().all(|(i, byte)| *byte == (i % 251) as u8));
        places.push(bytes.as_ptr().addr());
        assert!(places.iter().all(|place| place.is_multiple_of(ALIGNMENT)));
    }
    assert_eq!(places[0], places[1]);
}
