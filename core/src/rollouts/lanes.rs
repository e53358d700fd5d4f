//! Devices that draw side by side, each with a copy of the policy and a sampler of its own.
//!
//! Candidates are dealt out by their answers, so that those which share one stay together; as what is drawn for a candidate depends on its key
//! alone, samples do not depend on how many devices there are. A device that is lost in the middle (it does not answer, or burn panics) draws no
//! more: its candidates are drawn again elsewhere.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::thread::{self, ScopedJoinHandle};

use burn::tensor::Device;

use super::draw::{Drawing, Underway, expect_count};
use crate::event::Notice;
use crate::{Candidate, Draft, Error, ErrorKind, Policy, Result, Rollout, Sampler, device};

/// A device that draws.
pub(crate) struct Lane {
    device: Device,
    sampler: Box<dyn Sampler>,
    /// Its copy of the policy, or why there is none.
    policy: Result<Box<dyn Policy>>,
    lost: bool,
}

/// What a lane finishes: where the draft is, and the sampler's own state.
struct Placed {
    /// None: on the policy's own device.
    lane: Option<usize>,
    state: Box<dyn Any + Send>,
}

impl Lane {
    /// One on `device`.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) for a sampler that remembers something from one task to the next, which it could not know of
    /// the tasks that other devices draw.
    pub(super) fn new(device: Device, sampler: Box<dyn Sampler>) -> Result<Self> {
        if !sampler.state().is_null() {
            return Err(Error::config(
                "placement.rollouts: expected a sampler that remembers nothing from one task to the next, got one that does; leave the key out",
            ));
        }
        Ok(Self { device, sampler, policy: Err(Error::device("no step has begun")), lost: false })
    }

    pub(crate) fn into_parts(self) -> (Device, Box<dyn Sampler>) {
        (self.device, self.sampler)
    }

    /// Gives it the parameters of `policy` as they are now. A device that does not take them is lost when it is to draw.
    pub(super) fn refresh(&mut self, policy: &dyn Policy) -> Result<()> {
        if self.lost {
            return Ok(());
        }
        let last = std::mem::replace(&mut self.policy, Err(Error::device("it took no copy of the policy"))).ok();
        match caught(|| policy.copied(&self.device, last)) {
            Err(error) if error.kind() != ErrorKind::Device => Err(error),
            copied => {
                self.policy = copied;
                Ok(())
            }
        }
    }
}

/// A panic as an error of the device: what was under way is thrown away with it.
fn caught<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Error::panicked(panic.as_ref())))
}

/// Where candidates are drawn: `lanes`, and the policy's own device by `sampler` when there are none, or none is left.
pub(super) struct Place<'a> {
    pub(super) lanes: &'a mut [Lane],
    pub(super) sampler: &'a mut dyn Sampler,
}

