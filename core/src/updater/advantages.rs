//! From rewards to the advantage of every segment: what is credited with what, and compared with whom.

use crate::{Drawn, Error, Objective, Result, SegmentKind, Trajectory};

/// The advantages of the segments of every candidate of `drawn`, `[candidate][segment]`.
pub(super) fn advantages(objective: &dyn Objective, drawn: &Drawn) -> Result<Vec<Vec<f64>>> {
    let trajectories: Vec<&Trajectory> = drawn.rollouts.iter().map(|rollout| &rollout.trajectory).collect();
    let mut advantages: Vec<Vec<f64>> = vec![Vec::new(); trajectories.len()];
    let longest = trajectories.iter().map(|t| t.segments.len()).max().unwrap_or(0);
    for segment in 0..longest {
        let having = |i: &usize| trajectories[*i].segments.len() > segment;
        let members: Vec<usize> = (0..trajectories.len()).filter(having).collect();
        let returns: Vec<f64> =
            members.iter().map(|&i| credited(objective, drawn, trajectories[i], i, segment)).collect();
        let kind = |place: usize| trajectories[members[place]].segments[segment].kind;
        for places in compared(&trajectories, &members, kind) {
            let rewards: Vec<f64> = places.iter().map(|set| mean(set.iter().map(|&place| returns[place]))).collect();
            let of_set = objective.advantages(&rewards);
            if of_set.len() != rewards.len() {
                return Err(Error::contract(format!(
                    "the objective returned {} advantages, expected {}",
                    of_set.len(),
                    rewards.len()
                )));
            }
            for (set, advantage) in places.iter().zip(of_set) {
                // Segments come in order, and each is in one set.
                set.iter().for_each(|&place| advantages[members[place]].push(advantage));
            }
        }
    }
    Ok(advantages)
}

/// What the decisions of a segment are credited with.
fn credited(objective: &dyn Objective, drawn: &Drawn, trajectory: &Trajectory, i: usize, segment: usize) -> f64 {
    match objective.credit() {
        crate::Credit::Joint => drawn.rewards[i],
        credit => {
            let rest: Vec<SegmentKind> = trajectory.segments[segment..].iter().map(|s| s.kind).collect();
            drawn.shares[i].credited(credit, &rest)
        }
    }
}

/// Which of `members` are compared with each other: sets of units, each of which is one decision-maker that the members in it
/// share. Answers are units of all their images; images are compared with those of the same answer.
fn compared(
    trajectories: &[&Trajectory],
    members: &[usize],
    kind: impl Fn(usize) -> SegmentKind,
) -> Vec<Vec<Vec<usize>>> {
    let all: Vec<usize> = (0..members.len()).collect();
    let answer = |place: usize| trajectories[members[place]].answer;
    let answers = grouped(&all, answer);
    let each = |places: &[usize]| places.iter().map(|&place| vec![place]).collect::<Vec<_>>();
    if answers.len() == members.len() || !members.iter().any(|&i| is_answered(trajectories[i])) {
        return vec![each(&all)];
    }
    let (understanding, generation): (Vec<usize>, Vec<usize>) =
        all.into_iter().partition(|&place| kind(place) == SegmentKind::Understanding);
    let mut sets = Vec::new();
    if !understanding.is_empty() {
        sets.push(grouped(&understanding, answer));
    }
    sets.extend(grouped(&generation, answer).iter().map(|siblings| each(siblings)));
    sets
}

/// Whether it has an answer of its own making.
fn is_answered(trajectory: &Trajectory) -> bool {
    trajectory.segments.iter().any(|segment| segment.kind == SegmentKind::Understanding)
}

/// `places` by their answers, in order of first occurrence.
fn grouped(places: &[usize], answer: impl Fn(usize) -> u64) -> Vec<Vec<usize>> {
    let mut groups: Vec<(u64, Vec<usize>)> = Vec::new();
    for &place in places {
        match groups.iter_mut().find(|(known, _)| *known == answer(place)) {
            Some((_, group)) => group.push(place),
            None => groups.push((answer(place), vec![place])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    match values.len() {
        // As it is, not rounded.
        1 => values.sum(),
        n => values.sum::<f64>() / n as f64,
    }
}
