//! The program itself: exit status and what it prints.
#![allow(clippy::unwrap_used)]

mod common;

use std::process::{Command, Output};

use common::{concepts, copy, png, replace, write};
use serde_json::Value;

fn unifybench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_unifybench")).args(arguments).output().unwrap()
}

/// Runs it, expecting the exit status `code`: what it printed on standard output and on standard error.
fn run(arguments: &[&str], code: i32) -> [String; 2] {
    let output = unifybench(arguments);
    let said = [output.stdout, output.stderr].map(|said| String::from_utf8(said).unwrap());
    assert_eq!(output.status.code(), Some(code), "{}{}", said[0], said[1]);
    said
}

#[test]
fn check_says_all_and_its_exit_status_says_whether_there_is_a_problem() {
    let set = copy(&concepts());
    let dir = set.path().to_str().unwrap();
    let [good, _] = run(&["check", dir], 0);
    assert!(good.contains("3 concepts, 18 photographs, 13 facts, ") && good.contains("0 problems, "), "{good}");
    replace(set.path(), "concept/train/miso/info.json", "\"class\"", "\"clas\"");
    write(set.path(), "concept/train/kona/1.jpg", b"");
    let [bad, _] = run(&["check", dir], 1);
    assert!(bad.contains("problem: concept/train/kona/1.jpg\n  expected: "), "{bad}");
    assert!(bad.contains("did you mean `class`") && bad.contains("2 problems"), "{bad}");
    let [json, _] = run(&["check", dir, "--format", "json"], 1);
    let report: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((report["layout"].as_str(), report["summary"]["facts"].as_u64()), (Some("uni_c_tokens"), Some(13)));
    assert_eq!(report["problems"][1]["file"], "concept/train/miso/info.json");
    assert_eq!(report["problems"].as_array().unwrap().len(), 2);
}

#[test]
fn new_then_check_then_derive() {
    let parent = tempfile::tempdir().unwrap();
    let path = |name: &str| parent.path().join(name).to_str().unwrap().to_owned();
    for k in 1..5 {
        write(parent.path(), &format!("photos/IMG_{k}.png"), png(k));
    }
    write(parent.path(), "facts.txt", "<bo> has a ball. | <bo> with the ball.\n<bo> has a mat. | <bo> on the mat.\n");
    let (set, photos, facts) = (path("set"), path("photos"), path("facts.txt"));
    let new =
        ["new", &set, "--name", "bo", "--class", "dog", "--photos", &photos, "--facts", &facts, "--type", "animal"];
    let [said, _] = run(&new, 0);
    assert!(said.contains("wrote <bo> to"), "{said}");
    run(&["check", &set], 0);
    let [_, error] = run(&new, 1);
    assert!(error.contains("is already there"), "{error}");
    let [said, _] = run(&["derive", &set, "--seed", "3"], 0);
    assert!(said.starts_with("<bo>: "), "{said}");
    write(parent.path(), "facts.txt", "<bo> has a ball.\n");
    let [_, error] = run(&new, 1);
    assert!(error.contains("facts.txt:\nline 1: expected `fact | prompt`"), "{error}");
}

#[test]
fn convert_lists_what_is_still_to_be_written() {
    let parent = tempfile::tempdir().unwrap();
    write(parent.path(), "yo/train/bo/0.png", png(1));
    write(parent.path(), "yo/train/bo/recognition.json", "{}");
    let path = |name: &str| parent.path().join(name).to_str().unwrap().to_owned();
    let [said, _] = run(&["convert", &path("yo"), &path("set")], 0);
    assert!(
        said.contains("still to be written by you:\n- concept/test/bo/t2i_conditions.json\n    expected:"),
        "{said}"
    );
    assert!(said.contains("no place there:\n- train/bo/recognition.json\n"), "{said}");
    run(&["check", &path("set")], 1);
}

#[test]
fn mistakes_on_the_command_line_have_their_own_status() {
    run(&["check"], 2);
    run(&["chekc", "."], 2);
    let [_, error] = run(&["check", "no/such/folder"], 1);
    assert!(error.contains("cannot read the folder no/such/folder"), "{error}");
}
