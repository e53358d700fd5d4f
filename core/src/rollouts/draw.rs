//! One task to one group: drafts, filter, finished candidates, rewards.

use std::collections::BTreeMap;

use super::{Drawn, Ledger, Rollouts};
use crate::event::Notice;
use crate::{
    Candidate, Draft, Error, Event, GroupOutcome, Key, Policy, Result, Rollout, Score, Scored, Segment, SegmentKind,
    Task, Watch,
};

/// What is the same for all groups that are drawn together.
pub(super) struct Drawing<'a> {
    pub(super) policy: &'a dyn Policy,
    pub(super) step: u64,
    pub(super) watch: Watch<'a>,
}

/// A group from its first rollout until it is settled.
pub(super) struct Underway {
    pub(super) drawn: Drawn,
    /// What became of the drafts of the last draw.
    pub(super) outcome: GroupOutcome,
    /// Its finished candidates.
    pub(super) rollouts: Vec<Rollout>,
    next_candidate: u64,
    /// Images for each answer: 1 where nothing is generated.
    images: usize,
    /// Events that wait until the rewards of the task before are known; `None` tells them at once.
    pub(super) held: Option<Vec<Notice>>,
}

impl Underway {
    pub(super) fn new(cursor: u64, task: Task, images_per_answer: usize, ahead: bool) -> Self {
        Self {
            images: if task.generates { images_per_answer } else { 1 },
            drawn: Drawn::new(cursor, task),
            outcome: GroupOutcome::default(),
            rollouts: Vec::new(),
            next_candidate: 0,
            held: ahead.then(Vec::new),
        }
    }

    /// Whether nothing more is drawn for it.
    pub(super) fn is_settled(&self, max_attempts: usize) -> bool {
        !self.drawn.rollouts.is_empty() || self.drawn.attempts >= max_attempts
    }

    pub(super) fn tell(&mut self, at: &mut Drawing<'_>, notice: Notice) -> Result<()> {
        match &mut self.held {
            Some(held) => held.push(notice),
            None => (at.watch)(&notice.event(&self.drawn.task))?,
        }
        Ok(())
    }
}

/// Drafts that share an answer, which are admitted or refused together: one, or `images_per_answer` of them.
type Family = Vec<Draft>;

/// The drafts of one group on their way to being complete.
#[derive(Default)]
struct Collection {
    admitted: Vec<Family>,
    /// The best of those refused, best first.
    refused: Vec<(f64, Family)>,
}

impl Rollouts {
    /// Draws, filters and finishes candidates for `group`: waves of drafts until enough are admitted; at the cap the best
    /// refused ones fill the group.
    pub(super) fn roll(&mut self, at: &mut Drawing<'_>, group: &mut Underway) -> Result<()> {
        group.outcome = GroupOutcome::default();
        let mut collection = Collection::default();
        let wanted = self.families(group)?;
        while collection.admitted.len() < wanted {
            let attempts = group.drawn.attempts;
            if attempts == self.max_attempts {
                let missing = wanted - collection.admitted.len();
                let filling: Vec<Family> = collection.refused.drain(..missing).map(|(_, family)| family).collect();
                collection.admitted.extend(filling);
                group.tell(at, Notice::Exhausted { attempts, filled: missing * group.images })?;
                break;
            }
            self.wave(at, wanted, &mut collection, group)?;
        }
        // Candidates beyond `wanted` and those refused are dropped here.
        let surplus: Vec<Family> = collection.admitted.drain(wanted..).collect();
        let refused = collection.refused.drain(..).map(|(_, family)| family);
        for draft in surplus.into_iter().chain(refused).flatten() {
            drop_draft(&draft, &mut group.drawn.ledger);
        }
        let mut admitted: Vec<Draft> = collection.admitted.into_iter().flatten().collect();
        admitted.sort_by_key(|draft| draft.candidate.key.candidate);
        group.drawn.drafted += group.outcome.drafted;
        group.drawn.admitted += group.outcome.admitted;
        self.finish(at, group, admitted)
    }

    /// How many answers are finished for a group.
    fn families(&self, group: &Underway) -> Result<usize> {
        let (finished, images) = (self.filter.finish_count(self.group_size), group.images);
        if !finished.is_multiple_of(images) {
            return Err(Error::config(format!(
                "trainer.images_per_answer: expected a divisor of the {finished} candidates that the filter finishes for a \
                 group of {}, got {images}",
                self.group_size
            )));
        }
        Ok(finished / images)
    }

