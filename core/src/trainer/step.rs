//! One step of the loop.

use std::time::Instant;

use super::rollout::Drawn;
use super::{Event, Group, StepReport, Trainer};
use crate::metrics::Metrics;
use crate::{Error, ErrorKind, LossStats, Result, RewardStatistics, Scored};

/// Seconds spent in the phases of a step.
#[derive(Default)]
struct Seconds {
    rollout: f64,
    reward: f64,
    update: f64,
    /// That count twice, as rollout and as reward.
    overlap: f64,
}

impl Trainer {
    /// Does one step: tasks, groups, update, adaptation; a checkpoint where one is due.
    ///
    /// # Errors
    /// Whatever a part returns; [`ErrorKind::Contract`] when sampling and replay disagree;
    /// [`ErrorKind::NonFinite`] after too many steps in a row with non-finite numbers
    /// (a checkpoint is written first). The step does not count then, and may be tried again.
    ///
    /// Files that cannot be written are found before the step begins, if they can be: a folder that is read-only
    /// ([`ErrorKind::Io`]) or in use by another run ([`ErrorKind::Checkpoint`]). What fails after it, such as a full disk,
    /// leaves a step that counts: when its line of metrics is missing, the next call writes that and returns its report,
    /// and does no step; when its checkpoint is missing, [`save`](Trainer::save) writes it.
    pub fn step(&mut self) -> Result<StepReport> {
        self.ready()?;
        let report = match self.unwritten.take() {
            Some(done) => done,
            None => self.advance()?,
        };
        self.written(report)
    }

    /// Does a step, of which nothing is written yet.
    fn advance(&mut self) -> Result<StepReport> {
        let step = self.progress.step;
        let cursor = self.progress.cursor;
        let (filter, ledger) = (self.parts.filter.state(), self.progress.ledger);
        let report = match self.attempt(step, cursor) {
            Err(e) if e.kind() == ErrorKind::NonFinite => self.skip(step, &format!("{e:#}"))?,
            Err(e) => {
                // The groups drawn before the failure do not count either.
                self.parts.filter.restore(&filter)?;
                self.progress.ledger = ledger;
                return Err(e);
            }
            Ok(report) => report,
        };
        self.progress.step += 1;
        self.progress.cursor += self.config.tasks_per_step as u64;
        Ok(report)
    }

    /// Writes what a step leaves behind.
    fn written(&mut self, report: StepReport) -> Result<StepReport> {
        if let Err(e) = self.log(&report) {
            self.unwritten = Some(report);
            return Err(e);
        }
        self.emit(&Event::Step(&report));
        if self.config.checkpoint_every > 0 && self.progress.step.is_multiple_of(self.config.checkpoint_every) {
            self.save_with(report.metrics.get("reward"))?;
        }
        Ok(report)
    }

    fn attempt(&mut self, step: u64, cursor: u64) -> Result<StepReport> {
        let mut metrics = Metrics::new();
        let mut seconds = Seconds::default();
        let overlap = self.overlaps();
        self.parts.rewards.take_busy();
        let started = Instant::now();
        let drawn = self.draw_groups(step, cursor, overlap)?;
        let drawing = started.elapsed().as_secs_f64();
        seconds.rollout = drawing - drawn.iter().map(|d| d.waited).sum::<f64>();
        seconds.reward = self.parts.rewards.take_busy();
        seconds.overlap = (seconds.rollout + seconds.reward - drawing).max(0.0);
        let finished: usize = drawn.iter().map(|d| d.finished).sum();
        record_rollouts(&mut metrics, &drawn);
        for (name, value) in self.parts.filter.gauges() {
            metrics.insert(name, value);
        }
        for d in &drawn {
            self.progress.ledger.kept += d.ledger.kept;
            self.progress.ledger.dropped += d.ledger.dropped;
            self.progress.ledger.saved += d.ledger.saved;
        }

        let groups: Vec<Group> = drawn.into_iter().filter_map(|d| d.group).collect();
        let started = Instant::now();
        let updated = !groups.is_empty();
        if updated {
            self.learn(step, cursor, &groups, &mut metrics)?;
        }
        seconds.update = started.elapsed().as_secs_f64();
        metrics.insert("lr", self.schedule.rate(step));
        metrics.insert("time/rollout", seconds.rollout);
        metrics.insert("time/reward", seconds.reward);
        metrics.insert("time/update", seconds.update);
        if overlap {
            metrics.insert("time/overlap", seconds.overlap);
        }
        let total = drawing + seconds.update;
        metrics.insert("throughput/images_per_s", finished as f64 / total.max(f64::MIN_POSITIVE));
        self.progress.skipped_in_a_row = 0;
        Ok(StepReport { step, metrics, updated })
    }

