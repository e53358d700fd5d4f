//! The groups of a step, one task after the other; or each task's rewards beside the rollout of the next one.

use std::panic::resume_unwind;
use std::time::Instant;

use super::beside::Beside;
use super::rollout::{Drawn, Underway};
use super::{Event, Parts, Trainer};
use crate::{Result, Scored};

/// The next task's first attempt, rolled out before the rewards of the task before it were known: the group and how its
/// rollout went, or why there is no task.
type Ahead = Result<(Underway, Result<()>)>;

impl Trainer {
    /// Whether rewards are computed beside the next rollout.
    pub(super) fn overlaps(&self) -> bool {
        let Parts { policy, rewards, .. } = &self.parts;
        self.config.overlap_rewards.decide(policy.device(), rewards.devices().cloned())
    }

    /// Draws the groups of the tasks from `cursor` on.
    pub(super) fn draw_groups(&mut self, step: u64, cursor: u64, overlap: bool) -> Result<Vec<Drawn>> {
        let end = cursor + self.config.tasks_per_step as u64;
        let mut groups = Vec::new();
        let mut ahead = None;
        for cursor in cursor..end {
            let next = (overlap && cursor + 1 < end).then_some(cursor + 1);
            let (mut group, rolled) = match ahead.take() {
                Some(ahead) => ahead?,
                None => self.begin(step, cursor, false)?,
            };
            // What was held back while it was ahead is told now that its turn has come.
            for notice in group.held.take().unwrap_or_default() {
                self.emit(&notice.event(&group.task));
            }
            rolled?;
            loop {
                ahead = self.judge(step, &mut group, next)?;
                if self.is_settled(&group) {
                    break;
                }
                self.roll(step, &mut group)?;
            }
            if group.drawn.group.is_none() {
                let reason = format!("no group worth learning from after {} attempts", group.drawn.attempts);
                self.emit(&Event::GroupDropped { task: &group.task, reason: &reason });
            }
            groups.push(group.drawn);
        }
        Ok(groups)
    }

    /// Rolls out the task at `cursor` for the first time, its events held back if it is `ahead`.
    fn begin(&mut self, step: u64, cursor: u64, ahead: bool) -> Ahead {
        let task = self.parts.tasks.task(step, cursor, &self.streams)?;
        let mut group = Underway::new(task, ahead);
        let rolled = self.roll(step, &mut group);
        Ok((group, rolled))
    }

    fn is_settled(&self, group: &Underway) -> bool {
        group.drawn.group.is_some() || group.drawn.attempts >= self.config.max_attempts
    }

    /// Scores what was rolled out, selects from it and adapts the filter. Meanwhile the task at cursor `next`, if there is
    /// one, is rolled out, and is given back unless `group` is to be drawn again.
    fn judge(&mut self, step: u64, group: &mut Underway, next: Option<u64>) -> Result<Option<Ahead>> {
        let samples: Vec<_> = group.rollouts.iter().map(|rollout| rollout.sample.clone()).collect();
        let Some(next) = next else {
            let started = Instant::now();
            let scores = self.parts.rewards.judge(&samples)?;
            group.drawn.waited += started.elapsed().as_secs_f64();
            self.settle(group, scores)?;
            self.parts.filter.adapt(&group.outcome);
            return Ok(None);
        };
        let rewards = self.parts.rewards.share();
        let beside = match self.beside.take() {
            Some(beside) => beside,
            None => Beside::start()?,
        };
        let running = self.beside.insert(beside).run(move || rewards.judge(&samples));

        // To adapt, a filter needs no rewards; to select, it has to be as it was before.
        let before = self.parts.filter.state();
        self.parts.filter.adapt(&group.outcome);
        let adapted = self.parts.filter.state();
        let ahead = self.begin(step, next, true);
        let started = Instant::now();
        let scores = running.wait()?;
        group.drawn.waited += started.elapsed().as_secs_f64();
        let advanced = self.parts.filter.state();

        self.parts.filter.restore(&before)?;
        let scores: Result<Vec<Scored>> = scores.unwrap_or_else(|panic| resume_unwind(panic));
        self.settle(group, scores?)?;
        if self.is_settled(group) {
            self.parts.filter.restore(&advanced)?;
            return Ok(Some(ahead));
        }
        // The group is drawn again, and after it the next task, by the filter as it will be then.
        self.parts.filter.restore(&adapted)?;
        if let Ok((thrown_away, _)) = ahead {
            group.drawn.waited += thrown_away.drawn.waited;
        }
        Ok(None)
    }
}
