//! From groups to an update: gate, replay, objective, gradients, optimizer.

mod advantages;
mod chunk_loss;
mod chunks;
mod gate;
mod gathered;
mod group;
mod items;
mod layout;
mod remask;
mod replay;
mod schedule;
mod signal;

pub use chunk_loss::{Half, Replayed};
pub use group::{BatchDraw, Group};
pub use replay::accumulate;
pub(crate) use replay::log_probs;
pub use schedule::{BurnSchedule, Schedule, WarmupCosine};

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Once;

use self::chunk_loss::Old;
use self::gathered::{Gathered, Rates};
use self::replay::{Batch, Pass};
use crate::config::TrainerConfig;
use crate::metrics::{Metrics, mean_std};
use crate::rollouts::Drawn;
use crate::{Error, ErrorKind, Objective, Policy, Result, SegmentKind, Streams, SyncGrpoConfig, Watch};

/// Learns from groups: policy, objective and schedule. An [`update`](Updater::update) is all or nothing.
///
/// *Threading*: `Send`.
pub struct Updater {
    policy: Box<dyn Policy>,
    objective: Box<dyn Objective>,
    schedule: Box<dyn Schedule>,
    config: TrainerConfig,
    streams: Streams,
    gated: bool,
    /// Whether a sequence above the memory budget was warned of.
    told: Once,
}

/// What an update did.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Update {
    /// Whether the parameters were updated: not when there is no decision to learn from.
    pub updated: bool,
    /// The metrics of the update, as [`Metrics`] lists them.
    pub metrics: Metrics,
}

impl Updater {
    /// An updater of `policy` by Sync-GRPO, with a fresh optimizer; of `config` what concerns it: `updates_per_batch`,
    /// `chunk`, the learning rates and their warm-up, AdamW's settings, `max_grad_norm`, `gate_tolerance`, `importance_cap`, `signal_every`.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] when a value is out of range.
    pub fn new(mut policy: Box<dyn Policy>, config: &TrainerConfig, streams: Streams) -> Result<Self> {
        config.validate()?;
        policy.learner().configure(&config.optimizer());
        let TrainerConfig { learning_rate, warmup_steps, steps, .. } = *config;
        if warmup_steps > steps {
            tracing::warn!("trainer.warmup_steps: {warmup_steps} steps of warm-up are cut to trainer.steps ({steps})");
        }
        if config.images_per_answer > 1 && config.images_per_answer == config.group_size {
            tracing::warn!(
                "trainer.images_per_answer: all {} candidates of a group share one answer, which has nothing to be compared \
                 with: understanding learns nothing from rewards (a divisor of trainer.group_size below it leaves more)",
                config.group_size
            );
        }
        Ok(Self {
            policy,
            objective: Box::new(SyncGrpoConfig::default().init()?),
            schedule: Box::new(WarmupCosine::new(learning_rate, warmup_steps, steps)),
            config: config.clone(),
            streams,
            gated: false,
            told: Once::new(),
        })
    }

    /// The same with another objective.
    pub fn with_objective(mut self, objective: Box<dyn Objective>) -> Self {
        if !objective.needs_reference() {
            self.policy.drop_reference();
        }
        self.objective = objective;
        self
    }

    /// The same with another learning rate than the config's warm-up and cosine.
    pub fn with_schedule(mut self, schedule: impl Schedule + 'static) -> Self {
        self.schedule = Box::new(schedule);
        self
    }

    /// The policy.
    pub fn policy(&self) -> &dyn Policy {
        self.policy.as_ref()
    }

    /// The policy, to be changed between updates.
    pub fn policy_mut(&mut self) -> &mut dyn Policy {
        self.policy.as_mut()
    }

    /// The objective.
    pub fn objective(&self) -> &dyn Objective {
        self.objective.as_ref()
    }

    /// The learning rate of `step`.
    pub fn rate(&mut self, step: u64) -> f64 {
        self.schedule.rate(step)
    }

    /// Whether sampling and replay were found to agree by an update that went through. Until then, an update begins with that
    /// check.
    pub fn is_gated(&self) -> bool {
        self.gated
    }

    pub(crate) fn set_gated(&mut self, gated: bool) {
        self.gated = gated;
    }

    /// What is learned from `drawn`, with the objective's advantages ([`Group::of`]); `None` when the group was dropped.
    ///
    /// # Errors
    /// [`ErrorKind::Contract`] when the objective does not return one advantage per reward.
    pub fn group(&self, drawn: Drawn) -> Result<Option<Group>> {
        match drawn.rollouts.is_empty() {
            true => Ok(None),
            false => Group::of(self.objective.as_ref(), drawn).map(Some),
        }
    }

