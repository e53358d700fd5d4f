//! The loop: it learns, tells what it does in order, and does not depend on how the replay is cut into chunks.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::sync::{Arc, Mutex};

use burn::tensor::{Device, Tensor};
use common::{Faults, ToyPolicy, changed, config, listen, parts, trainer};
use counterpoint::config::{Chunk, MemoryBudget, TrainerConfig};
use counterpoint::trainer::Outcome;
use counterpoint::updater::accumulate;
use counterpoint::{
    Error, Event, Group, GroupFilter, ImagePositions, Learner, LogProbs, Objective, Parameters, Parts, Policy, Replay,
    Reward, Sampler, Segment, StopToken, SyncGrpoConfig, TaskSource, Trainer, Trajectory,
};

#[test]
fn the_traits_are_object_safe_and_a_trainer_moves_to_another_thread() {
    fn boxed<T: ?Sized>() -> usize {
        size_of::<Box<T>>()
    }
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    let traits = [
        boxed::<dyn Policy>(),
        boxed::<dyn Sampler>(),
        boxed::<dyn Reward>(),
        boxed::<dyn GroupFilter>(),
        boxed::<dyn Objective>(),
        boxed::<dyn TaskSource>(),
        boxed::<dyn Learner>(),
    ];
    assert_eq!(traits, [2 * size_of::<usize>(); 7]);
    send::<Trainer>();
    send::<Parts>();
    send::<Error>();
    sync::<Error>();
    sync::<StopToken>();
    let mut trainer = trainer(parts(), config(1));
    let outcome = std::thread::spawn(move || trainer.run(&StopToken::new())).join().unwrap().unwrap();
    assert_eq!(outcome, Outcome::Completed);
}

#[test]
fn training_raises_the_reward_of_both_halves() {
    for objective in [SyncGrpoConfig::default(), SyncGrpoConfig::grpo(), SyncGrpoConfig::dapo()] {
        let name = format!("{objective:?}");
        let mut trainer = trainer(
            changed(parts(), |p| p.objective = Box::new(objective.init().unwrap())),
            TrainerConfig { group_size: 8, ..config(60) },
        );
        let rewards: Vec<f64> = (0..60).map(|_| trainer.step().unwrap().metrics.get("reward").unwrap()).collect();
        let mean = |r: &[f64]| r.iter().sum::<f64>() / r.len() as f64;
        let (first, last) = (mean(&rewards[..10]), mean(&rewards[50..]));
        assert!(last > first + 0.3, "{first} to {last} with {name}");
    }
}

#[test]
fn events_come_in_the_order_of_the_loop() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = trainer(parts(), TrainerConfig { checkpoint_every: 2, tasks_per_step: 2, ..config(3) })
        .with_folder(folder.path());
    let log = listen(&mut trainer);
    trainer.run(&StopToken::new()).unwrap();
    let group = ["drafted 1 4/4", "group [0, 1, 2, 3] kept [0, 1, 2, 3]"];
    let step = |end: &[&'static str]| [&group[..], &group[..], end].concat();
    let expected = [step(&["step 0"]), step(&["step 1", "checkpoint 2"]), step(&["step 2", "checkpoint 3"])].concat();
    assert_eq!(*log.lock().unwrap(), expected);
}

#[test]
fn the_learning_rate_warms_up_and_follows_a_cosine() {
    // The cosine is that of the usual `get_cosine_schedule_with_warmup`: 0.5 (1 + cos(pi (i - w) / (N - w))). The warm-up
    // of that one begins at 0, so that its first step changes nothing; ours runs at (i + 1) / (w + 1) of the peak.
    for (steps, warmup) in [(12, 4), (5, 0), (3, 3)] {
        let mut trainer =
            trainer(parts(), TrainerConfig { learning_rate: 0.01, warmup_steps: warmup, ..config(steps) });
        for i in 0..steps {
            let rate = trainer.step().unwrap().metrics.get("lr").unwrap();
            let expected = if i < warmup {
                0.01 * (i + 1) as f64 / (warmup + 1) as f64
            } else {
                let done = (i - warmup) as f64 / (steps - warmup) as f64;
                0.01 * 0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            };
            assert!((rate - expected).abs() < 1e-15, "step {i} of {steps}: expected {expected}, got {rate}");
        }
    }
}

