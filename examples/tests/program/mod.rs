//! The recipe as a program, and what it says in JSON.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The example that cargo builds along with the tests.
pub fn example(args: &[&str]) -> Command {
    let tests = std::env::current_exe().unwrap();
    let target = tests.parent().and_then(Path::parent).unwrap();
    let mut command = Command::new(target.join("examples").join(format!("sync_r1{}", std::env::consts::EXE_SUFFIX)));
    command.args(args);
    command
}

/// The objects of a JSON display; every line is one.
pub fn objects(text: &str) -> Vec<Value> {
    let parsed = text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")));
    parsed.inspect(|object: &Value| assert!(object["event"].is_string(), "{object}")).collect()
}

pub fn named<'a>(objects: &'a [Value], event: &str) -> Vec<&'a Value> {
    objects.iter().filter(|o| o["event"] == event).collect()
}

/// Settings of steps that take little time.
pub const SHORT: [&str; 10] = [
    "data.concepts=['kit']",
    "trainer.tasks_per_step=1",
    "trainer.group_size=2",
    "trainer.images_per_answer=1",
    "data.answer_share=0",
    "objective.denoising_steps=1",
    "trainer.warmup_steps=0",
    "trainer.max_attempts=1",
    "sampler.image.timesteps=2",
    "sampler.image.checkpoint_step=1",
];
