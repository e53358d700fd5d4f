//! Rollouts drawn on devices of their own: the same run, however many there are and whichever are lost.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::{Arc, Mutex};

use common::{Faults, STEPS, ToyPolicy, ToySampler, changed, config, listen, parts, stateful, weights};
use counterpoint::burn::tensor::Device;
use counterpoint::config::TrainerConfig;
use counterpoint::{
    Candidate, Draft, Error, ErrorKind, Learner, LogProbs, Parameters, Parts, Policy, Replay, Result, Rollout, Sampler,
    Task, Trainer, TypedSampler, serde_json,
};

/// What a device does: the number of candidates of each call, and in which calls it is gone.
#[derive(Clone, Default)]
struct Watched {
    drafted: Arc<Mutex<Vec<usize>>>,
    finished: Arc<Mutex<Vec<usize>>>,
    /// The call of `draft` that panics, and the one of `finish` that gets no answer, by their numbers.
    gone: [Option<usize>; 2],
}

struct OnDevice {
    sampler: Box<dyn Sampler>,
    watched: Watched,
}

impl Sampler for OnDevice {
    fn draft(
        &mut self,
        policy: &dyn Policy,
        task: &Task,
        candidates: &[Candidate],
        previews: bool,
    ) -> Result<Vec<Draft>> {
        let mut calls = self.watched.drafted.lock().unwrap_or_else(|e| e.into_inner());
        calls.push(candidates.len());
        assert_ne!(Some(calls.len() - 1), self.watched.gone[0], "the device is gone");
        self.sampler.draft(policy, task, candidates, previews)
    }

    fn finish(&mut self, policy: &dyn Policy, task: &Task, drafts: Vec<Draft>) -> Result<Vec<Rollout>> {
        let mut calls = self.watched.finished.lock().unwrap_or_else(|e| e.into_inner());
        calls.push(drafts.len());
        if Some(calls.len() - 1) == self.watched.gone[1] {
            return Err(Error::device("the device is gone"));
        }
        self.sampler.finish(policy, task, drafts)
    }
}

/// A run of everything that has state on `devices`: what it says, and its parameters.
fn run(devices: &[Watched], images_per_answer: usize) -> (Vec<String>, Vec<u32>) {
    let (parts, config) = stateful();
    let config = TrainerConfig { images_per_answer, ..config };
    let parts = changed(parts, |p| p.rollout_devices = devices.iter().map(placed).collect());
    let mut trainer = Trainer::new(parts, config, 7).unwrap();
    let log = listen(&mut trainer);
    for _ in 0..3 {
        trainer.step().unwrap();
    }
    let log = log.lock().unwrap().clone();
    (log, weights(&mut trainer))
}

fn placed(watched: &Watched) -> (Device, Box<dyn Sampler>) {
    let sampler = OnDevice { sampler: ToySampler::default().boxed(), watched: watched.clone() };
    (Device::flex(), Box::new(sampler))
}

#[test]
fn one_device_two_or_three_draw_the_same_run() {
    for images in [1, 2] {
        let alone = run(&[], images);
        for count in 1..=3 {
            let devices: Vec<Watched> = (0..count).map(|_| Watched::default()).collect();
            assert_eq!(run(&devices, images), alone, "{count} devices, {images} images for each answer");
            let shares: Vec<usize> =
                devices.iter().map(|d| d.drafted.lock().unwrap().first().copied().unwrap_or(0)).collect();
            assert_eq!(shares.iter().sum::<usize>(), 4, "{shares:?}");
            // Two answers cannot be shared by three devices.
            let idle = shares.iter().filter(|share| **share == 0).count();
            assert_eq!(idle, if (images, count) == (2, 3) { 1 } else { 0 }, "{shares:?}");
        }
    }
}

#[test]
fn what_a_lost_device_was_to_draw_is_drawn_elsewhere_and_said() {
    let alone = run(&[], 1);
    for gone in [[Some(1), None], [None, Some(1)], [Some(0), None], [None, Some(0)]] {
        let (lost, well) = (Watched { gone, ..Watched::default() }, Watched::default());
        let (log, weights) = run(&[lost.clone(), well.clone()], 1);
        let (said, rest): (Vec<String>, Vec<String>) =
            log.into_iter().partition(|line| line.starts_with("device lost"));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].contains("the device is gone"), "{said:?}");
        assert_eq!((rest, weights), alone, "gone in {gone:?}");
        let calls = gone[0].or(gone[1]).unwrap();
        let lost = if gone[0].is_some() { &lost.drafted } else { &lost.finished };
        assert_eq!(lost.lock().unwrap_or_else(|e| e.into_inner()).len(), calls + 1, "it is asked nothing any more");
        assert!(well.drafted.lock().unwrap().last() == Some(&4), "the other has all");
    }
}

#[test]
fn without_any_device_left_the_policys_own_draws() {
    let gone = |call| Watched { gone: [None, Some(call)], ..Watched::default() };
    let (log, weights) = run(&[gone(0), gone(1)], 1);
    let rest: Vec<String> = log.into_iter().filter(|line| !line.starts_with("device lost")).collect();
    assert_eq!((rest, weights), run(&[], 1));
}

#[test]
fn a_lost_device_is_noted_in_the_steps_metrics() {
    let devices = [Watched { gone: [Some(0), None], ..Watched::default() }];
    let parts = changed(parts(), |p| p.rollout_devices = devices.iter().map(placed).collect());
    let mut trainer = Trainer::new(parts, config(3), 7).unwrap();
    let report = trainer.step().unwrap();
    assert!(report.updated);
    assert!(report.metrics.notes()[0].contains("flex lost: "), "{:?}", report.metrics.notes());
    assert_eq!(trainer.progress().ledger.kept, 4 * STEPS as u64);
}

/// A policy that makes no copies.
struct Single(ToyPolicy);

impl Policy for Single {
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        self.0.log_probs(chunk, parameters)
    }

    fn learner(&mut self) -> &mut dyn Learner {
        self.0.learner()
    }

    fn kind(&self) -> &str {
        "single"
    }
}

/// A sampler with a memory.
struct Remembering(Box<dyn Sampler>);

impl Sampler for Remembering {
    fn draft(&mut self, policy: &dyn Policy, task: &Task, candidates: &[Candidate], p: bool) -> Result<Vec<Draft>> {
        self.0.draft(policy, task, candidates, p)
    }

    fn finish(&mut self, policy: &dyn Policy, task: &Task, drafts: Vec<Draft>) -> Result<Vec<Rollout>> {
        self.0.finish(policy, task, drafts)
    }

    fn state(&self) -> serde_json::Value {
        1.into()
    }
}

fn on_one_device(change: impl FnOnce(&mut Parts)) -> Parts {
    let parts = changed(parts(), |p| p.rollout_devices = vec![placed(&Watched::default())]);
    changed(parts, change)
}

#[test]
fn what_cannot_be_on_several_devices_is_refused() {
    let parts = on_one_device(|p| p.policy = Box::new(Single(ToyPolicy::new(Faults::default()))));
    let error = Trainer::new(parts, config(1), 7).unwrap().step().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contract);
    assert!(error.to_string().contains("`single` makes none"), "{error}");

    let sampler = Box::new(Remembering(ToySampler::default().boxed()));
    let parts = on_one_device(|p| p.rollout_devices[0].1 = sampler);
    let error = Trainer::new(parts, config(1), 7).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("remembers nothing"), "{error}");
}