    fn wave(
        &mut self,
        at: &mut Drawing<'_>,
        wanted: usize,
        collection: &mut Collection,
        group: &mut Underway,
    ) -> Result<()> {
        let (first, images, generates) = (group.next_candidate, group.images, group.drawn.task.generates);
        let key = |candidate| Key { step: at.step, task: group.drawn.cursor, candidate };
        let end = first + (wanted * images) as u64;
        let answer = |candidate: u64| candidate - candidate % images as u64;
        let candidates: Vec<Candidate> =
            (first..end).map(|c| Candidate::new(self.streams, key(c)).with_answer(answer(c))).collect();
        group.next_candidate = end;
        group.drawn.attempts += 1;

        let previewed = self.filter.needs_preview() && generates;
        let mut drafts = self.place().draft(at, group, &candidates, previewed)?;
        expect_count("sampler", "drafts", candidates.len(), drafts.len())?;
        let started = std::time::Instant::now();
        let scores = if previewed {
            let surrogate = self.surrogate.as_deref().ok_or_else(|| {
                Error::contract(
                    "the filter needs previews now and did not when the run was made; it must not change its mind",
                )
            })?;
            let previews: Vec<_> = drafts.iter_mut().filter_map(|draft| draft.preview.take()).collect();
            expect_count("sampler", "previews", drafts.len(), previews.len())?;
            // A preview that the surrogate cannot score is never admitted before one that it can.
            let previews = self.with_states(at.policy, previews, Some(surrogate))?;
            let scores = self.rewards.judge_previews(surrogate, &previews)?;
            scores.iter().map(|score| score.value().unwrap_or(f64::NEG_INFINITY)).collect()
        } else {
            vec![0.0; drafts.len()]
        };
        group.drawn.waited += started.elapsed().as_secs_f64();
        // An answer is judged by the mean of its images' previews.
        let scores: Vec<f64> = match images {
            1 => scores,
            _ => scores.chunks(images).map(|scores| scores.iter().sum::<f64>() / scores.len() as f64).collect(),
        };
        // An answer alone costs nothing that a filter could save.
        let admit = if generates { self.filter.admit(&scores) } else { vec![true; scores.len()] };
        expect_count("filter", "decisions", scores.len(), admit.len())?;

        let admitted = admit.iter().filter(|&&a| a).count();
        if generates {
            group.outcome.drafted += scores.len();
            group.outcome.admitted += admitted;
        }
        if previewed {
            group.outcome.scores.extend(&scores);
        }
        let (drafted, admitted) = (drafts.len(), admitted * images);
        let mut drafts = drafts.into_iter();
        for (score, admit) in scores.into_iter().zip(admit) {
            let family: Family = drafts.by_ref().take(images).collect();
            match admit {
                true => collection.admitted.push(family),
                false => collection.refused.push((score, family)),
            }
        }
        // No more than `wanted` of the refused can ever be needed: stable order, best first.
        collection.refused.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        for (_, family) in collection.refused.drain(wanted.min(collection.refused.len())..) {
            family.iter().for_each(|draft| drop_draft(draft, &mut group.drawn.ledger));
        }
        let attempt = group.drawn.attempts;
        group.tell(at, Notice::Drafted { attempt, drafted, admitted })
    }

    /// Finishes the admitted drafts.
    fn finish(&mut self, at: &mut Drawing<'_>, group: &mut Underway, drafts: Vec<Draft>) -> Result<()> {
        group.drawn.ledger.kept += drafts.iter().map(|d| (d.steps_spent + d.steps_left) as u64).sum::<u64>();
        let candidates: Vec<Candidate> = drafts.iter().map(|d| d.candidate).collect();
        let mut rollouts = self.place().finish(at, group, drafts)?;
        expect_count("sampler", "rollouts", candidates.len(), rollouts.len())?;
        for (candidate, rollout) in candidates.iter().zip(&mut rollouts) {
            let number = candidate.key.candidate;
            if rollout.trajectory.candidate != number {
                return Err(Error::contract(format!(
                    "the sampler returned candidate {} where candidate {number} was to be finished; keep the order",
                    rollout.trajectory.candidate
                )));
            }
            rollout.trajectory.validate()?;
            let painted = rollout.trajectory.segments.iter().any(|segment| segment.kind == SegmentKind::Generation);
            if painted && !group.drawn.task.generates {
                return Err(Error::contract(format!(
                    "the sampler returned generated tokens for task {}, of which the answer alone was asked \
                     (`Task::generates`); a sampler that cannot do without is for tasks that generate",
                    group.drawn.task.id
                )));
            }
            rollout.trajectory.answer = candidate.answer;
        }
        expect_shared_answers(&rollouts)?;
        group.drawn.finished += rollouts.len();
        group.drawn.measured.extend(rollouts.iter().flat_map(|rollout| rollout.metrics.iter().copied()));
        group.rollouts = rollouts;
        Ok(())
    }

