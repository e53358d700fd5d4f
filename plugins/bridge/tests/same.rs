//! The same scores in a child as in this process, to the last bit.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::Path;
use std::time::Duration;

use counterpoint_bridge::Bridged;
use counterpoint_host::{Call, ErrorKind, Expert, Image, Item, Library, Loaded, Pixels, Scores, Sealed, State, probe};
use serde_json::json;
use support::{moody, quick, runner, sealed, setup};

fn both(expert: &str) -> (Loaded, Bridged) {
    let (settings, library) = (json!({"a": [1, "é"]}), Library::open(moody()).unwrap());
    let here = Loaded::create(library, &setup(expert, &settings), 1).unwrap();
    let there = Bridged::of_library(&runner(), sealed(), &setup(expert, &settings), quick()).unwrap();
    (here, there)
}

/// Everything of scores, NaNs included.
fn bits(scores: &Scores) -> (usize, Vec<u64>, Vec<State>) {
    let values = scores.values.iter().map(|v| if v.is_nan() { u64::MAX } else { v.to_bits() }).collect();
    (scores.outputs, values, scores.states.clone())
}

fn assert_same(here: &mut Loaded, there: &mut Bridged, items: &[Item<'_>], call: &Call<'_>) -> Scores {
    let (here, there) = (here.score(items, call).unwrap(), there.score(items, call).unwrap());
    assert_eq!(bits(&here), bits(&there));
    there
}

#[test]
fn images_of_every_layout_and_texts_of_every_kind() {
    let (mut here, mut there) = both("moody");
    assert_eq!(here.manifest(), there.manifest());
    let bytes: Vec<u8> = (0..4000u32).map(|i| (i * 7919 % 251) as u8).collect();
    let floats: Vec<f32> = (0..4000u32).map(|i| (i * 7919 % 1009) as f32 / 1009.0).collect();
    let images = [
        Image::new(1, 1, Pixels::U8(&bytes[..3])).unwrap(),
        Image::new(5, 7, Pixels::U8(&bytes[..105])).unwrap(),
        Image::with_strides(5, 7, Pixels::U8(&bytes[1..]), 19, 3).unwrap(),
        Image::with_strides(5, 7, Pixels::U8(&bytes[1..]), 23, 4).unwrap(),
        Image::new(9, 3, Pixels::F32(&floats[..81])).unwrap(),
        Image::with_strides(9, 3, Pixels::F32(&floats[2..]), 31, 3).unwrap(),
        Image::with_strides(9, 3, Pixels::F32(&floats[2..]), 64, 5).unwrap(),
    ];
    let texts = ["", "a", "two\nlines \"quoted\" \\ \u{0}\u{7f}", "日本語 🙂"];
    let mut items: Vec<Item<'_>> = Vec::new();
    for (i, image) in images.iter().enumerate() {
        let references = images[..i].to_vec();
        let prompt = texts[i % texts.len()];
        items.push(Item {
            prompt,
            params: "{\"n\": 3}",
            image: Some(*image),
            references,
            candidate: i as u64,
            ..Item::default()
        });
        items.push(Item { prompt, class: "person", ..Item::default() });
    }
    let call = Call { seed: u64::MAX, ..Call::default() };
    let all = assert_same(&mut here, &mut there, &items, &call);
    assert!(all.states.iter().all(|state| *state == State::Value));
    assert_same(&mut here, &mut there, &items[..1], &call);
    assert_same(&mut here, &mut there, &[], &call);
}

#[test]
fn numbers_states_and_messages() {
    let (mut here, mut there) = both("moody");
    let odd =
        [0.0, -0.0, 1e-310, f64::MIN_POSITIVE, f64::MAX, -f64::MAX, f64::EPSILON, 0.1 + 0.2, f64::NAN, f64::INFINITY];
    let mut words: Vec<String> = odd.iter().map(|v| format!("bits {:x}", v.to_bits())).collect();
    words.extend(["abstain", "fail", "seed", "deadline"].map(str::to_owned));
    let items: Vec<Item<'_>> = words.iter().map(|word| support::says(word)).collect();
    let scores = assert_same(&mut here, &mut there, &items, &Call { seed: 42, ..Call::default() });
    for (i, value) in odd.iter().enumerate() {
        assert_eq!(scores.value(i, 0).map(f64::to_bits), value.is_finite().then_some(value.to_bits()), "{value}");
    }
    assert_eq!(scores.states[10], State::Abstain("not my thing".to_owned()));
    assert_eq!(scores.states[11], State::Fail("cannot see \"it\"\n".to_owned()));
    assert_eq!(scores.value(12, 0), Some(42.0));
    assert_eq!(scores.value(13, 0), Some(0.0), "no deadline");

    let call = Call { deadline: Some(Duration::from_secs(20)), ..Call::default() };
    let scores = assert_same(&mut here, &mut there, &[support::says("deadline")], &call);
    assert_eq!(scores.value(0, 0), Some(2e10));
}

#[test]
fn a_value_outside_the_declared_range_is_a_failure() {
    let (mut here, mut there) = both("bounded");
    let item = Item { prompt: "long", ..Item::default() };
    let scores = assert_same(&mut here, &mut there, &[item, Item::default()], &Call::default());
    assert!(matches!(&scores.states[0], State::Fail(why) if why.contains("range 0 to 1, got 4")), "{scores:?}");
    assert_eq!(scores.states[1], State::Value);
}

#[test]
fn errors_are_those_of_the_plugin() {
    let (mut here, mut there) = both("moody");
    for expert in [&mut here as &mut dyn Expert, &mut there] {
        let error = support::score(expert, "fail call").unwrap_err();
        assert_eq!((error.kind(), error.to_string().contains("no mood today")), (ErrorKind::Call, true), "{error}");
        assert_eq!(expert.statistics().failed_calls, 1);
        support::value(expert, "fine");
    }
    assert_eq!(there.statistics().replaced, 0);

    let start = |expert: &str, settings| Bridged::of_library(&runner(), sealed(), &setup(expert, &settings), quick());
    let error = start("moody", json!({"refuse": 1})).unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("refused, as asked")), (ErrorKind::Create, true), "{error}");
    let error = start("nobody", json!({})).unwrap_err();
    assert_eq!((error.kind(), error.to_string().contains("moody, bounded")), (ErrorKind::Config, true), "{error}");
}

#[test]
fn the_first_look_is_the_librarys_own() {
    let (library, probed) =
        (Library::open(moody()).unwrap(), probe(&runner(), &sealed(), Duration::from_secs(10)).unwrap());
    assert_eq!((&probed.manifest, probed.capabilities), (library.manifest(), library.capabilities()));
    let mut command = runner().command("serve");
    command.arg(moody());
    let (manifest, capabilities) = Bridged::describe(command, &quick()).unwrap();
    assert_eq!((manifest, capabilities), (probed.manifest, probed.capabilities));
    let text = Sealed::of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml")).unwrap();
    let error = probe(&runner(), &text, Duration::from_secs(10)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Probe, "{error}");
}
