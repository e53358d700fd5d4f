//! Live lines on a terminal.

use std::time::{Duration, Instant};

use console::Style;
use counterpoint::Event;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::message::{line, warning};
use super::{Look, Memory, Message, Run, Sink, StageUpdate, View};

/// Between two pictures of a spinner.
const TICK: Duration = Duration::from_millis(500);

/// Four lines of figures and a hint at what is being done.
pub(super) struct Screen {
    multi: MultiProgress,
    look: Look,
    out: Sink,
    /// For lines that stay.
    err: Sink,
    /// Whether spinners turn by themselves.
    ticking: bool,
    run: Option<(Run, Lines)>,
    stage: Option<ProgressBar>,
}

struct Lines {
    pace: ProgressBar,
    reward: ProgressBar,
    control: ProgressBar,
    resources: ProgressBar,
    hint: ProgressBar,
}

impl Screen {
    pub(super) fn new(target: ProgressDrawTarget, look: Look, out: Sink, err: Sink, ticking: bool) -> Self {
        let multi = MultiProgress::with_draw_target(target);
        Self { multi, look, out, err, ticking, run: None, stage: None }
    }

    /// A line at the bottom. The templates are constant: were one wrong, there would be another bar.
    fn add(&self, len: Option<u64>, template: &str) -> ProgressBar {
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let (bar, spinner) =
            if self.look.unicode { ("█▉▊▋▌▍▎▏ ", "⠋⠙⠸⠴⠦⠇ ") } else { ("=> ", "|/-\\ ") };
        let style = style.progress_chars(bar).tick_chars(spinner);
        let new = ProgressBar::with_draw_target(len, ProgressDrawTarget::hidden());
        let added = self.multi.add(new.with_style(style));
        if self.ticking && template.contains("{spinner}") {
            added.enable_steady_tick(TICK);
        }
        added
    }

    /// A line that stays, above those that are redrawn.
    fn above(&mut self, text: &str) {
        self.multi.suspend(|| line(&mut self.err, &text));
    }

    fn draw(&self) {
        let Some((run, lines)) = &self.run else { return };
        lines.pace.set_position(run.position().1);
        lines.pace.set_message(run.pace());
        let (latest, range) = run.reward();
        let curve = self.colour(Style::new().cyan(), &run.curve(self.look.unicode));
        lines.reward.set_message(format!("reward {latest}  {curve}  {range}"));
        lines.control.set_message(run.control());
        let resources = [Memory::read().to_string(), run.shares()];
        let known: Vec<String> = resources.into_iter().filter(|part| !part.is_empty()).collect();
        lines.resources.set_message(known.join("  "));
        lines.hint.set_message(run.hint());
    }

    fn colour(&self, style: Style, text: &str) -> String {
        style.force_styling(self.look.colour).apply_to(text).to_string()
    }
}

impl View for Screen {
    fn start(&mut self, name: &str, run: Run) {
        self.finish();
        let (steps, _) = run.position();
        let lines = Lines {
            pace: self.add(Some(steps), "{prefix} [{bar:24}] {wide_msg}"),
            reward: self.add(None, "{wide_msg}"),
            control: self.add(None, "{wide_msg}"),
            resources: self.add(None, "{wide_msg}"),
            hint: self.add(None, "{spinner} {elapsed:>4} {wide_msg}"),
        };
        lines.pace.set_prefix(name.to_owned());
        self.run = Some((run, lines));
        self.draw();
    }

    fn event(&mut self, event: &Event<'_>) {
        if let Some(text) = warning(event) {
            let text = self.colour(Style::new().yellow(), &text);
            self.above(&text);
        }
        let Some((run, lines)) = &mut self.run else { return };
        run.observe(event, Instant::now());
        match event {
            Event::Step(_) => {
                lines.hint.reset_elapsed();
                self.draw();
            }
            _ => lines.hint.set_message(run.hint()),
        }
    }

    fn stage(&mut self, stage: &StageUpdate<'_>) {
        if stage.begins() {
            let template = match stage.len {
                0 => "{spinner} {elapsed:>4} {msg}",
                _ => "{spinner} {elapsed:>4} {msg} [{bar:24}]",
            };
            self.stage = Some(self.add(Some(stage.len), template));
        }
        let Some(bar) = &self.stage else { return };
        bar.set_position(stage.done);
        bar.set_message(stage.line());
        if stage.took.is_some() {
            bar.finish_and_clear();
            self.stage = None;
            self.above(&stage.line());
        }
    }

    fn tell(&mut self, message: &Message<'_>) {
        match (message, &mut self.run) {
            (Message::Stopping, Some((run, lines))) => {
                run.stop();
                lines.hint.set_message(run.hint());
            }
            (Message::Stopping, None) | (Message::Note(_), _) => self.above(&message.to_string()),
            (Message::Error(_), _) => {
                let text = self.colour(Style::new().red(), &message.to_string());
                self.above(&text);
            }
            _ => self.multi.suspend(|| line(&mut self.out, message)),
        }
    }

    /// One line stays.
    fn finish(&mut self) {
        let Some((run, lines)) = self.run.take() else { return };
        for bar in [&lines.pace, &lines.reward, &lines.control, &lines.resources, &lines.hint] {
            bar.finish_and_clear();
            self.multi.remove(bar);
        }
        if let Some(closing) = run.closing() {
            self.above(&format!("{}: {closing}", lines.pace.prefix()));
        }
    }
}
