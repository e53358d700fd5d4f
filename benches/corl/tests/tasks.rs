//! Rows of JSON Lines and of Parquet as tasks, and what is wrong with files.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use counterpoint::registry::{self, BuildContext};
use counterpoint::{ErrorKind, FlatTasks, Streams, TaskOrder, TaskSource};
use counterpoint_corl::{Columns, CorlConfig, CorlTasks, Halves};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn config(name: &str) -> CorlConfig {
    CorlConfig::new(fixture(name))
}

#[test]
fn a_row_is_a_task_of_two_halves() {
    let tasks = config("rows.jsonl").init(Path::new("")).unwrap();
    assert_eq!(tasks.rows().len(), 3);
    let task = tasks.of(0).unwrap();
    assert_eq!(task.base_prompt, "a red hat on a beach");
    assert!(task.question.starts_with("What colour is the hat?") && task.generates && task.response.is_none());
    assert_eq!(task.params["qa_solution"], "A");
    assert_eq!(task.params["qa_type"], "MC");
    let image = task.image.as_ref().unwrap();
    assert_eq!((image.dimensions(), image.get_pixel(0, 0).0), ((6, 4), [200, 10, 10]));
    assert_eq!(task.references.len(), 1);
    assert_eq!(tasks.of(1).unwrap().params["qa_solution"], "2", "a number is text");
    assert!(tasks.of(2).unwrap().params.get("qa_type").is_none());
    // One half alone.
    let painted = CorlConfig { halves: Halves::Generation, ..config("rows.jsonl") }.init(Path::new("")).unwrap();
    let task = painted.of(0).unwrap();
    assert_eq!((task.response.as_deref(), task.image.is_none(), task.references.len()), (Some(""), true, 1));
    assert!(task.params.as_object().unwrap().is_empty());
    let answered = CorlConfig { halves: Halves::Understanding, ..config("rows.jsonl") }.init(Path::new("")).unwrap();
    let task = answered.of(0).unwrap();
    assert_eq!((task.generates, task.base_prompt.as_str(), task.image.is_some()), (false, "", true));
}

#[test]
fn halves_that_alternate_are_whole_steps_of_one_half() {
    let tasks = CorlConfig { halves: Halves::Alternating, ..config("rows.jsonl") }.init(Path::new("")).unwrap();
    let of = |step: u64| (0..4).map(move |cursor| (step, 4 * step + cursor));
    for (step, cursor) in (0..4).flat_map(of) {
        let task = tasks.task(step, cursor, &Streams::new(1)).unwrap();
        let painting = step.is_multiple_of(2);
        assert_eq!((task.generates, task.response.is_some(), task.image.is_some()), (painting, painting, !painting));
    }
    let both = tasks.survey().unwrap().remove(0);
    assert!(both.generates && both.response.is_none() && both.image.is_some(), "one task stands for both");
}

#[test]
fn rows_come_in_order_or_shuffled_and_those_that_teach_nothing_are_passed_over() {
    let of = |order| CorlConfig { order, skip_flat: 2, ..config("rows.jsonl") }.init(Path::new("")).unwrap();
    let ids = |tasks: &CorlTasks, cursors: std::ops::Range<u64>| -> Vec<u64> {
        cursors.map(|cursor| tasks.task(0, cursor, &Streams::new(5)).unwrap().id).collect()
    };
    assert_eq!(ids(&of(TaskOrder::Sequential), 0..7), [0, 1, 2, 0, 1, 2, 0]);
    let shuffled = ids(&of(TaskOrder::Shuffled), 0..30);
    assert!(shuffled.chunks(3).all(|round| (0..3).all(|id| round.contains(&id))));
    assert_ne!(shuffled, ids(&of(TaskOrder::Sequential), 0..30));

    let mut flat = FlatTasks::after(2);
    (0..2).for_each(|_| flat.saw(1, Some(true)));
    let mut tasks = of(TaskOrder::Sequential);
    tasks.restore(&flat.state()).unwrap();
    assert_eq!(ids(&tasks, 0..6), [0, 2, 2, 0, 2, 2]);
    assert_eq!(tasks.state(), flat.state());
    let config: CorlConfig =
        registry::settings("data", &"path = 'x'\norder = 'shuffled'\nskip_flat = 3".parse().unwrap()).unwrap();
    assert_eq!((config.order, config.skip_flat), (TaskOrder::Shuffled, 3));
}