    /// Learns from `groups`: `updates_per_batch` optimizer steps at the learning rate of `step`, or none. `watch` is told of
    /// every few chunks.
    ///
    /// # Errors
    /// Whatever the policy, the objective or `watch` returns; [`ErrorKind::Contract`] when
    /// sampling and replay disagree; [`ErrorKind::NonFinite`] when a loss or gradient is not
    /// finite. Parameters and optimizer are then as they were before.
    pub fn update(&mut self, step: u64, groups: &[Group], watch: Watch<'_>) -> Result<Update> {
        let mut metrics = Metrics::new();
        let rates = self.rates(step);
        metrics.insert("lr", rates.understanding);
        if self.config.generation_learning_rate.own().is_some() {
            metrics.insert(format!("lr{}", SegmentKind::Generation.suffix()), rates.generation);
        }
        let draw = BatchDraw { streams: self.streams, step };
        let scored = remask::scored(groups, self.objective.as_ref(), Some(&draw))?;
        if matches!(scored, Cow::Owned(_)) && self.config.importance_cap.limit().is_some() {
            return Err(Error::config(
                "trainer.importance_cap: expected \"none\" with objective.image_positions = \"remask_final\", whose scores \
                 nobody sampled from, got a number",
            ));
        }
        if Batch::new(self.objective.as_ref(), &scored, Some(&draw), &self.told)?.items.is_empty() {
            return Ok(Update { updated: false, metrics });
        }
        if !self.gated {
            metrics.extend(self.gate(groups)?);
        }
        if self.config.signal_every > 0 && step.is_multiple_of(self.config.signal_every) {
            metrics.extend(self.signal(&scored, &draw)?);
        }
        let groups = scored.as_ref();
        let before = (self.config.updates_per_batch > 1).then(|| self.policy.learner().snapshot());
        let done = catch_unwind(AssertUnwindSafe(|| self.rounds(step, groups, &draw, &mut metrics, watch)));
        if !matches!(done, Ok(Ok(()))) {
            let learner = self.policy.learner();
            learner.discard();
            before.map_or(Ok(()), |before| learner.restore(before))?;
        }
        done.unwrap_or_else(|panic| resume_unwind(panic))?;
        let advantages: Vec<f64> = groups.iter().flat_map(|g| g.advantages.iter().flatten().copied()).collect();
        if let Some((_, std)) = mean_std(&advantages) {
            metrics.insert("advantage_std", std);
        }
        // Not before: a step that fails and is tried again reports what the check measured.
        self.gated = true;
        Ok(Update { updated: true, metrics })
    }

    /// The learning rates of `step`: images have the schedule's times the proportion of the two peaks.
    fn rates(&mut self, step: u64) -> Rates {
        let understanding = self.schedule.rate(step);
        let proportion =
            self.config.generation_learning_rate.own().map_or(1.0, |peak| peak / self.config.learning_rate);
        Rates { understanding, generation: understanding * proportion }
    }

    /// All optimizer steps from one batch.
    fn rounds(
        &mut self,
        step: u64,
        groups: &[Group],
        draw: &BatchDraw,
        metrics: &mut Metrics,
        watch: Watch<'_>,
    ) -> Result<()> {
        let rounds = self.config.updates_per_batch;
        let rates = self.rates(step);
        let batch = Batch::new(self.objective.as_ref(), groups, Some(draw), &self.told)?;
        let batch = batch.weighted(self.config.importance_cap.limit());
        let means = match self.objective.needs_sequence_ratio() && rounds > 1 {
            true => batch.mean_log_probs(self.policy.as_ref(), self.config.chunk)?,
            false => vec![0.0; groups.iter().map(|group| group.trajectories.len()).sum()],
        };
        let (mut all, mut halves) = (Half::default(), BTreeMap::<SegmentKind, Half>::new());
        let (mut norms, mut old) = (BTreeMap::new(), Vec::new());
        for round in 0..rounds {
            let old_of_round = if round == 0 { Old::Current { keep: rounds > 1 } } else { Old::Kept(&old) };
            let pass = Pass { round, old: old_of_round, means: &means };
            let policy = self.policy.as_mut();
            let mut gathered = match self.config.generation_learning_rate.own() {
                Some(_) => Gathered::apart(),
                None => Gathered::together(),
            };
            let (replayed, kept) = batch.replay(policy, self.config.chunk, pass, &mut gathered, &mut *watch)?;
            if let Some(reason) = replayed.non_finite {
                return Err(Error::new(ErrorKind::NonFinite, reason));
            }
            for (half, norm) in gathered.apply(policy.learner(), rates, self.config.max_grad_norm)? {
                *norms.entry(half).or_insert(0.0) += norm / rounds as f64;
            }
            all.follow(&replayed.all);
            for (kind, half) in &replayed.halves {
                halves.entry(*kind).or_default().follow(half);
            }
            if round == 0 {
                old = kept;
            }
        }
        metrics.insert("loss", all.stats.loss / rounds as f64);
        metrics.insert("grad_norm", norms.values().map(|norm| norm * norm).sum::<f64>().sqrt());
        for (half, norm) in norms {
            if let Some(half) = half {
                metrics.insert(format!("grad_norm{}", half.suffix()), norm);
            }
        }
        let kl = self.objective.needs_reference();
        metrics.extend(all.metrics("", kl));
        for (kind, half) in halves {
            metrics.extend(half.metrics(kind.suffix(), kl));
        }
        Ok(())
    }

    /// Writes parameters and optimizer into `dir`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] when a file cannot be written.
    pub fn save(&mut self, dir: &Path) -> Result<()> {
        self.policy.learner().save(dir)
    }

    /// Restores what [`save`](Updater::save) wrote, bit for bit.
    ///
    /// # Errors
    /// [`ErrorKind::Checkpoint`] when the files are not those of such a policy.
    pub fn load(&mut self, dir: &Path) -> Result<()> {
        self.policy.learner().load(dir)
    }

    pub(crate) fn into_parts(self) -> (Box<dyn Policy>, Box<dyn Objective>) {
        (self.policy, self.objective)
    }
}