#[test]
fn chunked_gradients_are_those_of_the_whole_graph() {
    let mut trainer = trainer(parts(), config(1));
    let groups = Arc::new(Mutex::new(Vec::new()));
    let kept = groups.clone();
    trainer.on_event(move |event| {
        if let Event::Group { rollouts, .. } = event {
            kept.lock().unwrap().extend(rollouts.iter().map(|r| r.trajectory.clone()));
        }
    });
    trainer.step().unwrap();
    let trajectories = groups.lock().unwrap().clone();
    let advantages = vec![0.7, -0.4, -0.5, 0.2];

    // On the policy that sampled, D = 1 and KL = 0, so that the gradient is that of -1/G sum_i A_i sum_j a_j log p_ij.
    let mut whole = ToyPolicy::new(Faults::default());
    let mut loss: Option<Tensor<1>> = None;
    for (trajectory, advantage) in trajectories.iter().zip(&advantages) {
        for (segment, a) in [(0, 0.4), (1, 0.6)] {
            let of_step = |steps| Replay { trajectory, segment, steps };
            let all = trajectory.segments[segment].steps();
            let replays =
                if segment == 0 { vec![of_step(0..all)] } else { (0..all).map(|t| of_step(t..t + 1)).collect() };
            let log_probs = whole.log_probs(&replays, Parameters::Current).unwrap().log_probs;
            let term = log_probs.sum() * (-a * advantage / 4.0);
            loss = Some(loss.map_or(term.clone(), |l| l + term));
        }
    }
    whole.learner().accumulate(loss.unwrap()).unwrap();
    let expected = whole.gradients();
    let scale = expected.iter().fold(0.0_f64, |m, g| m.max(g.abs()));
    assert!(scale > 1e-3);

    let objective = SyncGrpoConfig { image_positions: ImagePositions::All, ..Default::default() }.init().unwrap();
    let group = Group::new(0, trajectories, advantages);
    for chunk in [1, 3, usize::MAX] {
        let mut policy = ToyPolicy::new(Faults::default());
        accumulate(&mut policy, &objective, std::slice::from_ref(&group), chunk, None).unwrap();
        for (got, expected) in policy.gradients().iter().zip(&expected) {
            assert!((got - expected).abs() <= 1e-5 * scale, "chunk {chunk}: expected {expected}, got {got}");
        }
    }
}

/// A policy of which every replay takes 2 MiB and every chunk 1 more; keeps the sizes of the chunks it scores.
struct Weighed {
    inner: ToyPolicy,
    sizes: Mutex<Vec<usize>>,
    device: Option<Device>,
}

impl Policy for Weighed {
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> counterpoint::Result<LogProbs> {
        if parameters == Parameters::Current {
            self.sizes.lock().unwrap().push(chunk.len());
        }
        self.inner.log_probs(chunk, parameters)
    }

    fn chunk_bytes(&self, chunk: &[Replay<'_>]) -> Option<u64> {
        Some((2 * chunk.len() as u64 + 1) << 20)
    }

    fn device(&self) -> Option<Device> {
        self.device.clone()
    }

    fn learner(&mut self) -> &mut dyn Learner {
        self.inner.learner()
    }
}

#[test]
fn a_chunk_takes_as_many_replays_as_its_memory_budget_allows() {
    let answer = |number| Trajectory::new(number, vec![Segment::text(vec![1], vec![2, 1], vec![-1.0; 2])]);
    let group = Group::new(0, (0..7).map(answer).collect(), vec![0.5; 7]);
    let objective = SyncGrpoConfig::default().init().unwrap();
    let chunk = |memory_mib| Chunk::Memory(MemoryBudget { memory_mib });
    // On the CPU, where chunks are computed side by side, each has an eighth.
    let cpu = || Some(Device::flex());
    for (device, memory_mib, expected) in [
        (None, 1, vec![1; 7]),
        (None, 6, vec![2, 2, 2, 1]),
        (None, 7, vec![3, 3, 1]),
        (None, u64::MAX, vec![7]),
        (cpu(), 48, vec![2, 2, 2, 1]),
        (cpu(), 7, vec![1; 7]),
    ] {
        let mut policy = Weighed { inner: ToyPolicy::new(Faults::default()), sizes: Mutex::default(), device };
        accumulate(&mut policy, &objective, std::slice::from_ref(&group), chunk(memory_mib), None).unwrap();
        assert_eq!(*policy.sizes.lock().unwrap(), expected, "{memory_mib} MiB");
    }
    let mut silent = ToyPolicy::new(Faults::default());
    let error = accumulate(&mut silent, &objective, &[group], chunk(7), None).unwrap_err().to_string();
    assert!(error.contains("trainer.chunk") && error.contains("number of sequences"), "{error}");
}

#[test]
fn a_run_does_not_depend_on_the_chunk_size_beyond_rounding() {
    let first =
        |chunk| trainer(parts(), TrainerConfig { chunk, ..config(1) }).step().unwrap().metrics.without_timings();
    let expected = first(Chunk::Sequences(1));
    for chunk in [Chunk::Sequences(3), Chunk::Sequences(1000)] {
        let metrics = first(chunk);
        for ((name, got), (_, expected)) in metrics.iter().zip(expected.iter()) {
            assert!(
                (got - expected).abs() <= 1e-5 * expected.abs().max(1e-3),
                "{name}: expected {expected}, got {got}"
            );
        }
        assert_eq!(metrics.get("reward"), expected.get("reward"));
    }
}
