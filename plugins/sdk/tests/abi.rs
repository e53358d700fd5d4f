//! What a host sees: the table, and the golden behaviour of its functions.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use common::*;
use counterpoint_abi::*;
use counterpoint_host::{Judges, Manifest, Need, Output};
use counterpoint_sdk::{Batch, Description, Error, Expert, Score, Setup, export_rewards};

/// The number in the prompt.
struct Number;

/// Items that asked to be counted.
static COUNTED: AtomicUsize = AtomicUsize::new(0);

impl Expert for Number {
    const NAME: &'static str = "number";

    fn describe() -> Description {
        Description::new("the number in the prompt")
            .range(0.0, 10.0)
            .judges(counterpoint_sdk::Judges::Understanding)
            .concurrent()
            .deterministic()
            .batch_invariant()
    }

    fn create(_: &Setup<'_>) -> Result<Self, Error> {
        Ok(Self)
    }

    fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error> {
        batch.each(|item| match item.prompt() {
            "count" => Ok(Score::Value(COUNTED.fetch_add(1, Ordering::Relaxed) as f64)),
            "panic" => panic!("no such number"),
            "slow" => {
                std::thread::sleep(std::time::Duration::from_millis(300));
                Ok(Score::Value(0.0))
            }
            prompt => Ok(Score::Value(prompt.parse::<f64>().map_err(|e| Error::from(e).at("prompt"))?)),
        })
    }
}

/// Panics where its settings say.
struct Bomb {
    at: String,
}

impl Expert for Bomb {
    const NAME: &'static str = "bomb";

    fn describe() -> Description {
        Description::new("nothing").output("left").output("right").range(-1.0, 1.0).concurrent()
    }

    fn create(setup: &Setup<'_>) -> Result<Self, Error> {
        let at: String =
            setup.settings::<std::collections::BTreeMap<String, String>>()?.remove("at").unwrap_or_default();
        assert!(at != "create", "bang in create");
        Ok(Self { at })
    }

    fn score(&mut self, _: &Batch<'_>) -> Result<Vec<Score>, Error> {
        std::panic::panic_any(Payload)
    }
}

/// A payload that is no text and whose drop panics too. What that throws is left behind, so it is nothing.
struct Payload;

impl Drop for Payload {
    fn drop(&mut self) {
        std::panic::panic_any(());
    }
}

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(self.at != "drop", "bang in drop");
    }
}

export_rewards!(Number, Bomb);

fn number(prompt: &str) -> cpt_item {
    cpt_item { prompt: text(prompt.as_bytes()), ..ITEM }
}

#[test]
fn the_table_and_its_manifest_are_what_a_host_reads() {
    let table = table();
    assert!(std::ptr::eq(table, common::table()), "the same at every call");
    assert_eq!((table.magic, table.major, table.minor), (CPT_MAGIC, CPT_ABI_MAJOR, CPT_ABI_MINOR));
    assert_eq!(table.struct_size as usize, size_of::<cpt_plugin_v1>());
    assert_eq!(table.capabilities, CPT_CAP_CONCURRENT, "what all experts promise");
    // SAFETY: the table's manifest lives as long as the program.
    let json = unsafe { std::slice::from_raw_parts(table.manifest.data, table.manifest.size as usize) };
    let manifest = Manifest::parse(json, "table").unwrap();
    assert_eq!((manifest.abi.major, manifest.abi.minor), (CPT_ABI_MAJOR, CPT_ABI_MINOR));
    assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("counterpoint-sdk", env!("CARGO_PKG_VERSION")));
    let output = |name: &str, range| Output { name: name.to_owned(), range };
    assert_eq!(manifest.experts[0].name, "number");
    assert_eq!(manifest.experts[0].description, "the number in the prompt");
    assert_eq!(manifest.experts[0].outputs, [output("score", Some([0.0, 10.0]))]);
    assert_eq!(manifest.experts[1].outputs, [output("left", None), output("right", Some([-1.0, 1.0]))]);
    assert_eq!(manifest.experts[1].needs, [] as [Need; 0]);
    assert_eq!(manifest.experts.iter().map(|e| e.judges).collect::<Vec<_>>(), [Judges::Understanding, Judges::Both]);
    let text = str::from_utf8(json).unwrap();
    assert_eq!(text.matches("judges").count(), 1, "what is not both is written, and nothing else: {text}");
}

