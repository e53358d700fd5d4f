//! What a recipe tells those who watch it: live lines on a terminal, plain lines elsewhere, JSON for programs.

mod json;
mod look;
mod memory;
mod message;
mod plain;
mod run;
mod screen;
mod sparkline;
mod stage;
mod terminal;

pub use look::Look;
pub use memory::Memory;
pub use sparkline::sparkline;
pub use stage::{Delay, Stage};

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use console::Term;
use counterpoint::config::TrainerConfig;
use counterpoint::{Error, Event};
use indicatif::{ProgressDrawTarget, TermLike};
use serde::Serialize;

use json::Json;
use message::{Message, Quiet};
use plain::Plain;
use run::Run;
use screen::Screen;
use stage::StageUpdate;
use terminal::Terminal;

/// Redraws of a terminal, at most this many times per second.
const REDRAWS: u8 = 10;

/// Whom a recipe talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutputMode {
    /// People: live lines on a terminal, otherwise a plain line every few steps; results on standard output.
    #[default]
    People,
    /// People who want the final table and errors alone.
    Quiet,
    /// Programs: one JSON object per line on standard output.
    Json,
}

impl OutputMode {
    /// What `--quiet` and `--json` ask for.
    pub const fn of(quiet: bool, json: bool) -> Self {
        match (quiet, json) {
            (_, true) => Self::Json,
            (true, false) => Self::Quiet,
            (false, false) => Self::People,
        }
    }
}

/// Where text goes to. A reader that went away must not stop a training run: what cannot be written is left out.
pub type Sink = Box<dyn Write + Send>;

/// One way to show a run.
trait View: Send {
    /// A run begins, or goes on.
    fn start(&mut self, name: &str, run: Run);
    /// The trainer says something.
    fn event(&mut self, event: &Event<'_>);
    /// Work apart from the steps begins, advances or ends.
    fn stage(&mut self, stage: &StageUpdate<'_>);
    /// The recipe says something.
    fn tell(&mut self, message: &Message<'_>);
    /// The steps are over: takes away what is drawn.
    fn finish(&mut self) {}
}

/// The display of a recipe. Clones share it; give one to [`Trainer::on_event`](counterpoint::Trainer::on_event).
///
/// Call [`start`](Progress::start) before the steps of a run and [`finish`](Progress::finish) after them; one display
/// may show several runs in a row.
#[derive(Clone)]
pub struct Progress {
    view: Arc<Mutex<Box<dyn View>>>,
}

impl Progress {
    /// A display on standard output and standard error.
    ///
    /// Live lines need a terminal on standard error whose `TERM` is not `dumb`. `NO_COLOR` is respected.
    pub fn new(mode: OutputMode) -> Self {
        let (out, err) = (Box::new(io::stdout()), Box::new(io::stderr()));
        if mode == OutputMode::People && !ProgressDrawTarget::stderr().is_hidden() {
            let terminal = Terminal::new(Box::new(Term::buffered_stderr()));
            let target = ProgressDrawTarget::term_like_with_hz(Box::new(terminal), REDRAWS);
            return Self::of(Screen::new(target, Look::from_env(), out, err, true));
        }
        Self::to(mode, out, err)
    }

    /// A display that writes plain text or JSON, results to `out` and the rest to `err`.
    pub fn to(mode: OutputMode, out: Sink, err: Sink) -> Self {
        match mode {
            OutputMode::People => Self::of(Plain::new(out, err)),
            OutputMode::Quiet => Self::of(Quiet { out, err }),
            OutputMode::Json => Self::of(Json { out }),
        }
    }

    /// Live lines on `terminal`, lines that stay to `err`, which is to end up on the same terminal, and results to `out`.
    /// Redrawn by events alone: nothing moves between them.
    pub fn on_terminal(terminal: Box<dyn TermLike>, look: Look, out: Sink, err: Sink) -> Self {
        let target = ProgressDrawTarget::term_like(Box::new(Terminal::new(terminal)));
        Self::of(Screen::new(target, look, out, err, false))
    }

    fn of(view: impl View + 'static) -> Self {
        Self { view: Arc::new(Mutex::new(Box::new(view))) }
    }

    fn view(&self) -> MutexGuard<'_, Box<dyn View>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A run called `name` begins, or goes on after `done` steps.
    pub fn start(&self, name: &str, config: &TrainerConfig, done: u64) {
        self.view().start(name, Run::new(config.steps, done, config.tasks_per_step));
    }

    /// Shows an event of the trainer.
    pub fn show(&self, event: &Event<'_>) {
        self.view().event(event);
    }

    /// Shows work apart from the steps, `len` items of it (0: nobody knows), until the handle is dropped.
    pub fn stage(&self, name: &str, len: u64) -> Stage {
        Stage::new(self.clone(), name, len)
    }

    /// The same without a count, of work that is usually short: shown once it has taken two seconds.
    pub fn delayed(&self, name: &'static str) -> Delay {
        Delay::new(self.clone(), name)
    }

    /// Takes away what is drawn for the steps.
    pub fn finish(&self) {
        self.view().finish();
    }

    /// The run goes on from `checkpoint`, after `step` steps.
    pub fn resumed(&self, checkpoint: &Path, step: u64) {
        self.view().tell(&Message::Resumed { checkpoint, step });
    }

    /// The run was asked to stop and will, after the step under way. May be called from a signal handler's thread.
    pub fn stopping(&self) {
        self.view().tell(&Message::Stopping);
    }

    /// The run stopped after `step` steps; `command` resumes it.
    pub fn stopped(&self, step: u64, command: &str) {
        self.view().tell(&Message::Stopped { step, command });
    }

    /// Something that was logged. Control characters, which could move the cursor or break the line, become blanks.
    pub fn note(&self, text: &str) {
        self.view().tell(&Message::Note(&text.replace(char::is_control, " ")));
    }

    /// Several runs were stopped; `command` resumes them.
    pub fn stopped_runs(&self, command: &str) {
        self.view().tell(&Message::StoppedRuns { command });
    }

    /// The result: as text with `caption` below it, or as JSON.
    pub fn table(&self, table: &(impl fmt::Display + Serialize), caption: &str) {
        let json = serde_json::to_value(table).unwrap_or_default();
        self.view().tell(&Message::Table { text: &table.to_string(), json: &json, caption });
    }

    /// All is done; everything is in `folder`.
    pub fn done(&self, folder: &Path) {
        self.view().tell(&Message::Done { folder });
    }

    /// The recipe failed: takes away what is drawn and says why.
    pub fn error(&self, error: &Error) {
        let mut view = self.view();
        view.finish();
        view.tell(&Message::Error(error));
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Progress").finish_non_exhaustive()
    }
}
