//! One JSON object per line, for programs.

use std::collections::BTreeMap;

use counterpoint::evaluation::means;
use counterpoint::{Error, Event};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use super::message::line;
use super::{Memory, Message, Run, Sink, StageUpdate, View};

/// Names that a step's line gives a meaning of its own; metrics of these names are left out.
const RESERVED: [&str; 6] = ["event", "step", "updated", "memory/now", "memory/peak", "non_finite"];

/// Writes everything as JSON, and nothing else.
pub(super) struct Json {
    pub(super) out: Sink,
}

/// An object whose first key is `event`.
struct Object {
    event: &'static str,
    fields: Vec<(String, Value)>,
}

impl Serialize for Object {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1 + self.fields.len()))?;
        map.serialize_entry("event", self.event)?;
        for (name, value) in &self.fields {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Json {
    fn write<const N: usize>(&mut self, event: &'static str, fields: [(&str, Value); N]) {
        self.object(event, fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    }

    fn object(&mut self, event: &'static str, fields: Vec<(String, Value)>) {
        if let Ok(text) = serde_json::to_string(&Object { event, fields }) {
            line(&mut self.out, &text);
        }
    }
}

impl View for Json {
    fn start(&mut self, name: &str, run: Run) {
        let (steps, done) = run.position();
        self.write("start", [("name", name.into()), ("steps", steps.into()), ("done", done.into())]);
    }

    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Drafted { task, attempt, drafted, admitted, .. } => self.write(
                "drafted",
                [
                    ("task", task.id.into()),
                    ("attempt", (*attempt).into()),
                    ("drafted", (*drafted).into()),
                    ("admitted", (*admitted).into()),
                ],
            ),
            Event::AttemptsExhausted { task, attempts, filled, .. } => self.write(
                "attempts_exhausted",
                [("task", task.id.into()), ("attempts", (*attempts).into()), ("filled", (*filled).into())],
            ),
            Event::Group { task, scores, kept, .. } => {
                let totals: Vec<Value> = scores.iter().map(|s| s.total.into()).collect();
                self.write("group", [("task", task.id.into()), ("rewards", totals.into()), ("kept", (*kept).into())]);
            }
            Event::ScoresFailed { task, reward, failed, reason, .. } => self.write(
                "scores_failed",
                [
                    ("task", task.id.into()),
                    ("reward", (*reward).into()),
                    ("failed", (*failed).into()),
                    ("reason", (*reason).into()),
                ],
            ),
            Event::DeviceLost { task, device, candidates, reason, .. } => self.write(
                "device_lost",
                [
                    ("task", task.id.into()),
                    ("device", (*device).into()),
                    ("candidates", (*candidates).into()),
                    ("reason", (*reason).into()),
                ],
            ),
            Event::GroupDropped { task, reason, .. } => {
                self.write("group_dropped", [("task", task.id.into()), ("reason", (*reason).into())]);
            }
            Event::Evaluated { step, samples, .. } => {
                let means = means(samples.iter()).into_iter().map(|(name, mean)| (name, mean.into()));
                let means: serde_json::Map<String, Value> = means.collect();
                self.write("evaluated", [("step", (*step).into()), ("means", means.into())]);
            }
            Event::StepSkipped { step, reason, .. } => {
                self.write("step_skipped", [("step", (*step).into()), ("reason", (*reason).into())]);
            }
            Event::Step(report) => {
                let memory = Memory::read();
                let mut fields = vec![
                    ("step".to_owned(), report.step.into()),
                    ("updated".to_owned(), report.updated.into()),
                    ("memory/now".to_owned(), memory.now.into()),
                    ("memory/peak".to_owned(), memory.peak.into()),
                ];
                let metrics = || report.metrics.iter().filter(|(name, _)| !RESERVED.contains(name));
                // JSON has no NaN and no infinity: they become null here, too.
                fields.extend(metrics().map(|(name, value)| (name.to_owned(), value.into())));
                let non_finite: BTreeMap<_, _> =
                    metrics().filter(|(_, v)| !v.is_finite()).map(|(name, v)| (name, v.to_string())).collect();
                if !non_finite.is_empty() {
                    fields.push(("non_finite".to_owned(), serde_json::to_value(non_finite).unwrap_or_default()));
                }
                if !report.metrics.notes().is_empty() {
                    fields.push(("notes".to_owned(), report.metrics.notes().into()));
                }
                self.object("step", fields);
            }
            Event::Checkpoint { step, path, .. } => {
                self.write("checkpoint", [("step", (*step).into()), ("path", path.to_string_lossy().into())]);
            }
            _ => {}
        }
    }

    fn stage(&mut self, stage: &StageUpdate<'_>) {
        if stage.begins() || stage.took.is_some() {
            let of = Some(stage.len).filter(|&len| len > 0);
            let seconds = stage.took.map(|took| took.as_secs_f64());
            let name = stage.name.into();
            self.write(
                "stage",
                [("name", name), ("done", stage.done.into()), ("of", of.into()), ("seconds", seconds.into())],
            );
        }
    }

    fn tell(&mut self, message: &Message<'_>) {
        match message {
            Message::Resumed { checkpoint, step } => {
                self.write("resumed", [("step", (*step).into()), ("checkpoint", checkpoint.to_string_lossy().into())])
            }
            Message::Stopping => self.write("stopping", []),
            Message::Note(text) => self.write("log", [("message", (*text).into())]),
            Message::Stopped { step, command } => {
                self.write("stopped", [("step", (*step).into()), ("resume", (*command).into())]);
            }
            Message::StoppedRuns { command } => self.write("stopped", [("resume", (*command).into())]),
            Message::Table { json, caption, .. } => {
                self.write("table", [("table", (*json).clone()), ("caption", (*caption).into())]);
            }
            Message::Done { folder } => self.write("done", [("folder", folder.to_string_lossy().into())]),
            Message::Error(error) => {
                self.write("error", [("kind", kind(error).into()), ("message", format!("{error:#}").into())]);
            }
        }
    }
}

/// The kind of an error as `snake_case`: `non_finite` of `NonFinite`.
fn kind(error: &Error) -> String {
    let mut name = String::new();
    for c in format!("{:?}", error.kind()).chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}
