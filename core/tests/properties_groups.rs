//! Groups under any filter that admits some drafts or none: attempts are capped, and the group is full of the best.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;
#[path = "common/properties.rs"]
mod properties;

use std::sync::{Arc, Mutex};

use common::{ToySampler, changed, config, parts, trainer};
use counterpoint::config::TrainerConfig;
use counterpoint::{DynamicGroupScalingConfig, Event, GroupFilter, GroupOutcome, TypedSampler};
use properties::cases;
use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

/// Scores of all drafts so far, and the outcomes that the filter was told.
#[derive(Default)]
struct Seen {
    scores: Vec<f64>,
    outcomes: Vec<GroupOutcome>,
}

/// Admits draft `n` of the group where `admits[n]` says so.
struct Scripted {
    admits: Vec<bool>,
    seen: Arc<Mutex<Seen>>,
}

impl GroupFilter for Scripted {
    fn admit(&mut self, scores: &[f64]) -> Vec<bool> {
        let mut seen = self.seen.lock().unwrap();
        let first = seen.scores.len();
        seen.scores.extend(scores);
        (first..seen.scores.len()).map(|n| self.admits[n]).collect()
    }

    fn adapt(&mut self, group: &GroupOutcome) {
        self.seen.lock().unwrap().outcomes.push(group.clone());
    }

    fn needs_preview(&self) -> bool {
        true
    }
}

/// What the events of one step said.
#[derive(Debug, Default, Clone, PartialEq)]
struct Told {
    waves: usize,
    exhausted: Option<(usize, usize)>,
    candidates: Vec<u64>,
}

/// One step of the toy run with this filter.
fn one_step(filter: Box<dyn GroupFilter>, max_attempts: usize, group_size: usize, checkpoint: usize) -> Told {
    let sampler = ToySampler { checkpoint }.boxed();
    let parts = changed(parts(), |p| {
        p.filter = filter;
        p.sampler = sampler;
        p.surrogate = Some("taste".into());
    });
    let mut trainer = trainer(parts, TrainerConfig { max_attempts, group_size, ..config(1) });
    let told = Arc::new(Mutex::new(Told::default()));
    let notes = told.clone();
    trainer.on_event(move |event| {
        let mut told = notes.lock().unwrap();
        match event {
            Event::Drafted { drafted, .. } => {
                assert_eq!(*drafted, group_size);
                told.waves += 1;
            }
            Event::AttemptsExhausted { attempts, filled, .. } => told.exhausted = Some((*attempts, *filled)),
            Event::Group { rollouts, .. } => {
                told.candidates = rollouts.iter().map(|r| r.trajectory.candidate).collect();
            }
            _ => {}
        }
    });
    trainer.step().unwrap();
    told.lock().unwrap().clone()
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn attempts_end_when_the_group_is_full_or_at_the_cap_where_the_best_refused_fill_it(
        mut admits in vec(any::<bool>(), 24), none in any::<bool>(),
        max_attempts in 1..6_usize, group_size in 2..5_usize, checkpoint in 1..4_usize,
    ) {
        if none {
            admits.fill(false);
        }
        let seen = Arc::new(Mutex::new(Seen::default()));
        let filter = Scripted { admits: admits.clone(), seen: seen.clone() };
        let told = one_step(Box::new(filter), max_attempts, group_size, checkpoint);

        // Waves of the group's size until it is full or the attempts are used up.
        let admitted = |waves: usize| (0..waves * group_size).filter(|&n| admits[n]).collect::<Vec<_>>();
        let full = (1..=max_attempts).find(|&waves| admitted(waves).len() >= group_size);
        let waves = full.unwrap_or(max_attempts);
        prop_assert_eq!(told.waves, waves);
        let seen = seen.lock().unwrap();
        let drafted = waves * group_size;
        let all = admitted(waves);
        let outcome = GroupOutcome::new(seen.scores.clone(), all.len(), drafted);
        prop_assert_eq!(seen.scores.len(), drafted);
        prop_assert_eq!(&seen.outcomes, &[outcome]);

        let mut group = all[..group_size.min(all.len())].to_vec();
        let missing = group_size - group.len();
        prop_assert_eq!(told.exhausted, full.is_none().then_some((max_attempts, missing)));
        let mut refused: Vec<usize> = (0..drafted).filter(|&n| !admits[n]).collect();
        refused.sort_by(|&a, &b| seen.scores[b].total_cmp(&seen.scores[a]).then(a.cmp(&b)));
        group.extend(&refused[..missing]);
        group.sort_unstable();
        prop_assert_eq!(told.candidates, group.into_iter().map(|n| n as u64).collect::<Vec<_>>());
    }

    #[test]
    fn a_threshold_that_nothing_reaches_does_not_draw_for_ever(max_attempts in 1..6_usize, group_size in 2..5_usize) {
        let filter = DynamicGroupScalingConfig { range: [0.0, 1e9], ..Default::default() }.init().unwrap();
        let told = one_step(Box::new(filter), max_attempts, group_size, 1);
        prop_assert_eq!((told.waves, told.exhausted), (max_attempts, Some((max_attempts, group_size))));
        prop_assert!(told.candidates.len() == group_size && told.candidates.is_sorted_by(|a, b| a < b));
    }
}
