//! Derived training samples: what is made of what, and that the seed decides.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{assert_problems, concepts, copy, png, replace, write};
use counterpoint_dataset::derive::FOLDERS;
use counterpoint_dataset::{DeriveOptions, Derived, ErrorKind, derive};
use serde_json::{Value, json};
use tempfile::TempDir;

fn samples(root: &Path, stage: usize, name: &str) -> Vec<Value> {
    serde_json::from_slice(&fs::read(root.join(FOLDERS[stage - 1]).join(format!("{name}.json"))).unwrap()).unwrap()
}

/// The three concepts with negatives and two questions more.
fn with_negatives() -> TempDir {
    let set = copy(&concepts());
    for k in 0..20 {
        write(set.path(), &format!("random_images/{k}.png"), png(k));
    }
    let negatives = "concept/train/miso/negative_example";
    for (k, file) in ["a.png", "b.png", "c.png"].iter().enumerate() {
        write(set.path(), &format!("{negatives}/{file}"), png(100 + k as u8));
    }
    write(set.path(), &format!("{negatives}/score.json"), r#"{"a.png": 0.25, "b.png": 0.75}"#);
    let more =
        |answer: &str| json!([{"query": "<miso>?", "answer": answer}, {"query": "Is it <miso>?", "answer": answer}]);
    write(set.path(), "concept/train/miso/positive_recognitions.json", more("Yes.").to_string());
    write(set.path(), "concept/train/miso/random_recognitions.json", more("No.").to_string());
    set
}

#[test]
fn samples_are_made_of_the_training_half() {
    let set = copy(&concepts());
    let derived =
        derive(set.path(), &DeriveOptions { prefix: Some("data/".into()), ..DeriveOptions::default() }).unwrap();
    // 4 recognitions, 4 x 2 conversations, 1 question without a photograph.
    assert_eq!(derived[1], Derived { name: "miso".into(), samples: [13, 13, 13] });
    let samples = samples(set.path(), 1, "miso");
    let turns =
        |q: &str, a: &str| json!([{"from": "human", "value": format!("<image>\n{q}")}, {"from": "gpt", "value": a}]);
    let image = "data/concept/train/miso/0.jpg";
    assert_eq!(samples[0], json!({"image": image, "conversations": turns("Is <miso> in this image?", "Yes.")}));
    let known = turns("What do you know about <miso>?", "<miso> is a ginger tabby cat with green eyes.");
    assert_eq!(samples[12], json!({"image": "data/black_512x512.png", "conversations": known}));
    // What is derived belongs to the layout.
    assert_problems(set.path(), &[]);
}

#[test]
fn negatives_are_drawn_by_the_seed_and_ordered_by_their_scores() {
    let set = with_negatives();
    let made = |seed, hard_negatives| {
        let out = tempfile::tempdir().unwrap();
        let options = DeriveOptions { seed, hard_negatives, out: Some(out.path().into()), prefix: Some("d".into()) };
        let derived = derive(set.path(), &options).unwrap();
        ([1, 2, 3].map(|stage| samples(out.path(), stage, "miso")), derived[1].samples)
    };
    let (stages, counts) = made(0, None);
    // 4 x 2 questions answered with yes, 20 easy and 3 hard negatives, 9 conversations; and so on.
    assert_eq!(counts, [8 + 20 + 3 + 9, 4 + 9, 8 + 3 * 2 + 9]);
    let images =
        |samples: &[Value]| samples.iter().map(|s| s["image"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let hard = |file| format!("d/concept/train/miso/negative_example/{file}.png");
    assert_eq!(images(&stages[0][28..31]), [hard("b"), hard("a"), hard("c")]);
    assert_eq!(stages[0][28]["conversations"][1]["value"], "No.");
    assert_eq!(made(0, None).0, stages, "the same seed");
    assert_ne!(made(1, None).0, stages, "another seed");
    let (hardest, counts) = made(0, Some(1));
    assert_eq!((counts[0], images(&hardest[2][8..10])), (38, vec![hard("b"), hard("b")]));
    // Another picture changes nothing of the others.
    write(set.path(), "random_images/00.png", png(200));
    let (more, _) = made(0, None);
    assert!(stages[0].iter().all(|sample| more[0].contains(sample)));
}

#[test]
fn nothing_is_overwritten_and_nothing_is_made_of_what_is_wrong() {
    let set = with_negatives();
    derive(set.path(), &DeriveOptions::default()).unwrap();
    assert_eq!(derive(set.path(), &DeriveOptions::default()).unwrap_err().kind(), ErrorKind::Exists);

    let set = with_negatives();
    fs::remove_file(set.path().join("black_512x512.png")).unwrap();
    let error = derive(set.path(), &DeriveOptions::default()).unwrap_err();
    assert!(error.to_string().contains("expected black_512x512.png"), "{error}");
    replace(set.path(), "concept/train/miso/info.json", "\"class\"", "\"clas\"");
    let error = derive(set.path(), &DeriveOptions::default()).unwrap_err();
    assert!(error.to_string().contains("1 problem;"), "{error}");
    let left: Vec<_> = fs::read_dir(set.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(
        left.iter().all(|name| !name.to_string_lossy().contains("showo") && !name.to_string_lossy().starts_with('.'))
    );
}
