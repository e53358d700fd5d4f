//! Manifests, good and bad, and a million that are neither.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use counterpoint_host::{ErrorKind, Judges, Manifest, Need};
use proptest::prelude::*;
use serde_json::{Value, json};

fn good() -> Value {
    json!({
        "abi": { "major": 1, "minor": 4 }, "name": "faces", "version": "0.3.1", "later": true,
        "experts": [
            { "name": "smile", "description": "how much it smiles", "needs": ["image", "face", "taste"],
              "outputs": [{ "name": "score", "range": [0, 1] }, { "name": "teeth" }] },
            { "name": "age-2", "outputs": [{ "name": "years" }], "judges": "generation" },
        ]
    })
}

fn parse(value: &Value) -> counterpoint_host::Result<Manifest> {
    Manifest::parse(value.to_string().as_bytes(), "a test")
}

#[test]
fn a_manifest_is_read_with_what_a_later_version_adds() {
    let manifest = parse(&good()).unwrap();
    let smile = manifest.expert("smile").unwrap();
    assert!(smile.needs(Need::Face) && smile.needs(Need::Other) && !smile.needs(Need::Text));
    assert_eq!((smile.output("teeth").unwrap(), smile.outputs[0].range), (1, Some([0.0, 1.0])));
    assert_eq!(manifest.experts.iter().map(|e| e.judges).collect::<Vec<_>>(), [Judges::Both, Judges::Generation]);
    let error = manifest.expert("smiles").unwrap_err();
    assert!(error.to_string().contains("(experts: smile, age-2)"), "{error}");
    let text = serde_json::to_string(&manifest).unwrap();
    assert_eq!(Manifest::parse(text.as_bytes(), "written").unwrap(), manifest);
    assert_eq!(text.matches("judges").count(), 1, "what is not both is written, and nothing else: {text}");
}

#[test]
fn each_rule_is_named_when_it_is_broken() {
    let refused = |pointer: &str, value: Value| {
        let mut manifest = good();
        *manifest.pointer_mut(pointer).unwrap() = value;
        let error = parse(&manifest).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Manifest);
        format!("{error:#}")
    };
    assert!(refused("/name", json!("")).contains("name: expected a name"));
    assert!(refused("/experts", json!([])).contains("experts: expected 1 or more"));
    assert!(refused("/experts/1/name", json!("smile")).contains("got two"));
    assert!(refused("/experts/1/name", json!("Smile!")).contains("lower case"));
    assert!(refused("/experts/1/outputs", json!([])).contains("experts.age-2.outputs: expected 1 or more"));
    assert!(refused("/experts/0/outputs/1/name", json!("score")).contains("names that differ"));
    assert!(refused("/experts/0/outputs/0/range", json!([1, 0])).contains("two finite numbers in order"));
    let said = refused("/experts/1/judges", json!("taste"));
    assert!(said.contains("experts.judges: unknown variant `taste`, expected one of `understanding`, `gen"), "{said}");
    assert!(refused("/experts/1/judges", json!(null)).contains("experts.judges: "));
    let said = refused(
        "/experts/0",
        json!({ "name": "a", "outputs": [{ "name": "b" }], "needs": ["image"], "judges": "understanding" }),
    );
    assert!(said.contains("experts.a.judges: expected `generation` or `both`"), "{said}");
    assert!(refused("/abi/major", json!("one")).contains("expected a manifest"));
    assert!(Manifest::parse(&vec![b' '; 2 << 20], "a test").unwrap_err().to_string().contains("at most"));
}

/// A generator that is quick enough for a million cases in a test: xorshift.
struct Noise(u64);

impl Noise {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

#[test]
fn a_million_damaged_manifests_are_refused_or_read_and_never_panic() {
    let text = good().to_string().into_bytes();
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..1_000_000 {
        let mut damaged = text.clone();
        for _ in 0..=noise.below(3) {
            let at = noise.below(damaged.len());
            match noise.below(4) {
                0 => damaged[at] = noise.below(256) as u8,
                1 if damaged.len() > 1 => drop(damaged.remove(at)),
                2 => damaged.truncate(at + 2),
                _ => damaged.insert(at, b"{}[]\",:0-.eE"[noise.below(12)]),
            }
        }
        match Manifest::parse(&damaged, "noise") {
            Ok(manifest) => read += usize::from(!manifest.experts.is_empty()),
            Err(error) => refused += usize::from(error.kind() == ErrorKind::Manifest),
        }
    }
    assert_eq!(read + refused, 1_000_000);
    assert!(read > 1000 && refused > 1000, "{read} read, {refused} refused: the noise is of both kinds");
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let kind = Manifest::parse(&bytes, "noise").map(drop).map_err(|e| e.kind());
        prop_assert!(matches!(kind, Ok(()) | Err(ErrorKind::Manifest)));
    }
}