    /// Selects, of the finished candidates, those that are learned from.
    pub(super) fn settle(&mut self, at: &mut Drawing<'_>, group: &mut Underway, scores: Vec<Scored>) -> Result<()> {
        let Underway { drawn, rollouts, images, .. } = group;
        let rollouts = std::mem::take(rollouts);
        let usable: Vec<usize> = (0..scores.len()).filter(|&i| scores[i].total.is_some()).collect();
        let rewards: Vec<f64> = usable.iter().filter_map(|&i| scores[i].total).collect();
        drawn.flat = (rewards.len() > 1).then(|| rewards.iter().all(|reward| *reward == rewards[0]));
        let selected = self.filter.select(&rewards, self.group_size);
        if selected.last().is_some_and(|&i| i >= rewards.len()) || !selected.is_sorted_by(|a, b| a < b) {
            return Err(Error::contract(format!(
                "the filter selected {selected:?}, expected increasing indices below {}",
                rewards.len()
            )));
        }
        let kept: Vec<usize> = selected.iter().map(|&i| usable[i]).collect();
        (at.watch)(&Event::Group { task: &drawn.task, rollouts: &rollouts, scores: &scores, kept: &kept })?;
        for (reward, (failed, reason)) in failures(&scores) {
            (at.watch)(&Event::ScoresFailed { task: &drawn.task, reward, failed, reason })?;
        }
        // One candidate has nothing to be compared with.
        if kept.len() >= 2 {
            let mut rollouts: Vec<Option<Rollout>> = rollouts.into_iter().map(Some).collect();
            drawn.rollouts = kept.iter().filter_map(|&i| rollouts[i].take()).collect();
            drawn.rewards = selected.iter().map(|&i| rewards[i]).collect();
            drawn.shares = kept.iter().map(|&i| scores[i].shares).collect();
            drawn.alone = (*images > 1).then(|| alone(&drawn.rollouts));
        } else if drawn.attempts >= self.max_attempts {
            let because = scores.iter().find_map(Scored::reason).map(|why| format!(": {why}")).unwrap_or_default();
            let reason = format!("no group worth learning from after {} attempts{because}", drawn.attempts);
            (at.watch)(&Event::GroupDropped { task: &drawn.task, reason: &reason })?;
            drawn.dropped = Some(reason);
        }
        drawn.scores.extend(scores);
        Ok(())
    }
}

/// By reward, on how many samples it failed and what it said of the first.
fn failures(scores: &[Scored]) -> BTreeMap<&str, (usize, &str)> {
    let mut failures = BTreeMap::new();
    for (reward, score) in scores.iter().flat_map(|scored| &scored.parts) {
        if let Score::Fail(reason) = score {
            failures.entry(reward.as_str()).or_insert((0, reason.as_str())).0 += 1;
        }
    }
    failures
}

/// Share of candidates without a sibling, whose images have nothing to be compared with.
fn alone(rollouts: &[Rollout]) -> f64 {
    let answer = |rollout: &Rollout| rollout.trajectory.answer;
    let siblings = |one: &Rollout| rollouts.iter().filter(|other| answer(other) == answer(one)).count();
    rollouts.iter().filter(|one| siblings(one) == 1).count() as f64 / rollouts.len().max(1) as f64
}

/// Refuses candidates that were to share an answer and say different things.
fn expect_shared_answers(rollouts: &[Rollout]) -> Result<()> {
    let said = |rollout: &Rollout| -> Vec<Vec<u32>> {
        let of = |segment: &&Segment| segment.kind == SegmentKind::Understanding;
        rollout.trajectory.segments.iter().filter(of).map(|segment| segment.chosen.clone()).collect()
    };
    for pair in rollouts.windows(2) {
        let [one, next] = [&pair[0].trajectory, &pair[1].trajectory];
        if one.answer == next.answer && said(&pair[0]) != said(&pair[1]) {
            return Err(Error::contract(format!(
                "candidates {} and {} were to share an answer and say different things: this sampler cannot paint several images \
                 for one answer; draw what is said from the streams of `Candidate::answering`, or set \
                 trainer.images_per_answer = 1",
                one.candidate, next.candidate
            )));
        }
    }
    Ok(())
}

fn drop_draft(draft: &Draft, ledger: &mut Ledger) {
    ledger.dropped += draft.steps_spent as u64;
    ledger.saved += draft.steps_left as u64;
}

pub(super) fn expect_count(who: &str, what: &str, expected: usize, got: usize) -> Result<()> {
    if expected == got {
        return Ok(());
    }
    Err(Error::contract(format!("the {who} returned {got} {what}, expected {expected}")))
}
