//! Progress for people: a bar on a terminal, a line every few steps elsewhere.

use counterpoint::Event;
use indicatif::{ProgressBar, ProgressStyle};

/// Steps between plain lines when standard error is not a terminal.
const EVERY: u64 = 5;

/// A progress display fed by the trainer's events.
#[derive(Debug, Clone)]
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A display of a run of `steps` steps, of which `done` are behind it.
    pub fn new(steps: u64, done: u64) -> Self {
        let style = ProgressStyle::with_template("{bar:32} {pos}/{len}  {msg}  ETA {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(steps).with_style(style).with_position(done);
        bar.reset_eta();
        Self { bar }
    }

    /// Shows an event.
    pub fn show(&self, event: &Event<'_>) {
        match event {
            Event::Step(report) => {
                let value = |name| report.metrics.get(name).unwrap_or(f64::NAN);
                let message = format!(
                    "reward {:.3}  pass rate {:.2}  kl {:.4}",
                    value("reward"),
                    value("dgs/pass_rate"),
                    value("kl")
                );
                self.bar.set_message(message.clone());
                self.bar.set_position(report.step + 1);
                let last = self.bar.length() == Some(report.step + 1);
                if self.bar.is_hidden() && ((report.step + 1).is_multiple_of(EVERY) || last) {
                    let eta = self.bar.eta().as_secs();
                    self.line(&format!("step {:>4}  {message}  ETA {eta} s", report.step + 1));
                }
            }
            Event::StepSkipped { step, reason } => self.line(&format!("step {} skipped: {reason}", step + 1)),
            Event::GroupDropped { task, reason } => self.line(&format!("task {} left out: {reason}", task.id)),
            _ => {}
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }

    #[allow(clippy::print_stderr)]
    fn line(&self, text: &str) {
        match self.bar.is_hidden() {
            true => eprintln!("{text}"),
            false => self.bar.println(text),
        }
    }
}