#[test]
fn rows_are_drawn_by_seed_each_as_often() {
    let tasks = config("rows.jsonl").init(Path::new("")).unwrap();
    let draw = |seed: u64| -> Vec<u64> {
        (0..300).map(|cursor| tasks.task(0, cursor, &Streams::new(seed)).unwrap().id).collect()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
    for row in 0..3 {
        let count = draw(1).iter().filter(|id| **id == row).count();
        assert!((60..140).contains(&count), "row {row} was drawn {count} times of 300");
    }
    assert_eq!(tasks.survey().unwrap().len(), 3);
}

#[test]
fn it_is_built_by_name_with_columns_of_other_names() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(fixture("red.png"), folder.path().join("red.png")).unwrap();
    let line = r#"{"image": "red.png", "problem": "What is it?", "answer": "a hat"}"#;
    std::fs::write(folder.path().join("a.jsonl"), format!("{line}\n\n{line}\n")).unwrap();
    let table = toml::toml! {
        path = "."
        halves = "understanding"
        question = "{question} Answer in one word."
        class = "asked"
        columns = { image = "image", problem = "problem", solution = "answer" }
    };
    let context = BuildContext::new(counterpoint::burn::tensor::Device::flex(), folder.path());
    let source = registry::task_source("corl", &table, &context).unwrap();
    let task = source.task(0, 0, &Streams::new(0)).unwrap();
    assert_eq!((task.question.as_str(), task.class.as_str()), ("What is it? Answer in one word.", "asked"));
    assert_eq!(Columns::default().prompt, "prompt");
}

#[test]
fn what_is_wrong_is_said_with_file_and_row() {
    let folder = tempfile::tempdir().unwrap();
    let read = |text: &str| {
        let file = folder.path().join("rows.jsonl");
        std::fs::write(&file, text).unwrap();
        CorlConfig::new(&file).init(Path::new(""))
    };
    let good = r#"{"prompt": "a", "real_image": "none.png", "qa_problem": "b", "qa_solution": "c"}"#;
    for (text, said) in [
        (String::new(), "expected one row or more"),
        (format!("{good}\n{{\"prompt\": 3"), "line 2: expected a JSON object in one line"),
        ("[1]".to_owned(), "line 1: expected a JSON object"),
        (
            good.replace("qa_solution", "solution"),
            "expected something in column `qa_solution`, got nothing (there are: ",
        ),
        (good.replace("\"none.png\"", "[1, 2]"), "column `real_image`"),
    ] {
        let error = read(&text).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data, "{text}");
        assert!(format!("{error:#}").contains(said), "{text}: {error:#}");
    }
    let tasks = read(good).unwrap();
    let error = tasks.of(0).unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("rows.jsonl, line 1: expected an image") && text.contains("none.png"), "{text}");
    std::fs::write(folder.path().join("none.png"), "no image").unwrap();
    assert!(format!("{:#}", tasks.of(0).unwrap_err()).contains("got something else"));
    let refused = CorlConfig { question: "what?".to_owned(), ..config("rows.jsonl") }.init(Path::new("")).unwrap_err();
    assert!(refused.to_string().contains("data.question"), "{refused}");
    let error = CorlConfig::new(folder.path().join("a.csv")).init(Path::new("")).unwrap_err().to_string();
    assert!(error.contains(".jsonl, .json or .parquet"), "{error}");
}

#[test]
#[cfg(not(feature = "parquet"))]
fn without_the_feature_a_parquet_file_says_how_it_can_be_read() {
    let error = config("rows.parquet").init(Path::new("")).unwrap_err().to_string();
    assert!(error.contains("--features parquet"), "{error}");
}

#[test]
#[cfg(feature = "parquet")]
fn parquet_gives_the_same_tasks() {
    let lines = config("rows.jsonl").init(Path::new("")).unwrap();
    let parquet = config("rows.parquet").init(Path::new("")).unwrap();
    for row in 0..3 {
        let (a, b) = (lines.of(row).unwrap(), parquet.of(row).unwrap());
        assert_eq!((a.question, a.base_prompt, a.params, a.image), (b.question, b.base_prompt, b.params, b.image));
    }
    let error =
        CorlConfig { columns: Columns { prompt: "text".to_owned(), ..Columns::default() }, ..config("rows.parquet") };
    let error = format!("{:#}", error.init(Path::new("")).unwrap_err());
    assert!(error.contains("expected a column `text`, got prompt, real_image"), "{error}");
    let error = format!("{:#}", config("other.parquet").init(Path::new("")).unwrap_err());
    assert!(error.contains("row 0: expected an image in column `real_image`, got text"), "{error}");
}
