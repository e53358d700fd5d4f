//! One task to one group: drafts, filter, finished candidates, rewards.

use serde::{Deserialize, Serialize};

use super::event::Notice;
use super::{Event, Group, Parts, Trainer};
use crate::{Candidate, Draft, Error, GroupOutcome, Key, Result, Rollout, Scored, Task};

/// Denoising steps spent, in candidates x steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ledger {
    /// On candidates that were finished.
    pub kept: u64,
    /// On drafts that were dropped at the checkpoint step.
    pub dropped: u64,
    /// Not spent, because those drafts were dropped rather than finished.
    pub saved: u64,
}

/// What a task came to, for the metrics.
pub(super) struct Drawn {
    /// The group, unless it was dropped.
    pub(super) group: Option<Group>,
    /// Scores of all finished candidates.
    pub(super) scores: Vec<Scored>,
    /// Attempts (waves of drafts) made.
    pub(super) attempts: usize,
    /// Images that were finished.
    pub(super) finished: usize,
    /// Denoising steps spent.
    pub(super) ledger: Ledger,
    /// Pass rate over all drafts.
    pub(super) pass_rate: f64,
    /// Seconds in which the rollout waited for rewards, previews included.
    pub(super) waited: f64,
}

/// A group from its first rollout until it is settled.
pub(super) struct Underway {
    pub(super) task: Task,
    pub(super) drawn: Drawn,
    /// What became of the drafts of the last attempts.
    pub(super) outcome: GroupOutcome,
    /// Their finished candidates.
    pub(super) rollouts: Vec<Rollout>,
    next_candidate: u64,
    /// Events that wait until the rewards of the task before are known; `None` tells them at once.
    pub(super) held: Option<Vec<Notice>>,
}

impl Underway {
    pub(super) fn new(task: Task, ahead: bool) -> Self {
        Self {
            task,
            drawn: Drawn {
                group: None,
                scores: Vec::new(),
                attempts: 0,
                finished: 0,
                ledger: Ledger::default(),
                pass_rate: 0.0,
                waited: 0.0,
            },
            outcome: GroupOutcome { scores: Vec::new(), admitted: 0, drafted: 0 },
            rollouts: Vec::new(),
            next_candidate: 0,
            held: ahead.then(Vec::new),
        }
    }
}

/// The drafts of one group on their way to being complete.
#[derive(Default)]
struct Collection {
    admitted: Vec<Draft>,
    /// The best of those refused, best first.
    refused: Vec<(f64, Draft)>,
}

impl Trainer {
    /// Draws, filters and finishes candidates for `group`: waves of drafts until enough are admitted; at the cap the best
    /// refused ones fill the group.
    pub(super) fn roll(&mut self, step: u64, group: &mut Underway) -> Result<()> {
        group.outcome = GroupOutcome { scores: Vec::new(), admitted: 0, drafted: 0 };
        let mut collection = Collection::default();
        let wanted = self.parts.filter.finish_count(self.config.group_size);
        while collection.admitted.len() < wanted {
            let attempts = group.drawn.attempts;
            if attempts == self.config.max_attempts {
                let missing = wanted - collection.admitted.len();
                let filling: Vec<Draft> = collection.refused.drain(..missing).map(|(_, draft)| draft).collect();
                collection.admitted.extend(filling);
                self.tell(group, Notice::Exhausted { attempts, filled: missing });
                break;
            }
            self.wave(step, wanted, &mut collection, group)?;
        }
        // Candidates beyond `wanted` and those refused are dropped here.
        let surplus: Vec<Draft> = collection.admitted.drain(wanted..).collect();
        let refused = collection.refused.drain(..).map(|(_, draft)| draft);
        for draft in surplus.into_iter().chain(refused) {
            drop_draft(&draft, &mut group.drawn.ledger);
        }
        collection.admitted.sort_by_key(|draft| draft.candidate.key.candidate);
        group.drawn.pass_rate = group.outcome.pass_rate();
        self.finish(group, collection.admitted)
    }

    fn tell(&mut self, group: &mut Underway, notice: Notice) {
        match &mut group.held {
            Some(held) => held.push(notice),
            None => self.emit(&notice.event(&group.task)),
        }
    }

