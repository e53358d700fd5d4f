//! What of the model is trained, in which precision, and with how much memory.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Device, Tensor};
use common::{config, plain_policy as policy};
use counterpoint::{
    Learner, OptimizerConfig, Parameters, Policy, Replay, Segment, SegmentKind, SyncGrpoConfig, Trajectory, gradients,
    updater,
};
use counterpoint_janus::{Janus, JanusPolicy, LoraConfig, TARGETS, Trainable};
use counterpoint_weights::Precision;

/// Every parameter's numbers by path.
fn numbers(model: &Janus) -> BTreeMap<String, Vec<f32>> {
    #[derive(Default)]
    struct Collect {
        path: Vec<String>,
        found: BTreeMap<String, Vec<f32>>,
    }
    impl ModuleVisitor for Collect {
        fn enter_module(&mut self, name: &str, _container: &str) {
            self.path.push(name.to_owned());
        }

        fn exit_module(&mut self, _name: &str, _container: &str) {
            self.path.pop();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.found.insert(self.path.join("."), param.val().into_data().iter::<f32>().collect());
        }
    }
    let mut collect = Collect::default();
    model.visit(&mut collect);
    collect.found
}

/// Three candidates, each with an answer about an image and an image of its own.
fn trajectories(policy: &JanusPolicy) -> Vec<Trajectory> {
    let shown = policy.show(Tensor::ones([1, 3, 32, 32], &Device::flex()) * 0.25);
    let question = [vec![shown, 1, 20, 6], vec![5; 16], vec![7, 30, 31]].concat();
    let candidate = |n: u32| {
        let answer =
            Segment::text(question.clone(), (0..4 + n).map(|i| 20 + i + n).collect(), vec![-3.0; 4 + n as usize]);
        let codes = (0..16).map(|i| (i * 3 + n) % 64).collect();
        let image = Segment::text(vec![1, 12, 13, 6], codes, vec![-3.0; 16]);
        Trajectory::new(u64::from(n), vec![answer, image.with_kind(SegmentKind::Generation).with_guidance(1.0)])
    };
    (0..3).map(candidate).collect()
}

fn group(policy: &JanusPolicy) -> counterpoint::Group {
    counterpoint::Group::new(0, trajectories(policy), vec![1.0, -0.5, -0.5])
}

fn step(policy: &mut JanusPolicy) {
    let objective = SyncGrpoConfig { a_gen: 1.0, ..SyncGrpoConfig::default() }.init().unwrap();
    let group = group(policy);
    policy.learner().configure(&OptimizerConfig::default());
    updater::accumulate(policy, &objective, std::slice::from_ref(&group), 2, None).unwrap();
    policy.learner().apply(1e-2, 1.0).unwrap();
}

fn lora() -> Trainable {
    Trainable::Lora(LoraConfig { rank: 2, alpha: 4.0, ..LoraConfig::default() })
}

#[test]
fn only_what_is_trained_moves() {
    let decodes = |name: &str| name.starts_with("language_model.") || name.starts_with("lm_head.");
    let projection = |name: &str| {
        name.starts_with("language_model.layers.")
            && TARGETS.names.iter().any(|target| name.contains(&format!(".{target}.")))
    };
    for (trainable, may_move) in [
        (Trainable::All, (&|_: &str| true) as &dyn Fn(&str) -> bool),
        (Trainable::Decoder, &decodes),
        (lora(), &projection),
    ] {
        let mut policy = self::policy().with_trainable(&trainable).unwrap();
        let before = numbers(&policy.merged());
        step(&mut policy);
        let after = numbers(&policy.merged());
        assert_eq!(before.len(), after.len());
        let moved: Vec<&String> = before.keys().filter(|name| before[*name] != after[*name]).collect();
        let wrong: Vec<&&String> = moved.iter().filter(|name| !may_move(name)).collect();
        assert!(wrong.is_empty(), "{trainable:?}: {wrong:?}");
        // Nearly all of it does: not what no decision depends on, such as padding, and of adapters' factors not the first one.
        let allowed = before.keys().filter(|name| may_move(name)).count();
        assert!(moved.len() * 10 >= allowed * 9, "{trainable:?}: {} of {allowed} moved", moved.len());
    }
}

