//! One step of the loop, all of it or nothing.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Instant;

use super::ahead::Ahead;
use super::batch::Batch;
use super::{Progress, StepReport, Trainer};
use crate::metrics::Metrics;
use crate::{Error, ErrorKind, Event, Result};

impl Trainer {
    /// Does one step: tasks, groups, update, adaptation; a checkpoint where one is due.
    ///
    /// A step with non-finite numbers is skipped: it counts, and changes nothing but the counters.
    ///
    /// # Errors
    /// Whatever a part or an observer returns; [`ErrorKind::Contract`] when sampling and replay disagree. The step does not
    /// count then, leaves no trace in any part, and may be tried again. Some errors end the run, with a checkpoint:
    ///
    /// - [`ErrorKind::NonFinite`] after `max_non_finite` steps in a row with non-finite numbers,
    /// - [`ErrorKind::Idle`] after `max_idle` steps in a row with nothing to learn from,
    /// - [`ErrorKind::Stopped`] when a reward asks for the end, or on a [sign](super::Sign) that `stop_when` names.
    ///
    /// Files that cannot be written are found before the step begins, if they can be: a folder that is read-only
    /// ([`ErrorKind::Io`]), in use, or of another run ([`ErrorKind::Checkpoint`]). What fails after it, such as a full disk,
    /// leaves a step that counts: when its line of metrics is missing, the next call writes that and returns its report, and
    /// does no step; when its checkpoint is missing, [`save`](Trainer::save) writes it.
    pub fn step(&mut self) -> Result<StepReport> {
        self.open()?;
        let report = match self.unwritten.take() {
            Some(done) => done,
            None => self.advance()?,
        };
        self.written(report)
    }

    /// Does a step, of which nothing is written yet.
    fn advance(&mut self) -> Result<StepReport> {
        let memory = self.rollouts.memory();
        self.audience.notes.clear();
        let ahead = self.ahead.take();
        let attempt = catch_unwind(AssertUnwindSafe(|| self.attempt(ahead.as_ref())));
        if !matches!(attempt, Ok(Ok(_))) {
            // The groups drawn before the failure do not count either.
            self.rollouts.restore(&memory)?;
            self.ahead = ahead;
        }
        let mut report = match attempt.unwrap_or_else(|panic| resume_unwind(panic)) {
            Ok((report, next)) => {
                self.ahead = next;
                report
            }
            Err(error) => match error.kind() {
                ErrorKind::NonFinite => self.skip(&format!("{error:#}"))?,
                ErrorKind::Stopped => return Err(self.last_words(error)),
                _ => return Err(error),
            },
        };
        self.audience.notes.drain(..).for_each(|note| report.metrics.note(note));
        self.progress.step += 1;
        self.progress.cursor += self.config.tasks_per_step as u64;
        self.spreads.see(&report.metrics);
        match self.evaluate_if_due(self.progress.step) {
            Ok(found) => report.metrics.extend(found.unwrap_or_default()),
            Err(error) => {
                self.unwritten = Some(report);
                return Err(error);
            }
        }
        self.diagnose(&mut report.metrics);
        for observer in &mut self.audience.observers {
            if let Err(error) = observer.metrics(report.step, &mut report.metrics) {
                self.unwritten = Some(report);
                return Err(error);
            }
        }
        Ok(report)
    }

    /// Writes what a step leaves behind.
    fn written(&mut self, report: StepReport) -> Result<StepReport> {
        if let Some(journal) = &mut self.journal
            && let Err(e) = journal.log(report.step, &report.metrics)
        {
            self.unwritten = Some(report);
            return Err(e);
        }
        self.audience.announce(&Event::Step(&report))?;
        if self.config.checkpoint_every > 0 && self.progress.step.is_multiple_of(self.config.checkpoint_every) {
            let rank = match &self.evaluation {
                Some(evaluation) => evaluation.rank(&report.metrics),
                None => report.metrics.get("reward"),
            };
            self.save_ranked(rank)?;
        }
        if let Some(why) = self.ending.take() {
            return Err(self.last_words(Error::new(ErrorKind::Stopped, why)));
        }
        let Progress { idle_in_a_row: idle, .. } = self.progress;
        if self.config.max_idle > 0 && idle >= self.config.max_idle as u64 {
            let why = report.metrics.notes().first().map_or("every answer was empty", String::as_str);
            let message = format!(
                "stopped after {idle} steps in a row with nothing to learn from; in the last: {why}; mend what is named, or \
                 raise trainer.max_idle"
            );
            return Err(self.last_words(Error::new(ErrorKind::Idle, message)));
        }
        Ok(report)
    }