    fn wave(&mut self, step: u64, wanted: usize, collection: &mut Collection, group: &mut Underway) -> Result<()> {
        let first = group.next_candidate;
        let task = &group.task;
        let candidates: Vec<Candidate> = (first..first + wanted as u64)
            .map(|candidate| Candidate { streams: self.streams, key: Key { step, task: task.id, candidate } })
            .collect();
        group.next_candidate += wanted as u64;
        group.drawn.attempts += 1;

        let Parts { policy, sampler, filter, rewards, surrogate, .. } = &mut self.parts;
        let mut drafts = sampler.draft(policy.as_ref(), task, &candidates, filter.needs_preview())?;
        expect_count("sampler", "drafts", candidates.len(), drafts.len())?;
        let started = std::time::Instant::now();
        let scores = if filter.needs_preview() {
            let name = surrogate.as_deref().ok_or_else(|| {
                Error::config("filter.surrogate: this filter needs the name of a reward that scores previews")
            })?;
            let previews: Vec<_> = drafts.iter_mut().filter_map(|draft| draft.preview.take()).collect();
            expect_count("sampler", "previews", drafts.len(), previews.len())?;
            // A preview that the surrogate cannot score is never admitted before one that it can.
            let scores = rewards.judge_previews(name, &previews)?;
            scores.iter().map(|score| score.value().unwrap_or(f64::NEG_INFINITY)).collect()
        } else {
            vec![0.0; drafts.len()]
        };
        group.drawn.waited += started.elapsed().as_secs_f64();
        let admit = filter.admit(&scores);
        expect_count("filter", "decisions", drafts.len(), admit.len())?;

        let admitted = admit.iter().filter(|&&a| a).count();
        group.outcome.drafted += drafts.len();
        group.outcome.admitted += admitted;
        if filter.needs_preview() {
            group.outcome.scores.extend(&scores);
        }
        let drafted = drafts.len();
        for ((draft, score), admit) in drafts.into_iter().zip(scores).zip(admit) {
            match admit {
                true => collection.admitted.push(draft),
                false => collection.refused.push((score, draft)),
            }
        }
        // No more than `wanted` of the refused can ever be needed: stable order, best first.
        collection.refused.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        for (_, draft) in collection.refused.drain(wanted.min(collection.refused.len())..) {
            drop_draft(&draft, &mut group.drawn.ledger);
        }
        let attempt = group.drawn.attempts;
        self.tell(group, Notice::Drafted { attempt, drafted, admitted });
        Ok(())
    }

    /// Finishes the admitted drafts.
    fn finish(&mut self, group: &mut Underway, drafts: Vec<Draft>) -> Result<()> {
        group.drawn.ledger.kept += drafts.iter().map(|d| (d.steps_spent + d.steps_left) as u64).sum::<u64>();
        let candidates: Vec<u64> = drafts.iter().map(|d| d.candidate.key.candidate).collect();
        let rollouts = self.parts.sampler.finish(self.parts.policy.as_ref(), &group.task, drafts)?;
        expect_count("sampler", "rollouts", candidates.len(), rollouts.len())?;
        for (candidate, rollout) in candidates.iter().zip(&rollouts) {
            if rollout.trajectory.candidate != *candidate {
                return Err(Error::contract(format!(
                    "the sampler returned candidate {} where candidate {candidate} was to be finished; keep the order",
                    rollout.trajectory.candidate
                )));
            }
            rollout.trajectory.validate()?;
        }
        group.drawn.finished += rollouts.len();
        group.rollouts = rollouts;
        Ok(())
    }

    /// Selects, of the finished candidates, those that are learned from.
    pub(super) fn settle(&mut self, group: &mut Underway, scores: Vec<Scored>) -> Result<()> {
        let Underway { task, drawn, rollouts, .. } = group;
        let rollouts = std::mem::take(rollouts);
        let usable: Vec<usize> = (0..scores.len()).filter(|&i| scores[i].total.is_some()).collect();
        let rewards: Vec<f64> = usable.iter().filter_map(|&i| scores[i].total).collect();
        let selected = self.parts.filter.select(&rewards, self.config.group_size);
        if selected.last().is_some_and(|&i| i >= rewards.len()) || !selected.is_sorted_by(|a, b| a < b) {
            return Err(Error::contract(format!(
                "the filter selected {selected:?}, expected increasing indices below {}",
                rewards.len()
            )));
        }
        let kept: Vec<usize> = selected.iter().map(|&i| usable[i]).collect();
        self.emit(&Event::Group { task, rollouts: &rollouts, scores: &scores, kept: &kept });
        drawn.scores.extend(scores);

        // One candidate has nothing to be compared with.
        if kept.len() >= 2 {
            let rewards: Vec<f64> = selected.iter().map(|&i| rewards[i]).collect();
            let advantages = self.parts.objective.advantages(&rewards);
            expect_count("objective", "advantages", rewards.len(), advantages.len())?;
            let mut rollouts: Vec<Option<Rollout>> = rollouts.into_iter().map(Some).collect();
            let trajectories = kept.iter().filter_map(|&i| rollouts[i].take()).map(|r| r.trajectory).collect();
            drawn.group = Some(Group { trajectories, advantages });
        }
        Ok(())
    }
}

fn drop_draft(draft: &Draft, ledger: &mut Ledger) {
    ledger.dropped += draft.steps_spent as u64;
    ledger.saved += draft.steps_left as u64;
}

fn expect_count(who: &str, what: &str, expected: usize, got: usize) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(Error::contract(format!("the {who} returned {got} {what}, expected {expected}")))
}
