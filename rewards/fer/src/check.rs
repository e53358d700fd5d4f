//! What FER says of tasks before the first step.

use std::collections::BTreeSet;
use std::sync::Arc;

use counterpoint::{Error, Result, Task};
use image::RgbImage;
use serde_json::Value;

/// Refuses `tasks` of whose references `has_face` finds a face in none: FER would abstain from every image of them.
pub(crate) fn faces(tasks: &[Task], has_face: impl Fn(&Arc<RgbImage>) -> bool) -> Result<()> {
    let faceless = tasks.iter().filter(|task| !task.references.iter().any(&has_face));
    // A concept has many tasks, most of them with the same references.
    let told: BTreeSet<String> = faceless.map(describe).collect();
    if told.is_empty() {
        return Ok(());
    }
    Err(Error::data(format!(
        "expected a face in at least one reference of every task, got none for {}; give another photograph that shows the \
         face from the front and larger than the detector's min_face_size, or the concept a class whose reward_weights are \
         without this reward",
        told.into_iter().collect::<Vec<_>>().join(", ")
    )))
}

fn describe(task: &Task) -> String {
    let concept = task.params.get("concept").and_then(Value::as_str);
    let what = concept.map_or_else(|| format!("task {}", task.id), |concept| format!("concept {concept}"));
    format!("{what} (class {}, references looked at: {})", task.class, task.references.len())
}
