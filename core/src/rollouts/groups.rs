//! Several groups, one task after the other; or each task's rewards beside the rollout of the next one.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::time::Instant;

use super::draw::{Drawing, Underway};
use super::reward_thread::RewardThread;
use super::{Drawn, Rollouts};
use crate::{Error, Policy, Result, Sample, Scored, Watch, device};

/// The next task's first attempt, rolled out before the rewards of the task before it were known: the group and how its
/// rollout went, or why there is no task.
type Ahead = Result<(Underway, Result<()>)>;

impl Rollouts {
    /// Draws a group for the task at each of `cursors`, with the random numbers of `step`.
    ///
    /// `watch` is told what happens, in the order of the tasks: where the next task is rolled out while rewards are
    /// computed, its events come after them. Between two events nothing can be called off.
    ///
    /// # Errors
    /// Whatever a part or `watch` returns; [`ErrorKind::Contract`](crate::ErrorKind::Contract) when a part breaks its
    /// contract; [`ErrorKind::NonFinite`](crate::ErrorKind::NonFinite) when a score is not finite. The filter may have
    /// adapted to the groups before.
    pub fn draw(
        &mut self,
        policy: &dyn Policy,
        step: u64,
        cursors: Range<u64>,
        watch: Watch<'_>,
    ) -> Result<Vec<Drawn>> {
        let overlap = self.overlaps(policy);
        self.lanes.iter_mut().try_for_each(|lane| lane.refresh(policy))?;
        let mut at = Drawing { policy, step, watch };
        let mut groups = Vec::new();
        let mut ahead = None;
        for cursor in cursors.clone() {
            let next = (overlap && cursor + 1 < cursors.end).then_some(cursor + 1);
            let (mut group, rolled) = match ahead.take() {
                Some(ahead) => ahead?,
                None => self.begin(&mut at, cursor, false)?,
            };
            // What was held back while it was ahead is told now that its turn has come.
            for notice in group.held.take().unwrap_or_default() {
                (at.watch)(&notice.event(&group.drawn.task))?;
            }
            rolled?;
            loop {
                ahead = self.judge(&mut at, &mut group, next)?;
                if group.is_settled(self.max_attempts) {
                    break;
                }
                self.roll(&mut at, &mut group)?;
            }
            groups.push(group.drawn);
        }
        // Not before: the next task may have been asked for already, where rewards overlap with rollouts.
        groups.iter().for_each(|drawn| self.tasks.learned(drawn));
        Ok(groups)
    }

    /// Whether rewards are computed beside the next rollout.
    pub(crate) fn overlaps(&self, policy: &dyn Policy) -> bool {
        self.overlap.decide(policy.device().as_ref().map(device::name), self.rewards.devices().cloned())
    }

    /// The same samples, with the policy's states of those that have an image, where a reward needs them: one that has a weight, or else
    /// the `surrogate`.
    pub(crate) fn with_states(
        &self,
        policy: &dyn Policy,
        mut samples: Vec<Sample>,
        surrogate: Option<&str>,
    ) -> Result<Vec<Sample>> {
        if !self.rewards.needs_states(surrogate) {
            return Ok(samples);
        }
        let painted: Vec<usize> = (0..samples.len()).filter(|&i| samples[i].image.is_some()).collect();
        let asked: Vec<Sample> = painted.iter().map(|&i| samples[i].clone()).collect();
        if asked.is_empty() {
            return Ok(samples);
        }
        let states = policy.token_states(&asked)?;
        if states.len() != asked.len() {
            return Err(Error::contract(format!(
                "expected the policy's states of {} samples, got those of {}",
                asked.len(),
                states.len()
            )));
        }
        for (i, states) in painted.into_iter().zip(states) {
            samples[i].states = Some(Arc::new(states));
        }
        Ok(samples)
    }

    /// Rolls out the task at `cursor` for the first time, its events held back if it is `ahead`.
    fn begin(&mut self, at: &mut Drawing<'_>, cursor: u64, ahead: bool) -> Ahead {
        let task = self.tasks.task(at.step, cursor, &self.streams)?;
        if task.response.is_some() && !task.generates {
            return Err(Error::data(format!(
                "task {}: expected something to answer or to generate, got a task that brings its answer and generates nothing",
                task.id
            )));
        }
        let mut group = Underway::new(cursor, task, self.images_per_answer, ahead);
        let rolled = self.roll(at, &mut group);
        Ok((group, rolled))
    }

    /// Scores what was rolled out, selects from it and adapts the filter. Meanwhile the task at cursor `next`, if there is
    /// one, is rolled out, and is given back unless `group` is to be drawn again.
    fn judge(&mut self, at: &mut Drawing<'_>, group: &mut Underway, next: Option<u64>) -> Result<Option<Ahead>> {
        let samples: Vec<_> = group.rollouts.iter().map(|rollout| rollout.sample.clone()).collect();
        let samples = self.with_states(at.policy, samples, None)?;
        let Some(next) = next else {
            let started = Instant::now();
            let scores = self.rewards.judge(&samples)?;
            group.drawn.waited += started.elapsed().as_secs_f64();
            self.settle(at, group, scores)?;
            self.filter.adapt(&group.outcome);
            return Ok(None);
        };
        let rewards = self.rewards.share();
        let thread = match self.thread.take() {
            Some(thread) => thread,
            None => RewardThread::start()?,
        };
        let running = self.thread.insert(thread).run(move || rewards.judge(&samples));

        // To adapt, a filter needs no rewards; to select, it has to be as it was before.
        let before = self.filter.state();
        self.filter.adapt(&group.outcome);
        let adapted = self.filter.state();
        let ahead = self.begin(at, next, true);
        let started = Instant::now();
        let scores = running.wait()?;
        group.drawn.waited += started.elapsed().as_secs_f64();
        let advanced = self.filter.state();

        self.filter.restore(&before)?;
        let scores: Result<Vec<Scored>> = scores.unwrap_or_else(|panic| resume_unwind(panic));
        self.settle(at, group, scores?)?;
        if group.is_settled(self.max_attempts) {
            self.filter.restore(&advanced)?;
            return Ok(Some(ahead));
        }
        // The group is drawn again, and after it the next task, by the filter as it will be then.
        self.filter.restore(&adapted)?;
        if let Ok((thrown_away, _)) = ahead {
            group.drawn.waited += thrown_away.drawn.waited;
        }
        Ok(None)
    }
}
