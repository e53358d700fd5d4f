//! What a recipe itself has to say, and to whom.

use std::fmt;
use std::io::Write;
use std::path::Path;

use counterpoint::evaluation::means;
use counterpoint::{Error, Event};

use super::{Run, Sink, StageUpdate, View};

/// Something that a recipe says.
pub(super) enum Message<'a> {
    Resumed { checkpoint: &'a Path, step: u64 },
    Stopping,
    Stopped { step: u64, command: &'a str },
    StoppedRuns { command: &'a str },
    Table { text: &'a str, json: &'a serde_json::Value, caption: &'a str },
    Done { folder: &'a Path },
    Error(&'a Error),
    Note(&'a str),
}

/// In words.
impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resumed { checkpoint, step } => {
                write!(f, "going on from {} after {step} steps", checkpoint.display())
            }
            Self::Stopping => write!(f, "stopping on the next step boundary; Ctrl-C once more ends the run at once"),
            Self::Stopped { step, command } => {
                write!(f, "stopped after {step} steps, with a checkpoint; resume with:\n  {command}")
            }
            Self::StoppedRuns { command } => write!(f, "stopped, with checkpoints; resume with:\n  {command}"),
            Self::Table { text, caption, .. } => write!(f, "{}\n{caption}", text.trim_end()),
            Self::Done { folder } => write!(f, "everything is in {}", folder.display()),
            Self::Error(error) => write!(f, "error: {error:#}"),
            Self::Note(text) => f.write_str(text),
        }
    }
}

impl Message<'_> {
    /// Results go to standard output, the rest to standard error.
    pub(super) fn write(&self, out: &mut Sink, err: &mut Sink) {
        let sink = match self {
            Self::Stopping | Self::Error(_) | Self::Note(_) => err,
            _ => out,
        };
        line(sink, self);
    }
}

/// Writes a line; see [`Sink`] for errors.
pub(super) fn line(sink: &mut Sink, text: &dyn fmt::Display) {
    let _ = writeln!(sink, "{text}").and_then(|()| sink.flush());
}

/// What is worth a line of its own when it happens. Reasons may quote what a plugin said: control characters, which
/// could move the cursor or break the line, become blanks.
pub(super) fn warning(event: &Event<'_>) -> Option<String> {
    let text = match event {
        Event::Evaluated { step, samples, .. } => {
            let means = means(samples.iter()).into_iter().map(|(name, mean)| format!("{name} {mean:.3}"));
            format!("evaluated after {step} steps: {}", means.collect::<Vec<_>>().join(", "))
        }
        Event::StepSkipped { step, reason, .. } => format!("step {} skipped: {reason}", step + 1),
        Event::GroupDropped { task, reason, .. } => format!("task {} left out: {reason}", task.id),
        Event::ScoresFailed { task, reward, failed, reason, .. } => {
            format!("task {}: reward `{reward}` failed on {failed} samples: {reason}", task.id)
        }
        Event::DeviceLost { device, candidates, reason, .. } => {
            format!("device {device} is lost; {candidates} candidates are drawn again without it: {reason}")
        }
        _ => return None,
    };
    Some(text.replace(char::is_control, " "))
}

/// Says errors and the final table alone.
pub(super) struct Quiet {
    pub(super) out: Sink,
    pub(super) err: Sink,
}

impl View for Quiet {
    fn start(&mut self, _: &str, _: Run) {}

    fn event(&mut self, _: &Event<'_>) {}

    fn stage(&mut self, _: &StageUpdate<'_>) {}

    fn tell(&mut self, message: &Message<'_>) {
        if matches!(message, Message::Table { .. } | Message::Error(_)) {
            message.write(&mut self.out, &mut self.err);
        }
    }
}
