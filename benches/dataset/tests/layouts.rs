//! Other layouts are recognised, checked and converted.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{assert_problems, png, write};
use counterpoint_dataset::{ErrorKind, Layout, check, convert};
use tempfile::TempDir;

fn made(files: &[(&str, Vec<u8>)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (file, bytes) in files {
        write(folder.path(), file, bytes);
    }
    folder
}

fn yo_llava() -> TempDir {
    made(&[
        ("train/bo/0.png", png(1)),
        ("train/bo/1.png", png(2)),
        ("train/bo/conversations.json", b"{}".to_vec()),
        ("train/bo/negative_example/cat.png", png(3)),
        ("train/bo/negative_example/score.json", br#"{"cat.png": 0.25}"#.to_vec()),
        ("test/bo/0.png", png(4)),
    ])
}

fn dream_bench() -> TempDir {
    let classes = "Classes\n\nsubject_name,class\ncat2,cat\nvase,vase\n\nPrompts\n\n'a {0} {1}'.format(token, class)\n";
    made(&[
        ("prompts_and_classes.txt", classes.into()),
        ("cat2/00.png", png(1)),
        ("cat2/01.png", png(2)),
        ("cat2/02.png", png(3)),
        ("vase/00.png", png(4)),
        ("vase/01.png", png(5)),
    ])
}

fn mc_llava() -> TempDir {
    made(&[
        ("concept/train/Alex/0.png", png(1)),
        ("concept/train/Alex/0_mask.png", png(2)),
        ("concept/train/Alex/caption_llava.json", b"{}".to_vec()),
        ("concept/test/Alex/0.png", png(3)),
        ("concept/test/Alex/choice.json", b"{}".to_vec()),
        ("multi/Alex_Gloria/0.png", png(4)),
    ])
}

#[test]
fn layouts_are_recognised_and_their_photographs_checked() {
    for (folder, layout, concepts, photographs) in [
        (yo_llava(), Layout::YoLlava, 1, 3),
        (dream_bench(), Layout::DreamBench, 2, 5),
        (mc_llava(), Layout::McLlava, 1, 2),
    ] {
        let report = assert_problems(folder.path(), &[]);
        let summary = report.summary;
        assert_eq!((report.layout, summary.concepts, summary.photographs), (layout, concepts, photographs));
    }
}

#[test]
fn their_faults_are_found() {
    let folder = yo_llava();
    write(folder.path(), "train/bo/2.png", b"");
    write(folder.path(), "train/bo/negative_example/dog.png", b"");
    write(folder.path(), "test/bo/1.png", png(1));
    write(folder.path(), "train/a>/0.png", png(9));
    let bad = ["test/bo/1.png", "train/a>", "train/bo/2.png", "train/bo/negative_example/dog.png"];
    assert_problems(folder.path(), &bad.map(|file| (file, "")));

    let folder = dream_bench();
    write(folder.path(), "dog/00.jpg", png(9));
    common::replace(folder.path(), "prompts_and_classes.txt", "vase,vase", "vaze,vase");
    let places = [("dog", ""), ("dog/00.jpg", ""), ("prompts_and_classes.txt", "line 5"), ("vase", "")];
    assert_problems(folder.path(), &places);
}

/// What is left to write of each concept, in the order of a check.
fn unwritten(name: &str, class: bool) -> Vec<(String, String)> {
    let info = format!("concept/train/{name}/info.json");
    let mut all =
        vec![(format!("concept/test/{name}/t2i_conditions.json"), String::new()), (info.clone(), String::new())];
    if !class {
        all.push((info, String::new()));
    }
    all
}

fn converted(folder: &Path, test: usize, missing: &[Vec<(String, String)>]) -> (TempDir, Vec<String>) {
    let out = tempfile::tempdir().unwrap();
    let set = out.path().join("set");
    let converted = convert(folder, &set, test).unwrap();
    let missing = missing.concat();
    let missing: Vec<_> = missing.iter().map(|(file, key)| (file.as_str(), key.as_str())).collect();
    // What is still to be written is just what a check of the result finds.
    assert_eq!(assert_problems(&set, &missing), converted.report);
    assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 1, "temporary files are left");
    (out, converted.left)
}

#[test]
fn yo_llava_is_converted() {
    let (out, left) = converted(yo_llava().path(), 0, &[unwritten("bo", false)]);
    assert_eq!(left, ["train/bo/conversations.json"]);
    let read = |file: &str| std::fs::read(out.path().join("set").join(file)).unwrap();
    assert_eq!(read("concept/train/bo/1.png"), png(2));
    assert_eq!(read("concept/test/bo/0.png"), png(4));
    assert_eq!(read("concept/train/bo/negative_example/cat.png"), png(3));
    assert_eq!(read("concept/train/bo/negative_example/score.json"), br#"{"cat.png": 0.25}"#);
    assert_eq!(read("concepts_list.json"), b"[\n  \"bo\"\n]\n");
}

#[test]
fn dream_bench_is_converted_with_its_classes() {
    let folder = dream_bench();
    let missing = [unwritten("cat2", true), unwritten("vase", true)];
    let (out, _) = converted(folder.path(), 1, &missing);
    let train = out.path().join("set/concept/train/cat2");
    let info: serde_json::Value = serde_json::from_slice(&std::fs::read(train.join("info.json")).unwrap()).unwrap();
    assert_eq!(info, serde_json::json!({"name": "cat2", "class": "cat"}));
    assert!(train.join("1.png").is_file() && !train.join("2.png").exists());
    let error = convert(folder.path(), &out.path().join("other"), 2).unwrap_err();
    assert!(error.to_string().contains("fewer than the 2 photographs of vase"), "{error}");
}

#[test]
fn mc_llava_is_converted() {
    let (_, left) = converted(mc_llava().path(), 0, &[unwritten("Alex", false)]);
    let files = ["train/Alex/0_mask.png", "train/Alex/caption_llava.json", "test/Alex/choice.json"];
    assert_eq!(left, files.map(|file| format!("concept/{file}")));
}

#[test]
fn nothing_is_overwritten_and_the_own_layout_is_left_alone() {
    let (folder, out) = (yo_llava(), tempfile::tempdir().unwrap());
    assert_eq!(convert(folder.path(), out.path(), 0).unwrap_err().kind(), ErrorKind::Exists);
    let error = convert(&common::concepts(), &out.path().join("set"), 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(check(out.path()).is_err(), "nothing was written");
}
