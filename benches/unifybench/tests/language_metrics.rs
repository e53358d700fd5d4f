//! BLEU against nltk's, and recognition by hand.
#![allow(clippy::unwrap_used)]

use counterpoint_unifybench::{Bleu, Recognition, Unit};
use serde_json::Value;

/// Made by nltk 3.10.4's `sentence_bleu` with `SmoothingFunction().method1`: pairs by hand, and random ones.
const NLTK: &str = include_str!("fixtures/nltk_bleu.json");

#[test]
fn bleu_is_that_of_nltk() {
    let fixture: Value = serde_json::from_str(NLTK).unwrap();
    let weights = [("original", vec![0.7, 0.3]), ("bleu1", vec![1.0]), ("bleu4", vec![0.25; 4])];
    let mut compared = 0;
    for pair in fixture["pairs"].as_array().unwrap() {
        let [reference, candidate] = ["reference", "candidate"].map(|key| pair[key].as_str().unwrap());
        for (unit, name) in [(Unit::Characters, "characters"), (Unit::Words, "words")] {
            for (kind, weights) in &weights {
                let bleu = Bleu { unit, weights: weights.clone() }.score(reference, candidate);
                let expected = pair[format!("{name}/{kind}")].as_f64().unwrap();
                assert!(
                    (bleu - expected).abs() < 1e-12,
                    "{reference:?} {candidate:?} {name}/{kind}: {bleu} {expected}"
                );
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 240);
    assert_eq!(Bleu::default(), Bleu { unit: Unit::Characters, weights: vec![0.7, 0.3] });
}

#[test]
fn recognition_weighs_yes_and_no_alike() {
    let said = [
        (true, "Yes."),
        (true, "yes, it is <bo>"),
        (true, "No"),
        (true, "I do not know"),
        (false, "No."),
        (false, "NO, that is a dog"),
        (false, "Yes, I know it"),
    ];
    let found = Recognition::of(said).unwrap();
    assert_eq!((found.recall, found.no_recall), (Some(0.5), Some(2.0 / 3.0)));
    assert!((found.accuracy - 4.0 / 7.0).abs() < 1e-12);
    assert!((found.weighted.unwrap() - (0.5 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
    // Always yes.
    let always = Recognition::of([(true, "yes"), (true, "yes"), (true, "yes"), (false, "yes")]).unwrap();
    assert_eq!((always.accuracy, always.weighted), (0.75, Some(0.5)));
    assert_eq!(Recognition::of([(true, "yes")]).unwrap().weighted, None);
    assert_eq!(Recognition::of([]), None);
}
