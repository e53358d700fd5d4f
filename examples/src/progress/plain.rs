//! Plain lines, for files and pipes: no control characters.

use std::time::{Duration, Instant};

use counterpoint::Event;

use super::message::{line, warning};
use super::{Memory, Message, Run, Sink, StageUpdate, View};

/// Steps between lines.
const EVERY: u64 = 5;
/// Slow steps have a line sooner, and so has long work apart from them.
const AT_MOST: Duration = Duration::from_secs(60);

/// A line every few steps.
pub(super) struct Plain {
    out: Sink,
    err: Sink,
    run: Option<Run>,
    /// When the latest line was written.
    written: Instant,
}

impl Plain {
    pub(super) fn new(out: Sink, err: Sink) -> Self {
        Self { out, err, run: None, written: Instant::now() }
    }
}

/// A step's figures in one line.
pub(super) fn summary(run: &Run) -> String {
    let parts = [run.pace(), format!("reward {}", run.reward().0), run.control(), Memory::read().to_string()];
    let known: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    known.join("  ")
}

impl View for Plain {
    fn start(&mut self, name: &str, run: Run) {
        line(&mut self.err, &format!("{name}: {}", run.pace()));
        self.written = Instant::now();
        self.run = Some(run);
    }

    fn event(&mut self, event: &Event<'_>) {
        let now = Instant::now();
        if let Some(text) = warning(event) {
            line(&mut self.err, &text);
        }
        let Some(run) = &mut self.run else { return };
        run.observe(event, now);
        let (steps, done) = run.position();
        let due = done.is_multiple_of(EVERY) || done == steps || now.duration_since(self.written) >= AT_MOST;
        if matches!(event, Event::Step(_)) && due {
            line(&mut self.err, &summary(run));
            self.written = now;
        }
    }

    fn stage(&mut self, stage: &StageUpdate<'_>) {
        if stage.begins() || stage.took.is_some() || self.written.elapsed() >= AT_MOST {
            line(&mut self.err, &stage.line());
            self.written = Instant::now();
        }
    }

    fn tell(&mut self, message: &Message<'_>) {
        message.write(&mut self.out, &mut self.err);
    }

    fn finish(&mut self) {
        self.run = None;
    }
}
