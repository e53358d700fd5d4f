//! What other people's code says of the same answers (`fixtures/make.py`): VLMEvalKit, math-verify and CoRL's public rewards.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use counterpoint::registry::{self, BuildContext};
use counterpoint::{ErrorKind, Judges, Reward, Sample, Score, Task};
use counterpoint_answers::{
    Accuracy, AccuracyConfig, Format, FormatConfig, OpenEnded, Tagged, choices, inferred, same_value, soft_jaccard,
};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Fixture {
    choices: Vec<Choice>,
    values: Vec<Pair>,
    jaccard: Vec<Phrases>,
    formats: Vec<Form>,
    open: Vec<Open>,
}

#[derive(Deserialize)]
struct Choice {
    choices: BTreeMap<char, String>,
    answer: String,
    inferred: Option<char>,
}

#[derive(Deserialize)]
struct Pair {
    gold: String,
    answer: String,
    equal: bool,
}

#[derive(Deserialize)]
struct Phrases {
    a: String,
    b: String,
    score: f64,
}

#[derive(Deserialize)]
struct Form {
    text: String,
    format: f64,
    tags: f64,
}

#[derive(Deserialize)]
struct Open {
    response: String,
    solution: String,
    score: f64,
}

fn fixture() -> Fixture {
    serde_json::from_str(include_str!("fixtures/answers.json")).unwrap()
}

#[test]
fn choices_are_inferred_as_by_vlmevalkit() {
    for Choice { choices, answer, inferred: expected } in fixture().choices {
        assert_eq!(inferred(&answer, &choices), expected, "{answer:?} of {choices:?}");
    }
}

#[test]
fn values_are_equal_as_by_math_verify() {
    // What it does not read as a number.
    let ours = [("1e3", "1000"), ("1000", "1 000")];
    for Pair { gold, answer, equal } in fixture().values {
        assert_eq!(same_value(&gold, &answer), equal || ours.contains(&(&*gold, &*answer)), "{gold} and {answer}");
        assert_eq!(same_value(&gold, &answer), same_value(&answer, &gold), "{gold} and {answer}, the other way round");
    }
}

/// Found by a fuzzer: an answer of 1250 bytes took 15 seconds.
#[test]
fn sets_within_sets_take_no_longer_with_every_depth() {
    let nested = |number: u32| (0..30).fold(number.to_string(), |inner, _| format!("\\{{{inner}, 2\\}}"));
    assert!(same_value(&nested(1), &nested(1)));
    assert!(!same_value(&nested(1), &nested(3)));
    assert!(same_value("\\{1, 1, 2\\}", "\\{2, 1, 2\\}") && !same_value("\\{1, 1, 2\\}", "\\{2, 2, 2\\}"));
}

#[test]
fn phrases_are_as_alike_as_in_the_public_code() {
    for Phrases { a, b, score } in fixture().jaccard {
        assert!((soft_jaccard(&a, &b) - score).abs() < 1e-12, "{a:?} and {b:?}: {} {score}", soft_jaccard(&a, &b));
    }
}

#[test]
fn forms_are_those_of_the_public_code() {
    for Form { text, format, tags } in fixture().formats {
        assert_eq!(Format::default().of(&text), format, "{text:?}");
        assert_eq!(Format(FormatConfig { tags: true }).of(&text), tags, "{text:?}");
    }
    assert_eq!(Tagged::of("<think>"), Tagged { whole: false, once: 1 });
}

#[test]
fn open_answers_score_as_in_the_public_code() {
    let accuracy = Accuracy(AccuracyConfig { open: OpenEnded::Words, ..AccuracyConfig::default() });
    for Open { response, solution, score } in fixture().open {
        let params = json!({ "qa_type": "OE", "qa_problem": "", "qa_solution": solution });
        let got = accuracy.of(&response, &params).value().unwrap();
        assert!((got - score).abs() < 1e-12, "{response:?} for {solution:?}: {got} {score}");
    }
}

fn problem(kind: &str, solution: &str) -> Value {
    let problem = "What does she wear?\nA. a red hat\nB. a blue scarf\n(C) nothing";
    json!({ "qa_type": kind, "qa_problem": problem, "qa_solution": solution })
}

#[test]
fn a_choice_is_right_by_its_letter_or_its_text() {
    let accuracy = Accuracy::default();
    for (response, solution, right) in [
        ("<think>red</think><answer>A</answer>", "A", 1.0),
        ("<answer>A. a red hat</answer>", "<answer>A</answer>", 1.0),
        ("<answer>a red hat</answer>", "A", 1.0),
        ("A", "a red hat", 1.0),
        ("<answer>B</answer>", "A", 0.0),
        ("<think>A</think><answer>C</answer>", "A", 0.0),
        ("<answer>A or B</answer>", "A", 0.0),
        ("", "A", 0.0),
    ] {
        assert_eq!(accuracy.of(response, &problem("MC", solution)), Score::Value(right), "{response:?}");
    }
    let mut without_kind = problem("", "B");
    without_kind.as_object_mut().unwrap().remove("qa_type");
    assert_eq!(accuracy.of("a blue scarf", &without_kind), Score::Value(1.0), "the solution is a choice's letter");
    let strict = Accuracy(AccuracyConfig { tags_required: true, ..AccuracyConfig::default() });
    assert_eq!(strict.of("A", &problem("MC", "A")), Score::Value(0.0));
}

#[test]
fn what_cannot_be_judged_is_said() {
    let mut accuracy = Accuracy::default();
    assert_eq!(accuracy.of("A", &Value::Null), Score::Abstain("there is no qa_solution".to_owned()));
    let lost = json!({ "qa_type": "MCQ", "qa_problem": "What is it?", "qa_solution": "B" });
    let Score::Abstain(why) = accuracy.of("B", &lost) else { panic!("expected an abstention") };
    assert!(why.contains("none of the problem's choices"), "{why}");
    let tasks = [Task::new(3, "a").with_params(problem("MC", "A")), Task::new(4, "b").with_params(lost)];
    let error = accuracy.check(&tasks).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("task 4"), "{error}");
    accuracy.check(&tasks[..1]).unwrap();
    assert!(choices("no lines of choices").is_empty());
}

#[test]
fn both_are_built_by_name_and_judge_answers_alone() {
    let context = BuildContext::new(counterpoint::burn::tensor::Device::flex(), ".");
    let task = Task::new(0, "How many?").with_params(json!({ "qa_solution": "\\frac{1}{2}" }));
    let sample = Sample::new(&task, 0, String::new(), "<think>.</think><answer>0.5</answer>".to_owned(), None);
    for name in ["accuracy", "format"] {
        let mut reward = registry::reward(name, &toml::Table::new(), &context).unwrap();
        assert_eq!((reward.name(), reward.judges()), (name, Judges::Understanding));
        assert_eq!(reward.score(std::slice::from_ref(&sample)).unwrap(), [Score::Value(1.0)]);
        let error = registry::reward(name, &toml::toml! { wrong = 1 }, &context).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("wrong"), "{error}");
    }
}

proptest! {
    #[test]
    fn any_text_has_a_score(a in ".{0,40}", b in r"[\\{}()\[\]0-9a-z.,^%$/*+-]{0,40}") {
        let params = json!({ "qa_type": "OE", "qa_solution": b, "qa_problem": a });
        for open in [OpenEnded::Value, OpenEnded::Words] {
            let score = Accuracy(AccuracyConfig { open, ..AccuracyConfig::default() }).of(&a, &params).value().unwrap();
            prop_assert!((0.0..=1.0).contains(&score));
        }
        prop_assert_eq!(same_value(&a, &b), same_value(&b, &a));
    }
}
