//! Tasks of any data: a source that this test registers, selected by a config.
#![allow(clippy::unwrap_used)]

use burn::tensor::Device;
use counterpoint::config::RunConfig;
use counterpoint::registry::{self, BuildContext, TaskSourceEntry, settings};
use counterpoint::{ErrorKind, Key, Result, Streams, Task, TaskSource, inventory};

const RUN: &str = "
    [run]
    name = 'riddles'
    [data]
    kind = 'riddles'
    file = 'riddles.txt'
    [policy]
    kind = 'any'
    [sampler]
    kind = 'any'
    [rewards.any]
    [reward_weights.default]
    any = 1.0
";

/// Asks for the lines of a file.
struct Riddles(Vec<String>);

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RiddlesConfig {
    file: std::path::PathBuf,
}

impl TaskSource for Riddles {
    fn task(&self, step: u64, cursor: u64, streams: &Streams) -> Result<Task> {
        let which = streams.stream(Key::task(step, cursor), "riddle", 0).below(self.0.len());
        Ok(Task::new(cursor, self.0[which].clone()).with_class("riddle"))
    }
}

inventory::submit! {
    TaskSourceEntry::new("riddles", |table, context| {
        let config: RiddlesConfig = settings("data", table)?;
        let path = context.resolve(&config.file);
        let text = std::fs::read_to_string(&path).map_err(|e| counterpoint::Error::io("cannot read", &path, e))?;
        Ok(Box::new(Riddles(text.lines().map(str::to_owned).collect())))
    })
}

fn build(overrides: &[&str], context: &BuildContext) -> Result<Box<dyn TaskSource>> {
    let overrides: Vec<String> = overrides.iter().map(|&o| o.to_owned()).collect();
    let data = RunConfig::from_toml(RUN, &overrides)?.data;
    registry::task_source(&data.kind, &data.settings, context)
}

#[test]
fn a_config_may_name_any_source_of_tasks() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("riddles.txt"), "What has keys and opens no door?\nWhat gets wet as it dries?\n")
        .unwrap();
    let context = BuildContext::new(Device::flex(), folder.path());
    let tasks = build(&[], &context).unwrap();
    let task = tasks.task(2, 5, &Streams::new(1)).unwrap();
    assert_eq!((task.id, task.class.as_str()), (5, "riddle"));
    assert!(task.question.starts_with("What "), "{}", task.question);
    assert_eq!(registry::task_sources(), ["riddles"], "the engine itself has no data");
}

#[test]
fn a_source_that_is_unknown_or_set_wrongly_is_refused() {
    let context = BuildContext::new(Device::flex(), ".");
    let refused = |overrides: &[&str]| {
        let error = build(overrides, &context).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Config);
        error.to_string()
    };
    let message = refused(&["data.kind=ridles"]);
    assert!(message.starts_with("no task source is registered as `ridles`; did you mean `riddles`?"), "{message}");
    let message = refused(&["data.flie=riddles.txt"]);
    assert_eq!(message, "data.flie: unknown key; did you mean `file`? (known: file)");
}