#[test]
fn adapters_begin_at_the_base_share_it_and_come_back_from_files() {
    let mut policy = self::policy().with_trainable(&lora()).unwrap();
    let base = numbers(&self::policy().merged());
    assert_eq!(base, numbers(&policy.merged()), "fresh adapters change nothing");
    step(&mut policy);
    let dir = tempfile::tempdir().unwrap();
    policy.save_adapter(dir.path()).unwrap();
    let again = self::policy().with_adapter(dir.path()).unwrap();
    let Trainable::Lora(read) = again.trainable() else { panic!("expected LoRA, got {:?}", again.trainable()) };
    assert_eq!((read.rank, read.alpha, read.chosen(&TARGETS)), (2, 4.0, TARGETS.names.to_vec()));
    assert_eq!(numbers(&policy.merged()), numbers(&again.merged()));
    let names: Vec<String> = {
        let bytes = std::fs::read(dir.path().join("adapter_model.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        file.names().into_iter().map(str::to_owned).collect()
    };
    let expected = "base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight";
    assert!(names.iter().any(|name| name == expected), "{names:?}");
    // Samplers see the adapters as well.
    let scores = |policy: &JanusPolicy, parameters| -> Vec<f32> {
        let trajectories = trajectories(policy);
        let replays: Vec<Replay<'_>> =
            trajectories.iter().map(|t| Replay { trajectory: t, segment: 1, steps: 0..16 }).collect();
        policy.log_probs(&replays, parameters).unwrap().log_probs.into_data().iter::<f32>().collect()
    };
    let [current, detached, reference] =
        [Parameters::Current, Parameters::Detached, Parameters::Reference].map(|p| scores(&policy, p));
    let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(apart(&current, &detached) < 1e-4, "{}", apart(&current, &detached));
    assert!(apart(&current, &reference) > 1e-3);
    assert_eq!(reference, scores(&self::policy(), Parameters::Reference));
}

#[test]
fn unknown_targets_and_other_models_adapters_are_refused() {
    let unknown = Trainable::Lora(LoraConfig { targets: Some(vec!["dense".to_owned()]), ..LoraConfig::default() });
    let error = policy().with_trainable(&unknown).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("lora: targets: unknown target `dense`") && error.contains("gate_proj"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let error = policy().save_adapter(dir.path()).unwrap_err().to_string();
    assert!(error.contains("expected a policy that trains LoRA adapters"), "{error}");
    let mut small = policy().with_trainable(&lora()).unwrap();
    small.module_learner();
    small.save_adapter(dir.path()).unwrap();
    let text = std::fs::read_to_string(dir.path().join("adapter_config.json")).unwrap();
    std::fs::write(dir.path().join("adapter_config.json"), text.replace("\"r\": 2", "\"r\": 3")).unwrap();
    let error = policy().with_adapter(dir.path()).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("lora_A.weight: expected shape [3, "), "{error}");
}

#[test]
fn replicas_give_the_gradients_of_the_policy() {
    for trainable in [Trainable::All, lora()] {
        let mut policy = self::policy().with_trainable(&trainable).unwrap();
        step(&mut policy);
        let trajectories = trajectories(&policy);
        let chunk: Vec<Replay<'_>> =
            trajectories.iter().map(|t| Replay { trajectory: t, segment: 1, steps: 0..16 }).collect();
        let replicas = policy.replicas();
        assert!(replicas.len() > 1 || rayon::current_num_threads() == 1);
        let own = policy.log_probs(&chunk, Parameters::Current).unwrap().log_probs;
        let own = gradients(own.sum(), policy.module_learner().module()).unwrap();
        for replica in &replicas {
            let theirs = replica.log_probs(&chunk, Parameters::Current).unwrap().log_probs;
            let theirs = replica.gradients(theirs.sum()).unwrap();
            let learner = policy.module_learner();
            let squared = |a, b| learner.dot(a, b).unwrap();
            let (a, b, both) = (squared(&own, &own), squared(&theirs, &theirs), squared(&own, &theirs));
            assert!(a > 0.0 && (a + b - 2.0 * both).abs() < 1e-6 * a, "{trainable:?}: {a} {b} {both}");
        }
    }
}

/// The gradients of `group`'s update by name, in chunks of `size`.
fn update(policy: &mut JanusPolicy, group: &counterpoint::Group, size: usize) -> BTreeMap<String, Vec<f32>> {
    let objective = SyncGrpoConfig { a_gen: 1.0, ..SyncGrpoConfig::default() }.init().unwrap();
    updater::accumulate(policy, &objective, std::slice::from_ref(group), size, None).unwrap();
    let names: Vec<String> = policy.learner().gradient_norms().unwrap().into_iter().map(|(name, _)| name).collect();
    let learner = policy.module_learner();
    let mut values = |name: String| {
        let values = learner.gradient(&name).unwrap().into_data().iter::<f32>().collect();
        (name, values)
    };
    names.into_iter().map(&mut values).collect()
}

#[test]
fn gradient_checkpointing_changes_no_gradient_in_any_update() {
    let noisy = Trainable::Lora(LoraConfig { rank: 2, dropout: 0.5, ..LoraConfig::default() });
    for trainable in [Trainable::All, Trainable::Decoder, lora(), noisy] {
        let mut plain = policy().with_trainable(&trainable).unwrap();
        let mut saving = policy().with_gradient_checkpointing(true).unwrap().with_trainable(&trainable).unwrap();
        let group = group(&plain);
        self::group(&saving);
        for (size, step) in [(1, "first"), (3, "second")] {
            let (expected, got) = (update(&mut plain, &group, size), update(&mut saving, &group, size));
            assert!(expected.len() > 1 && expected.keys().eq(got.keys()), "{trainable:?}");
            for (name, expected) in &expected {
                let scale = expected.iter().map(|x| x.abs()).fold(1e-6, f32::max);
                let apart = expected.iter().zip(&got[name]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(apart < 1e-4 * scale, "{trainable:?}, {step}: {name}: {apart} of {scale}");
            }
            for policy in [&mut plain, &mut saving] {
                policy.learner().apply(1e-2, 1.0).unwrap();
            }
        }
    }
}

#[test]
fn half_precision_is_near_and_its_reference_goes_the_same_way() {
    let single = policy();
    let trajectories = trajectories(&single);
    let scores = |policy: &JanusPolicy, segment: usize, parameters| -> Vec<f32> {
        let replays: Vec<Replay<'_>> =
            trajectories.iter().map(|t| Replay { trajectory: t, segment, steps: 0..4 }).collect();
        policy.log_probs(&replays, parameters).unwrap().log_probs.into_data().iter::<f32>().collect()
    };
    for (precision, trainable) in
        [(Precision::Bf16, Trainable::All), (Precision::Bf16, lora()), (Precision::F16, Trainable::Decoder)]
    {
        let half = policy().with_precision(precision).unwrap().with_trainable(&trainable).unwrap();
        half.show(Tensor::ones([1, 3, 32, 32], &Device::flex()) * 0.25);
        assert!(half.half_precision());
        for segment in [0, 1] {
            let expected = scores(&single, segment, Parameters::Detached);
            let [current, detached, reference] = [Parameters::Current, Parameters::Detached, Parameters::Reference]
                .map(|parameters| scores(&half, segment, parameters));
            assert_eq!(current, reference, "{precision}, {trainable:?}: equal parameters, equal scores");
            for (got, expected) in current.iter().chain(&detached).zip(expected.iter().chain(&expected)) {
                assert!((got - expected).abs() < 0.1, "{precision}, {trainable:?}: {got} {expected}");
            }
        }
    }
}

#[test]
fn memory_grows_with_rows_and_tokens_alone() {
    let policy = self::policy();
    let trajectories = trajectories(&policy);
    let bytes = |count: usize, segment, end| {
        let replays: Vec<Replay<'_>> =
            trajectories[..count].iter().map(|t| Replay { trajectory: t, segment, steps: 0..end }).collect();
        policy.chunk_bytes(&replays).unwrap()
    };
    // The prompt is read once for all of them.
    assert_eq!(bytes(3, 1, 16) - bytes(2, 1, 16), bytes(2, 1, 16) - bytes(1, 1, 16));
    assert!(bytes(2, 1, 16) < 2 * bytes(1, 1, 16));
    assert!(bytes(1, 1, 8) < bytes(1, 1, 16) && bytes(1, 0, 4) > 0);
    assert_eq!(config().image_tokens(), 16);
}
