//! Calls of a C plugin: what comes back, and that what breaks is named, replaced and never a score.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use common::{flat, items, moody, open, several};
use counterpoint_host::{Call, ErrorKind, Expert, Image, Item, Pixels, Scores, State};

fn score(mode: &str, items: &[Item<'_>]) -> counterpoint_host::Result<Scores> {
    let (_folder, library) = open(&[]);
    moody(library, mode)?.score(items, &Call::default())
}

#[test]
fn every_item_has_its_outputs_in_order() {
    let scores = score("", &items(3)).unwrap();
    assert_eq!((scores.outputs, scores.values.as_slice()), (2, &[0.0, 0.0, 1.0, 0.0, 2.0, 0.0][..]));
    assert_eq!(scores.states, [State::Value, State::Value, State::Value]);
    assert_eq!((scores.value(2, 0), scores.value(2, 2), scores.value(3, 0)), (Some(2.0), None, None));
    assert_eq!(score("", &[]).unwrap().states, []);
}

#[test]
fn images_of_both_formats_and_any_strides_are_read_alike() {
    let (dark, bright) = ([51_u8; 12], [255_u8; 12]);
    let floats = [0.2_f32; 12];
    // Rows 10 samples apart, pixels 4: what lies between is not looked at.
    let padded = [51, 0, 0, 9, 51, 0, 0, 9, 9, 9, 51, 0, 0, 9, 51, 0, 0];
    let padded = Image::with_strides(2, 2, Pixels::U8(&padded), 10, 4).unwrap();
    let of = |image| Item { image: Some(image), references: vec![flat(&dark), flat(&bright)], ..Item::default() };
    let images = [of(flat(&dark)), of(padded), of(Image::new(2, 2, Pixels::F32(&floats)).unwrap()), of(flat(&bright))];
    let scores = score("references", &images).unwrap();
    let reds: Vec<f64> = (0..4).map(|i| scores.value(i, 0).unwrap()).collect();
    assert_eq!((reds[0], reds[1], reds[3]), (0.2, 0.2, 1.0));
    assert!((reds[2] - 0.2).abs() < 1e-7);
    assert_eq!(scores.value(0, 1), Some(1.0), "the last reference is the bright one");
}

#[test]
fn images_that_are_none_are_refused() {
    let bad = |width, height, samples: &[u8], row, pixel| {
        Image::with_strides(width, height, Pixels::U8(samples), row, pixel).unwrap_err().to_string()
    };
    assert!(bad(0, 1, &[0; 9], 3, 3).contains("got one of 0x1 pixels"));
    assert!(bad(2, 1, &[0; 9], 5, 3).contains("at least one row apart, got 3 and 5"));
    assert!(bad(1, 1, &[0; 9], 3, 2).contains("3 or more samples apart"));
    assert!(bad(2, 2, &[0; 11], 6, 3).contains("at least 12 samples"));
    assert!(bad(u32::MAX, u32::MAX, &[0; 11], usize::MAX, usize::MAX).contains("got"));
    assert!(Image::new(1, 1, Pixels::U8(&[0; 4])).unwrap_err().to_string().contains("exactly 3 samples"));
}

#[test]
fn an_item_without_a_score_says_why_and_the_others_keep_theirs() {
    let told = |mode| {
        let scores = score(mode, &items(3)).unwrap();
        assert_eq!(
            (scores.value(0, 0), scores.value(1, 0), scores.value(2, 0)),
            (Some(0.0), None, Some(2.0)),
            "{mode}"
        );
        assert!(scores.values[2].is_nan() && scores.values[3].is_nan(), "{mode}");
        scores.states[1].clone()
    };
    assert_eq!(told("abstain"), State::Abstain("it does not apply (no reason given)".into()));
    assert_eq!(told("fail"), State::Fail("no face".into()));
    assert_eq!(told("unwritten"), State::Fail("the plugin left this item without an answer".into()));
    assert_eq!(told("status"), State::Fail("expected a status of 0, 1 or 2, got 9".into()));
    assert_eq!(told("nan"), State::Fail("expected a finite `score`, got NaN".into()));
    assert_eq!(told("range"), State::Fail("expected `references` in the declared range 0 to 100, got 101".into()));
    assert_eq!(score("silent", &items(2)).unwrap().value(0, 0), None);
}

#[test]
fn a_call_that_fails_as_a_whole_is_an_error_of_its_kind_with_the_experts_name() {
    let failed = |mode| {
        let error = score(mode, &items(3)).unwrap_err();
        assert!(error.to_string().contains("expert `moody` of "), "{error}");
        (error.kind(), error.to_string())
    };
    let (kind, message) = failed("error");
    assert_eq!(kind, ErrorKind::Call);
    assert!(message.ends_with("the weights are missing"), "{message}");
    assert_eq!(failed("panic").0, ErrorKind::Panic);
    assert_eq!(failed("code").0, ErrorKind::Contract);
    assert_eq!(failed("liar").0, ErrorKind::Contract);
    assert_eq!(failed("refuse").0, ErrorKind::Create);
    for (mode, buffer) in [("after", "values"), ("before", "status")] {
        let (kind, message) = failed(mode);
        assert_eq!(kind, ErrorKind::Contract);
        assert!(message.ends_with(&format!("it wrote outside of `{buffer}`, of 3 items")), "{message}");
    }
}

#[test]
fn a_broken_instance_is_replaced_and_everything_is_counted() {
    let (_folder, library) = open(&[]);
    let mut expert = moody(library, "panic").unwrap();
    expert.score(&items(2), &Call::default()).unwrap_err();
    expert.score(&items(3), &Call::default()).unwrap_err();
    let s = expert.statistics();
    assert_eq!((s.calls, s.items, s.failed_calls, s.panics, s.replaced, s.values), (2, 5, 2, 2, 1, 0));
    let mut expert = moody(library, "fail").unwrap();
    expert.score(&items(3), &Call::default()).unwrap();
    let s = expert.statistics();
    assert_eq!((s.calls, s.values, s.failed, s.abstained, s.failed_calls, s.replaced), (1, 2, 1, 0, 0, 0));
    assert!(s.longest > Duration::ZERO && s.time >= s.longest);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_changed_floating_point_mode_is_put_back_and_named() {
    let error = score("flush", &items(1)).unwrap_err();
    assert!(error.kind() == ErrorKind::Contract && error.to_string().contains("floating-point mode"), "{error}");
    assert_ne!(std::hint::black_box(f32::MIN_POSITIVE) / 2.0, 0.0, "denormals are still there");
}

#[cfg(target_arch = "x86_64")]
#[test]
fn an_instance_that_is_refused_is_freed_also_where_calls_take_turns() {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (_folder, library) = open(&["CAPABILITIES=0"]);
        let refused = moody(library, "flush at once").err().map(|e| e.kind());
        let other = moody(library, "").unwrap().score(&items(1), &Call::default());
        sender.send((refused, other.is_ok())).unwrap();
    });
    // On a thread of its own: whoever waits for itself waits for ever.
    let told =
        receiver.recv_timeout(Duration::from_secs(20)).expect("expected an answer, got none: it waits for itself");
    assert_eq!(told, (Some(ErrorKind::Create), true));
}