impl Place<'_> {
    /// As [`Sampler::draft`].
    pub(super) fn draft(
        &mut self,
        at: &mut Drawing<'_>,
        group: &mut Underway,
        candidates: &[Candidate],
        previews: bool,
    ) -> Result<Vec<Draft>> {
        if self.lanes.is_empty() {
            return self.sampler.draft(at.policy, &group.drawn.task, candidates, previews);
        }
        loop {
            let alive: Vec<usize> = (0..self.lanes.len()).filter(|&lane| !self.lanes[lane].lost).collect();
            let task = &group.drawn.task;
            if alive.is_empty() {
                let drafts = self.sampler.draft(at.policy, task, candidates, previews)?;
                return Ok(drafts.into_iter().map(|draft| placed(draft, None)).collect());
            }
            let lane_of = dealt(candidates, &alive);
            let mut shares: Vec<Vec<Candidate>> = vec![Vec::new(); self.lanes.len()];
            lane_of.iter().zip(candidates).for_each(|(&lane, candidate)| shares[lane].push(*candidate));
            let drawn = side_by_side(self.lanes, shares, |sampler, policy, share| {
                let drafts = sampler.draft(policy, task, &share, previews)?;
                expect_count("sampler", "drafts", share.len(), drafts.len())?;
                Ok(drafts)
            });
            let Some(drawn) = self.settled(drawn, candidates.len(), at, group)? else { continue };
            let mut drawn: Vec<_> = drawn.into_iter().map(Vec::into_iter).collect();
            let next = |lane: usize| drawn[lane].next().map(|draft| placed(draft, Some(lane)));
            return Ok(lane_of.into_iter().filter_map(next).collect());
        }
    }

    /// As [`Sampler::finish`], each draft where it was drawn. When a device is lost all of them are drawn again.
    pub(super) fn finish(
        &mut self,
        at: &mut Drawing<'_>,
        group: &mut Underway,
        mut drafts: Vec<Draft>,
    ) -> Result<Vec<Rollout>> {
        if self.lanes.is_empty() {
            return self.sampler.finish(at.policy, &group.drawn.task, drafts);
        }
        loop {
            let candidates: Vec<Candidate> = drafts.iter().map(|draft| draft.candidate).collect();
            let (mut own, mut lane_of) = (Vec::new(), Vec::new());
            let mut shares: Vec<Vec<Draft>> = self.lanes.iter().map(|_| Vec::new()).collect();
            for draft in drafts {
                let (lane, draft) = taken_up(draft)?;
                lane_of.push(lane);
                lane.map_or(&mut own, |lane| &mut shares[lane]).push(draft);
            }
            let task = &group.drawn.task;
            let finished = side_by_side(self.lanes, shares, |sampler, policy, share| {
                let count = share.len();
                let rollouts = sampler.finish(policy, task, share)?;
                expect_count("sampler", "rollouts", count, rollouts.len())?;
                Ok(rollouts)
            });
            let Some(finished) = self.settled(finished, candidates.len(), at, group)? else {
                drafts = self.draft(at, group, &candidates, false)?;
                continue;
            };
            let count = own.len();
            let mut own = match count {
                0 => Vec::new(),
                _ => self.sampler.finish(at.policy, &group.drawn.task, own)?,
            }
            .into_iter();
            expect_count("sampler", "rollouts", count, own.len())?;
            let mut finished: Vec<_> = finished.into_iter().map(Vec::into_iter).collect();
            let next = |lane: Option<usize>| lane.map_or(&mut own, |lane| &mut finished[lane]).next();
            return Ok(lane_of.into_iter().filter_map(next).collect());
        }
    }

    /// What the devices drew; none when one of them is lost, which is told. Another error is that of all.
    fn settled<T>(
        &mut self,
        drawn: Vec<Result<Vec<T>>>,
        candidates: usize,
        at: &mut Drawing<'_>,
        group: &mut Underway,
    ) -> Result<Option<Vec<Vec<T>>>> {
        let (mut all, mut lost) = (Vec::new(), false);
        for (lane, drawn) in self.lanes.iter_mut().zip(drawn) {
            match drawn {
                Ok(drawn) => all.push(drawn),
                Err(error) if error.kind() != ErrorKind::Device => return Err(error),
                Err(error) => {
                    (lane.lost, lost) = (true, true);
                    let reason = format!("{error:#}");
                    group.tell(at, Notice::DeviceLost { device: device::name(&lane.device), candidates, reason })?;
                }
            }
        }
        Ok((!lost).then_some(all))
    }
}

/// Has each lane work on its share, on a thread of its own.
fn side_by_side<I: Send, T: Send>(
    lanes: &mut [Lane],
    shares: Vec<Vec<I>>,
    work: impl Fn(&mut dyn Sampler, &dyn Policy, Vec<I>) -> Result<Vec<T>> + Sync,
) -> Vec<Result<Vec<T>>> {
    let work = &work;
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for (Lane { sampler, policy, .. }, share) in lanes.iter_mut().zip(shares) {
            threads.push(scope.spawn(move || match policy {
                _ if share.is_empty() => Ok(Vec::new()),
                Ok(policy) => caught(|| work(sampler.as_mut(), policy.as_ref(), share)),
                Err(error) => Err(Error::device(format!("{error:#}"))),
            }));
        }
        let join = |thread: ScopedJoinHandle<'_, _>| thread.join().unwrap_or_else(|panic| resume_unwind(panic));
        threads.into_iter().map(join).collect()
    })
}

/// The lane of each candidate: as many answers for one as for the other.
fn dealt(candidates: &[Candidate], alive: &[usize]) -> Vec<usize> {
    let mut family = 0;
    let families: Vec<usize> = (0..candidates.len())
        .map(|i| {
            family += usize::from(i > 0 && candidates[i].answer != candidates[i - 1].answer);
            family
        })
        .collect();
    families.iter().map(|&number| alive[number * alive.len() / (family + 1)]).collect()
}

fn placed(draft: Draft, lane: Option<usize>) -> Draft {
    draft.map(|state| Box::new(Placed { lane, state }) as Box<dyn Any + Send>)
}

fn taken_up(draft: Draft) -> Result<(Option<usize>, Draft)> {
    let Draft { candidate, preview, steps_spent, steps_left, state } = draft;
    let Placed { lane, state } =
        *state.downcast::<Placed>().map_err(|_| Error::contract("a draft that no device drew"))?;
    Ok((lane, Draft { candidate, preview, steps_spent, steps_left, state }))
}