    /// Warns of signs that the run goes wrong, notes them, and ends it where it is to end on one.
    fn diagnose(&mut self, metrics: &mut Metrics) {
        let score = self.evaluation.as_ref().and_then(|evaluation| evaluation.best());
        for (sign, what) in self.health.see(metrics, score) {
            tracing::warn!("{what}");
            if self.config.stop_when.contains(&sign) {
                self.ending = Some(format!("stopped, as trainer.stop_when says: {what}"));
            }
            metrics.note(what);
        }
    }

    /// Does the step with the groups of `ahead`, or with those that it draws; what the next step is to begin with comes with the report.
    fn attempt(&mut self, ahead: Option<&Ahead>) -> Result<(StepReport, Option<Ahead>)> {
        let Progress { step, cursor, .. } = self.progress;
        let started = Instant::now();
        let drawn;
        let (batch, hidden) = match ahead {
            Some(Ahead { batch: Some(batch), .. }) => {
                batch.told.iter().try_for_each(|told| self.audience.tell(&told.event()))?;
                (batch, true)
            }
            _ => {
                let Self { rollouts, updater, audience, .. } = self;
                let policy = ahead.map_or(updater.policy(), |ahead| ahead.policy.as_ref());
                let cursors = cursor..cursor + self.config.tasks_per_step as u64;
                let timed = rollouts.draw_timed(policy, step, cursors, &mut |event| audience.tell(event))?;
                drawn = Batch::of(updater, timed, Vec::new())?;
                (&drawn, false)
            }
        };
        let updating = Instant::now();
        let (update, next, waited) = self.update(batch)?;
        let updating = updating.elapsed().as_secs_f64() - waited;
        let mut metrics = batch.metrics.clone();
        metrics.extend(update.metrics);
        metrics.insert("time/update", updating);
        if self.config.staleness > 0 {
            metrics.insert("time/wait", waited);
        }
        if hidden {
            let of = |name| batch.metrics.get(name).unwrap_or(0.0);
            metrics.insert("time/overlap", of("time/rollout") + of("time/reward"));
        }
        let seconds = started.elapsed().as_secs_f64();
        metrics.insert("throughput/samples_per_s", batch.finished as f64 / seconds.max(f64::MIN_POSITIVE));

        let progress = &mut self.progress;
        progress.ledger.add(&batch.ledger);
        progress.gated = self.updater.is_gated();
        progress.skipped_in_a_row = 0;
        progress.idle_in_a_row = if update.updated { 0 } else { progress.idle_in_a_row + 1 };
        Ok((StepReport { step, metrics, updated: update.updated }, next))
    }

    /// Counts a step with non-finite numbers; too many in a row end the run, with a checkpoint.
    fn skip(&mut self, reason: &str) -> Result<StepReport> {
        if let Some(ahead) = self.ahead.take() {
            self.rollouts.restore(&ahead.before)?;
        }
        let step = self.progress.step;
        self.progress.skipped += 1;
        self.progress.skipped_in_a_row += 1;
        self.audience.announce(&Event::StepSkipped { step, reason })?;
        if self.progress.skipped_in_a_row >= self.config.max_non_finite as u64 {
            let message = format!(
                "stopped at step {step} after {} steps in a row with non-finite numbers; the last: {reason}; lower the \
                 learning rate or look at the named reward",
                self.progress.skipped_in_a_row
            );
            return Err(self.last_words(Error::new(ErrorKind::NonFinite, message)));
        }
        let mut metrics = Metrics::new();
        metrics.insert("lr", self.updater.rate(step));
        metrics.insert("skipped", 1.0);
        metrics.note(reason);
        Ok(StepReport { step, metrics, updated: false })
    }

    /// The error that ends the run, once a checkpoint is written.
    pub(super) fn last_words(&mut self, error: Error) -> Error {
        match self.save() {
            Ok(()) => error,
            Err(unsaved) => error.at(format_args!("no checkpoint could be written ({unsaved:#})")),
        }
    }
}