#[test]
fn good_and_bad_items_share_a_batch() {
    let instance = create("number", "");
    let bad_bytes = cpt_item { response: text(b"\xff\xfe"), ..number("2") };
    let null = cpt_item { params: cpt_str { data: std::ptr::null(), size: 3 }, ..number("2") };
    let references = cpt_item { n_references: 1, ..number("2") };
    let nowhere = cpt_image {
        data: std::ptr::null(),
        width: 1,
        height: 1,
        format: CPT_RGB_U8,
        reserved: 0,
        row_stride: 3,
        pixel_stride: 3,
    };
    let image = cpt_item { image: &nowhere, ..number("2") };
    let [eleven, x, nan, zero] = ["11", "x", "NaN", "-0"].map(number);
    let items = [bad_bytes, number("1.5"), null, eleven, x, nan, references, zero, image];
    let answer = score(instance, &items);
    assert_eq!(answer.code, CPT_OK);
    let [f, v] = [CPT_FAIL, CPT_VALUE];
    assert_eq!(answer.status, [f, v, f, f, f, f, f, v, f]);
    assert_eq!((answer.values[1], answer.values[7].to_bits()), (1.5, (-0.0_f64).to_bits()));
    assert!([0, 2, 3, 4, 5, 6, 8].iter().all(|&i: &usize| answer.values[i].is_nan()), "{:?}", answer.values);
    assert_eq!(answer.said.of(0), "response: expected UTF-8, got other bytes from byte 0");
    assert_eq!(answer.said.of(2), "params: expected text, got 3 bytes at 0x0");
    assert_eq!(answer.said.of(3), "expected `score` in the declared range 0 to 10, got 11");
    assert_eq!(answer.said.of(4), "prompt: invalid float literal");
    assert_eq!(answer.said.of(5), "expected a finite `score`, got NaN");
    assert_eq!(answer.said.of(6), "references: expected images, got 1 at a null pointer");
    assert_eq!(answer.said.of(8), "image: expected pixels, got a null pointer");
    assert_eq!(answer.said.failed.len(), 7);
    destroy(instance);
}

#[test]
fn no_items_need_no_expert_and_no_memory() {
    let instance = create("bomb", "{}");
    let mut scores = batch(&[]);
    scores.items = std::ptr::null();
    let answer = score_with(instance, &scores, |_, scores| {
        *scores = cpt_scores { n_outputs: 2, values: std::ptr::null_mut(), status: std::ptr::null_mut(), ..*scores };
    });
    assert_eq!(answer.code, CPT_OK, "{}", answer.said.call());
    destroy(instance);
}

#[test]
fn a_panic_in_create_leaves_no_instance() {
    let (code, said) = try_create(&setup("bomb", r#"{"at": "create"}"#)).unwrap_err();
    assert_eq!(code, CPT_PANIC);
    assert!(
        said.starts_with("panicked at ") && said.contains("abi.rs:") && said.ends_with(": bang in create"),
        "{said}"
    );
}

#[test]
fn a_panic_in_score_poisons_the_instance() {
    let instance = create("number", "");
    let answer = score(instance, &[number("count"), number("panic")]);
    assert_eq!(answer.code, CPT_PANIC);
    assert!(answer.is_untouched());
    let said = answer.said.call();
    assert!(
        said.starts_with("panicked at ") && said.contains("abi.rs:") && said.ends_with(": no such number"),
        "{said}"
    );

    for _ in 0..2 {
        let answer = score(instance, &[number("count")]);
        assert_eq!((answer.code, answer.said.call()), (CPT_PANIC, "an earlier call panicked; make another instance"));
        assert!(answer.is_untouched());
    }
    assert_eq!(COUNTED.load(Ordering::Relaxed), 1, "the one before the panic");
    destroy(instance);
}

#[test]
fn odd_payloads_and_panics_of_drop_do_not_unwind() {
    let instance = create("bomb", r#"{"at": "drop"}"#);
    let answer = score_with(instance, &batch(&[]), |_, scores| scores.n_outputs = 2);
    assert_eq!(answer.code, CPT_OK, "no items, no call");
    let mut room = [f64::NAN; 2];
    let answer = score_with(instance, &batch(&[ITEM]), |_, scores| {
        scores.n_outputs = 2;
        scores.values = room.as_mut_ptr();
    });
    assert_eq!(answer.code, CPT_PANIC);
    assert!(answer.said.call().ends_with(": no message"), "{}", answer.said.call());
    destroy(instance);
    destroy(std::ptr::null_mut());
}

#[test]
fn a_second_call_at_the_same_time_is_refused() {
    let instance = AtomicPtr::new(create("number", ""));
    let call = |prompt| score(instance.load(Ordering::Relaxed), &[number(prompt)]);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| call("slow").code);
        std::thread::sleep(std::time::Duration::from_millis(100));
        let answer = call("1");
        let said = answer.said.call();
        assert_eq!((answer.code, said), (CPT_ERROR, "expected one call at a time, got two of one instance"));
        assert_eq!(slow.join().unwrap(), CPT_OK);
    });
    assert_eq!(call("1").code, CPT_OK);
    destroy(instance.into_inner());
}

