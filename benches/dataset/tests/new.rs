//! A concept that is begun passes the check, and nothing is ever written in half.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{assert_problems, concepts, copy, files, png, write};
use counterpoint_dataset::{ConceptType, ErrorKind, Fact, NewConcept, begin, check};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Five photographs, one with an ending that lies, and files that are none.
fn photos() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, bytes) in
        [("9.png", png(9)), ("10.png", png(10)), ("11.JPG", png(11)), ("a b.png", png(12)), ("z.png", png(13))]
    {
        write(folder.path(), file, bytes);
    }
    write(folder.path(), "notes.txt", "no photograph");
    write(folder.path(), ".hidden.png", "no photograph");
    folder
}

fn facts() -> Vec<Fact> {
    let text = "<bo> has a blue ball. | A photo of <bo> with the ball.\n\
        <bo> sleeps on a red mat. | A photo of <bo> asleep.\n\
        <bo> wears a green hat. | A photo of <bo> in winter.\n";
    Fact::parse(text).unwrap()
}

fn concept(photos: &Path) -> NewConcept {
    let kind = Some(ConceptType::Animal);
    NewConcept {
        name: "bo".into(),
        class: "dog".into(),
        photos: photos.into(),
        facts: facts(),
        test: None,
        info: None,
        kind,
    }
}

fn value(root: &Path, file: &str) -> Value {
    serde_json::from_slice(&fs::read(root.join(file)).unwrap()).unwrap()
}

#[test]
fn a_new_data_set_passes_its_check() {
    let (photos, parent) = (photos(), tempfile::tempdir().unwrap());
    let dir = parent.path().join("new/set");
    begin(&dir, &concept(photos.path())).unwrap();
    let summary = assert_problems(&dir, &[]).summary;
    assert_eq!((summary.concepts, summary.photographs, summary.facts), (1, 5, 3));
    let info = value(&dir, "concept/train/bo/info.json");
    let expected = json!({
        "name": "bo", "class": "dog", "info": "<bo> is a dog.", "num_testing_info": 1, "conversation_type": "animal",
        "extra_info": ["<bo> has a blue ball.", "<bo> sleeps on a red mat.", "<bo> wears a green hat."],
    });
    assert_eq!(info, expected);
    // By number, then by name; the last is held out, and an ending says the format.
    assert_eq!(fs::read(dir.join("concept/train/bo/0.png")).unwrap(), png(9));
    assert_eq!(fs::read(dir.join("concept/train/bo/2.png")).unwrap(), png(11));
    assert_eq!(fs::read(dir.join("concept/test/bo/0.png")).unwrap(), png(13));
    // The held-out fact is in no training file but the list of facts.
    let conversations = fs::read_to_string(dir.join("concept/train/bo/conversations.json")).unwrap();
    assert!(conversations.contains("red mat") && !conversations.contains("green hat"), "{conversations}");
    assert_eq!(value(&dir, "concept/test/bo/text_only.json").as_array().unwrap().len(), 3);
    assert_eq!(fs::read_dir(parent.path().join("new")).unwrap().count(), 1, "temporary files are left");
}

#[test]
fn without_facts_the_class_is_the_fact() {
    let (photos, dir) = (photos(), tempfile::tempdir().unwrap());
    let bare =
        NewConcept { class: "old dog".into(), facts: Vec::new(), kind: None, test: Some(0), ..concept(photos.path()) };
    let report = begin(dir.path(), &bare).unwrap();
    assert_eq!(value(dir.path(), "concept/train/bo/info.json")["extra_info"], json!(["<bo> is an old dog."]));
    assert_eq!(check(dir.path()).unwrap().problems, report.problems);
    assert!(report.warnings.iter().any(|w| w.expected == "a fact to hold out"), "{report}");
}

#[test]
fn a_concept_is_added_to_those_that_are_there() {
    let (photos, set) = (photos(), copy(&concepts()));
    let mut bo = concept(photos.path());
    bo.facts[0].text = "<bo> plays with <miso>.".into();
    begin(set.path(), &bo).unwrap();
    assert_problems(set.path(), &[]);
    assert_eq!(value(set.path(), "concepts_list.json"), json!(["vera", "miso", "kona", "bo"]));
    // A list that is not there is not made: the folders are the list.
    fs::remove_file(set.path().join("concepts_list.json")).unwrap();
    bo.name = "bo 2".into();
    bo.photos = photos.path().into();
    for fact in &mut bo.facts {
        fact.text = fact.text.replace("<bo>", "<bo 2>");
    }
    // The held-out photograph of the one is the held-out photograph of the other: no leakage.
    begin(set.path(), &bo).unwrap();
    assert!(!set.path().join("concepts_list.json").exists());
    assert_eq!(assert_problems(set.path(), &[]).summary.concepts, 5);
}

/// Beginning `concept` in `dir` fails, says `words`, and changes nothing.
fn refused(dir: &Path, concept: &NewConcept, kind: ErrorKind, words: &str) {
    let before = dir.exists().then(|| files(dir));
    let error = begin(dir, concept).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "expected {words:?} in\n{error}");
    assert_eq!(dir.exists().then(|| files(dir)), before);
}

#[test]
fn what_cannot_be_begun_changes_nothing() {
    let (photos, set, parent) = (photos(), copy(&concepts()), tempfile::tempdir().unwrap());
    let new: PathBuf = parent.path().join("set");
    let bo = || concept(photos.path());
    refused(set.path(), &NewConcept { name: "miso".into(), ..bo() }, ErrorKind::Exists, "concept/train/miso");
    refused(&new, &NewConcept { name: "b<o".into(), ..bo() }, ErrorKind::Data, "--name");
    refused(&new, &NewConcept { name: "..".into(), ..bo() }, ErrorKind::Data, "--name");
    refused(&new, &NewConcept { class: " ".into(), ..bo() }, ErrorKind::Data, "/class");
    refused(&new, &NewConcept { test: Some(5), ..bo() }, ErrorKind::Data, "--test");
    let mut slip = bo();
    slip.facts[1].prompt = "A photo of <mizo> with <bo>.".into();
    refused(set.path(), &slip, ErrorKind::Data, "write <miso>");
    slip.facts[1] = slip.facts[0].clone();
    refused(&new, &slip, ErrorKind::Data, "/extra_info/1");
    let other = tempfile::tempdir().unwrap();
    write(other.path(), "thesis.txt", "not to be touched");
    refused(other.path(), &bo(), ErrorKind::Data, "got another folder");
    // A photograph that another concept holds out.
    fs::copy(set.path().join("concept/test/miso/0.jpg"), photos.path().join("0.jpg")).unwrap();
    refused(set.path(), &bo(), ErrorKind::Data, "leakage");
    // Everything that is wrong with the photographs, at once.
    write(photos.path(), "1.png", b"");
    write(photos.path(), "b.webp", b"RIFF");
    write(photos.path(), "zz.png", png(13));
    refused(&new, &bo(), ErrorKind::Data, "1.png: an empty file");
    refused(&new, &bo(), ErrorKind::Data, "b.webp");
    refused(&new, &bo(), ErrorKind::Data, "zz.png: the same photograph as z.png");
    let none = tempfile::tempdir().unwrap();
    refused(&new, &concept(none.path()), ErrorKind::Data, "expected photographs");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0, "temporary files are left");
}