    /// All updates of a step.
    fn learn(&mut self, step: u64, cursor: u64, groups: &[Group], metrics: &mut Metrics) -> Result<()> {
        if !self.progress.gated {
            self.gate(groups)?;
            self.progress.gated = true;
        }
        let mut stats = LossStats::default();
        let mut entropy = None;
        let mut grad_norm = 0.0;
        for round in 0..self.config.updates_per_batch as u64 {
            let (replayed, norm) = self.update(step, cursor, round, groups)?;
            if let Some(reason) = replayed.non_finite {
                return Err(Error::new(ErrorKind::NonFinite, reason));
            }
            stats.add(&replayed.stats);
            entropy = entropy.or(replayed.entropy);
            grad_norm = norm;
        }
        metrics.insert("loss", stats.loss / self.config.updates_per_batch as f64);
        metrics.insert("kl", stats.mean(stats.kl));
        metrics.insert("ratio_mean", stats.mean(stats.ratio));
        metrics.insert("ratio_max", stats.ratio_max);
        metrics.insert("clip_ratio/low", stats.mean(stats.clipped_low));
        metrics.insert("clip_ratio/high", stats.mean(stats.clipped_high));
        metrics.insert("grad_norm", grad_norm);
        if let Some(entropy) = entropy {
            metrics.insert("entropy", entropy);
        }
        let advantages: Vec<f64> = groups.iter().flat_map(|g| g.advantages.iter().copied()).collect();
        metrics.insert("advantage_std", mean_std(&advantages).1);
        Ok(())
    }

    /// Counts a step with non-finite numbers; too many in a row end the run, with a checkpoint.
    fn skip(&mut self, step: u64, reason: &str) -> Result<StepReport> {
        self.progress.skipped += 1;
        self.progress.skipped_in_a_row += 1;
        self.emit(&Event::StepSkipped { step, reason });
        if self.progress.skipped_in_a_row >= self.config.max_non_finite as u64 {
            self.save()?;
            return Err(Error::new(
                ErrorKind::NonFinite,
                format!(
                    "stopped at step {step} after {} steps in a row with non-finite numbers; the last: {reason}; lower the learning rate or look at the named reward",
                    self.progress.skipped_in_a_row
                ),
            ));
        }
        let mut metrics = Metrics::new();
        metrics.insert("lr", self.schedule.rate(step));
        metrics.insert("skipped", 1.0);
        Ok(StepReport { step, metrics, updated: false })
    }
}

fn record_rollouts(metrics: &mut Metrics, drawn: &[Drawn]) {
    let scores: Vec<Scored> = drawn.iter().flat_map(|d| d.scores.iter().cloned()).collect();
    let totals: Vec<f64> = scores.iter().filter_map(|s| s.total).collect();
    let (mean, std) = mean_std(&totals);
    metrics.insert("reward", mean);
    metrics.insert("reward_std", std);
    for (name, value) in RewardStatistics::of(&scores).iter().flat_map(RewardStatistics::metrics) {
        metrics.insert(name, value);
    }
    let n = drawn.len().max(1) as f64;
    let flat = drawn.iter().filter(|d| {
        let mut totals = d.scores.iter().filter_map(|s| s.total);
        totals.next().is_none_or(|first| totals.all(|t| t == first))
    });
    metrics.insert("frac_reward_zero_std", flat.count() as f64 / n);
    metrics.insert("groups_dropped", drawn.iter().filter(|d| d.group.is_none()).count() as f64);
    metrics.insert("dgs/pass_rate", drawn.iter().map(|d| d.pass_rate).sum::<f64>() / n);
    metrics.insert("dgs/attempts", drawn.iter().map(|d| d.attempts as f64).sum::<f64>() / n);
    metrics.insert("dgs/steps_kept", drawn.iter().map(|d| d.ledger.kept as f64).sum());
    metrics.insert("dgs/steps_dropped", drawn.iter().map(|d| d.ledger.dropped as f64).sum());
    metrics.insert("dgs/steps_saved", drawn.iter().map(|d| d.ledger.saved as f64).sum());
}

/// Mean and population standard deviation; zeros for no values.
fn mean_std(values: &[f64]) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
    (mean, variance.sqrt())
}
