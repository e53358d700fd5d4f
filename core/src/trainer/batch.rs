//! What a step learns from.

use std::ops::Range;
use std::time::Instant;

use crate::event::Told;
use crate::metrics::Metrics;
use crate::rollouts::Ledger;
use crate::{Drawn, Group, Policy, Result, Rollouts, Updater, Watch};

/// The groups of a step and what is known of them.
pub(super) struct Batch {
    pub(super) groups: Vec<Group>,
    /// Of what was drawn, its timings included.
    pub(super) metrics: Metrics,
    pub(super) ledger: Ledger,
    /// Finished candidates.
    pub(super) finished: usize,
    /// What happened, where nobody was told.
    pub(super) told: Vec<Told>,
}

/// What was drawn for a step, before its advantages are known.
pub(super) struct Timed {
    drawn: Vec<Drawn>,
    metrics: Metrics,
}

impl Rollouts {
    /// As [`draw`](Rollouts::draw), timed.
    pub(super) fn draw_timed(
        &mut self,
        policy: &dyn Policy,
        step: u64,
        cursors: Range<u64>,
        watch: Watch<'_>,
    ) -> Result<Timed> {
        let overlap = self.overlaps(policy);
        self.rewards.take_busy();
        let started = Instant::now();
        let drawn = self.draw(policy, step, cursors, watch)?;
        let drawing = started.elapsed().as_secs_f64();
        let rollout = drawing - drawn.iter().map(|d| d.waited).sum::<f64>();
        let reward = self.rewards.take_busy();
        let mut metrics = Drawn::metrics(&drawn);
        for (name, value) in self.filter().gauges() {
            metrics.insert(name, value);
        }
        metrics.insert("time/rollout", rollout);
        metrics.insert("time/reward", reward);
        if overlap {
            metrics.insert("time/overlap", (rollout + reward - drawing).max(0.0));
        }
        Ok(Timed { drawn, metrics })
    }
}

impl Batch {
    /// What `updater` makes of what was drawn.
    pub(super) fn of(updater: &Updater, drawn: Timed, told: Vec<Told>) -> Result<Self> {
        let Timed { drawn, metrics } = drawn;
        let finished = drawn.iter().map(|d| d.finished).sum();
        let mut ledger = Ledger::default();
        drawn.iter().for_each(|d| ledger.add(&d.ledger));
        let groups = drawn.into_iter().map(|drawn| updater.group(drawn)).filter_map(Result::transpose);
        Ok(Self { groups: groups.collect::<Result<_>>()?, metrics, ledger, finished, told })
    }
}