#[test]
fn a_cancelled_call_writes_nothing() {
    let instance = create("number", "");
    let mut other = Said { cancelled: true, ..Said::default() };
    let answer = score_with(instance, &batch(&[number("1")]), |host, _| host.context = (&raw mut other).cast());
    assert_eq!(answer.code, CPT_CANCELLED);
    assert!(answer.is_untouched());
    destroy(instance);
}

#[test]
fn what_a_host_may_not_send_is_refused_with_a_message() {
    let refused = |setup: cpt_setup| try_create(&setup).unwrap_err();
    let good = setup("number", "");
    let said = "expected an expert of this plugin, got `nobody` (experts: number, bomb)";
    assert_eq!(refused(setup("nobody", "")), (CPT_ERROR, said.to_owned()));
    assert_eq!(
        refused(cpt_setup { struct_size: 48, ..good }).1,
        "cpt_setup: expected a struct_size of 56 or more, got 48"
    );
    assert!(refused(cpt_setup { settings: text(b"{\"\xff\": 1}"), ..good }).1.starts_with("settings: expected UTF-8"));
    assert!(refused(setup("number", "{")).1.starts_with("settings: expected a JSON object: EOF"));
    assert!(refused(setup("bomb", "[]")).1.starts_with("settings: expected a JSON object: invalid type"));
    assert_eq!(refused(cpt_setup { expert: cpt_str { size: 1, ..EMPTY }, ..good }).0, CPT_ERROR);

    let instance = create("number", "");
    let items = [number("1")];
    let good = batch(&items);
    let no = |batch: &cpt_batch, change: &dyn Fn(&mut cpt_host, &mut cpt_scores)| {
        let answer = score_with(instance, batch, change);
        assert_eq!(answer.code, CPT_ERROR);
        assert!(answer.is_untouched());
        answer.said.call().to_owned()
    };
    let nothing = |_: &mut cpt_host, _: &mut cpt_scores| ();
    let null = cpt_batch { items: std::ptr::null(), ..good };
    assert!(no(&null, &nothing).starts_with("cpt_batch: expected items, got 1 at 0x0"));
    let small = |scores: &mut cpt_scores| scores.struct_size = 16;
    assert_eq!(no(&good, &|_, s| small(s)), "cpt_scores: expected a struct_size of 24 or more, got 16");
    assert_eq!(no(&good, &|_, s| s.n_outputs = 2), "cpt_scores: expected n_outputs of 1, got 2");
    assert!(no(&good, &|_, s| s.values = std::ptr::null_mut()).starts_with("cpt_scores: expected aligned values"));
    assert!(no(&good, &|_, s| s.status = s.status.wrapping_byte_add(2)).starts_with("cpt_scores: expected aligned"));
    assert_eq!(no(&good, &|host, _| host.struct_size = 40), "", "nobody to tell");
    destroy(instance);

    let answer = score(std::ptr::null_mut(), &items);
    assert_eq!((answer.code, answer.said.call()), (CPT_ERROR, "expected an instance, got a null pointer"));
}

#[test]
fn a_host_without_functions_is_one() {
    let instance = create("number", "");
    let answer = score_with(instance, &batch(&[number("1"), number("x")]), |host, _| {
        *host = cpt_host { log: None, fail: None, cancelled: None, ..*host };
    });
    assert_eq!((answer.code, answer.status), (CPT_OK, vec![CPT_VALUE, CPT_FAIL]));
    destroy(instance);
}
