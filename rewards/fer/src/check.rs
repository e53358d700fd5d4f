//! What FER says of tasks before the first step.

use std::collections::BTreeMap;
use std::sync::Arc;

use counterpoint::{Error, Result, Task};
use image::RgbImage;
use serde_json::Value;

/// Refuses `tasks` about a concept of which `has_face` finds a face in no reference of any of its tasks: FER would never
/// have a say. (A single photograph without a face is no mistake: FER abstains where it is the only reference.)
pub(crate) fn faces(tasks: &[Task], has_face: impl Fn(&Arc<RgbImage>) -> bool) -> Result<()> {
    let mut about: BTreeMap<String, Vec<&Arc<RgbImage>>> = BTreeMap::new();
    for task in tasks {
        let looked_at = about.entry(name(task)).or_default();
        for image in &task.references {
            // Many tasks have the same references.
            if !looked_at.iter().any(|known| Arc::ptr_eq(known, image)) {
                looked_at.push(image);
            }
        }
    }
    about.retain(|_, references| !references.iter().any(|image| has_face(image)));
    if about.is_empty() {
        return Ok(());
    }
    let told = about.iter().map(|(name, references)| format!("{name}, references looked at: {})", references.len()));
    Err(Error::data(format!(
        "expected a face in at least one reference of every person, got none for {}; give another photograph that shows the \
         face from the front and larger than the detector's min_face_size, or the concept a class whose reward_weights are \
         without this reward",
        told.collect::<Vec<_>>().join(", ")
    )))
}

fn name(task: &Task) -> String {
    let concept = task.params.get("concept").and_then(Value::as_str);
    let what = concept.map_or_else(|| format!("task {}", task.id), |concept| format!("concept {concept}"));
    format!("{what} (class {}", task.class)
}