#[test]
fn a_call_stops_at_its_deadline_or_when_it_is_asked_to() {
    let (_folder, library) = open(&[]);
    let mut expert = moody(library, "spin").unwrap();
    let late = Call { deadline: Some(Duration::from_millis(30)), ..Call::default() };
    assert_eq!(expert.score(&items(2), &late).unwrap_err().kind(), ErrorKind::Deadline);
    let cancel = AtomicBool::new(true);
    let cancelled = Call { cancel: Some(&cancel), ..Call::default() };
    assert_eq!(expert.score(&items(2), &cancelled).unwrap_err().kind(), ErrorKind::Cancelled);
    let both = Call { cancel: Some(&cancel), deadline: Some(Duration::from_secs(60)), seed: 0 };
    assert_eq!(expert.score(&items(2), &both).unwrap_err().kind(), ErrorKind::Cancelled);
    assert_eq!((expert.statistics().deadlines, expert.statistics().replaced), (1, 0));
}

#[test]
fn an_answer_after_the_deadline_is_refused_and_the_instance_stays() {
    let (_folder, library) = open(&[]);
    let mut expert = moody(library, "late").unwrap();
    let call = Call { deadline: Some(Duration::from_millis(20)), ..Call::default() };
    assert_eq!(expert.score(&items(2), &call).unwrap_err().kind(), ErrorKind::Deadline);
    assert_eq!(expert.score(&items(2), &Call::default()).unwrap().values[2], 1.0);
    assert_eq!((expert.statistics().deadlines, expert.statistics().replaced), (1, 0));
}

#[test]
fn calls_take_turns_where_the_plugin_permits_one_at_a_time() {
    // In its mode `alone` a call fails that another one overlaps.
    let overlap = |library| {
        let call = || moody(library, "alone").unwrap().score(&items(1), &Call::default()).is_err();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(call)).collect();
            threads.into_iter().any(|thread| thread.join().unwrap())
        })
    };
    let (_folder, library) = open(&["CAPABILITIES=0"]);
    assert!(!overlap(library));
    let (_folder, library) = open(&[]);
    assert!(overlap(library));
}

#[test]
fn a_batch_is_divided_among_instances_where_that_changes_nothing() {
    let (_folder, library) = open(&[]);
    for n in [0, 1, 3, 4, 5, 64] {
        let one = moody(library, "").unwrap().score(&items(n), &Call::default()).unwrap();
        assert_eq!(several(library, "", 4).unwrap().score(&items(n), &Call::default()).unwrap(), one, "{n} items");
        let call = Call { deadline: Some(Duration::from_secs(60)), ..Call::default() };
        assert_eq!(several(library, "", 4).unwrap().score(&items(n), &call).unwrap(), one, "{n} items with a deadline");
    }
    assert_eq!(
        several(library, "panic", 4).unwrap().score(&items(9), &Call::default()).unwrap_err().kind(),
        ErrorKind::Panic
    );
    let (_folder, library) = open(&["CAPABILITIES=CPT_CAP_CONCURRENT"]);
    let error = several(library, "", 4).err().unwrap();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("instances: expected 1"), "{error}");
}

#[test]
fn a_panic_after_the_deadline_is_a_panic_all_the_same() {
    let (_folder, library) = open(&[]);
    let mut expert = moody(library, "late panic").unwrap();
    let call = Call { deadline: Some(Duration::from_millis(20)), ..Call::default() };
    for replaced in 0..2 {
        assert_eq!(expert.score(&items(1), &call).unwrap_err().kind(), ErrorKind::Panic);
        assert_eq!((expert.statistics().panics, expert.statistics().replaced), (replaced + 1, replaced));
    }
}

#[test]
fn a_deadline_of_any_length_is_no_panic() {
    let (_folder, library) = open(&[]);
    let call = Call { deadline: Some(Duration::MAX), ..Call::default() };
    assert_eq!(moody(library, "").unwrap().score(&items(2), &call).unwrap().values[2], 1.0);
}

#[test]
fn the_seed_arrives() {
    let (_folder, library) = open(&[]);
    let call = Call { seed: 77, ..Call::default() };
    assert_eq!(moody(library, "seed").unwrap().score(&items(1), &call).unwrap().values[0], 77.0);
}
