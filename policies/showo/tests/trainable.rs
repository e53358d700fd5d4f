//! What is trained changes; nothing else does, is in checkpoints or has gradients.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;
use std::fs;

use common::{
    LearnerOf, accumulate, answer, assert_close, config, decoder, every_sort, fixture, floats, lora, policy, policy_of,
    step, tensors, torch, weights,
};
use counterpoint::burn::module::{Module, ModuleMapper, Param};
use counterpoint::burn::tensor::Tensor;
use counterpoint::{Error, ErrorKind, Key, Parameters, Policy, Replay, Stream, Streams};
use counterpoint_showo::{LoraConfig, ShowoPolicy, TARGETS, Trainable};

type Tensors = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

/// Names of the tensors that differ in any bit.
fn changed(before: &Tensors, after: &Tensors) -> Vec<String> {
    assert!(before.keys().eq(after.keys()));
    before.keys().filter(|name| before[*name] != after[*name]).cloned().collect()
}

#[test]
fn just_what_is_trained_has_gradients_and_changes_also_with_weight_decay() {
    let before = tensors(&fixture("showo_tiny/showo.safetensors"));
    for trainable in every_sort() {
        let mut policy = policy(&trainable);
        assert!(weights(&policy) == before);
        accumulate(&mut policy);
        let paths: Vec<String> =
            policy.learner_of().gradient_norms().unwrap().into_iter().map(|(path, _)| path).collect();
        policy.learner_of().apply(0.01, 1.0).unwrap();
        step(&mut policy);
        let after = weights(&policy);
        let outside = |name: &String| name.contains("embed_tokens") || name.contains("lm_head");
        let expected: Vec<String> = match &trainable {
            Trainable::All => before.keys().cloned().collect(),
            Trainable::Decoder => before.keys().filter(|name| !outside(name)).cloned().collect(),
            Trainable::ConceptTokens => before.keys().filter(|name| outside(name)).cloned().collect(),
            Trainable::Lora(lora) => {
                let target =
                    |name: &&String| lora.chosen(&TARGETS).iter().any(|t| name.ends_with(&format!("{t}.weight")));
                before.keys().filter(target).cloned().collect()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(changed(&before, &after), expected, "{trainable:?}");
        let factors = if matches!(trainable, Trainable::Lora(_)) { 2 } else { 1 };
        assert_eq!(paths.len(), factors * expected.len(), "{paths:?}");
        let ours = |path: &String| match &trainable {
            Trainable::ConceptTokens => path.starts_with("concept_tokens."),
            Trainable::Lora(_) => path.contains(".weight.lora."),
            _ => path.starts_with("showo."),
        };
        assert!(paths.iter().all(ours), "{paths:?}");
    }
}

#[test]
fn every_row_but_those_of_the_concept_tokens_stays_bit_for_bit() {
    let before = tensors(&fixture("showo_tiny/showo.safetensors"));
    let mut policy = policy(&Trainable::ConceptTokens);
    let reference = policy.merged();
    (0..3).for_each(|_| step(&mut policy));
    let after = weights(&policy);
    let (end, count) = (config().text_vocab_size, config().num_concept_tokens);
    for name in ["showo.model.embed_tokens.weight", "showo.lm_head.weight", "showo.lm_head.bias"] {
        let width = before[name].1.len() / config().vocab_size;
        let rows = before[name].1.chunks(width).zip(after[name].1.chunks(width));
        let moved: Vec<usize> = rows.enumerate().filter(|(_, (a, b))| a != b).map(|(id, _)| id).collect();
        assert_eq!(moved, (end - count..end).collect::<Vec<_>>(), "{name}");
    }
    // Beside the base and merged into it are the same model; the reference has not moved.
    let (beside, _) = common::cross_entropy(policy.decoder());
    let (merged, _) = common::cross_entropy(&policy.merged());
    assert_close("logits", &floats(beside.inner()), &floats(merged.clone()), 1e-5);
    let (first, _) = common::cross_entropy(&reference);
    assert!(floats(first) != floats(merged));
}

#[test]
fn gradients_of_the_concept_tokens_are_rows_of_the_full_ones_of_torch() {
    let (torch, mut policy) = (torch(), policy(&Trainable::ConceptTokens));
    let loss = accumulate(&mut policy);
    assert_close("loss", &[loss], &torch["concept.loss"].1, 1e-5);
    let [count, width] = torch["concept.embed_tokens"].0[..] else { panic!() };
    for name in ["embed_tokens", "head_weight", "head_bias"] {
        let gradient = policy.module_learner().gradient(&format!("concept_tokens.0.{name}")).unwrap();
        // Linear weights are transposed in PyTorch.
        let gradient = match name {
            "head_weight" => gradient.reshape([width, count]).transpose().reshape([-1]),
            _ => gradient,
        };
        assert_close(name, &floats(gradient), &torch[&format!("concept.{name}")].1, 1e-3);
    }
    assert_eq!(policy.learner_of().gradient_norms().unwrap().len(), 3);
}

#[test]
fn a_checkpoint_holds_what_is_trained_and_resumes_bit_for_bit() {
    let mut sizes = Vec::new();
    for trainable in every_sort() {
        let folder = tempfile::tempdir().unwrap();
        let mut uninterrupted = policy(&trainable);
        step(&mut uninterrupted);
        uninterrupted.learner_of().save(folder.path()).unwrap();
        let bytes: u64 = fs::read_dir(folder.path()).unwrap().map(|f| f.unwrap().metadata().unwrap().len()).sum();
        sizes.push(bytes);
        let mut resumed = policy(&trainable);
        resumed.learner_of().load(folder.path()).unwrap();
        assert!(weights(&resumed) == weights(&uninterrupted));
        let before = weights(&resumed);
        [&mut resumed, &mut uninterrupted].into_iter().for_each(step);
        assert!(weights(&resumed) == weights(&uninterrupted), "{trainable:?}");
        assert!(weights(&resumed) != before);
    }
    let [all, decoder, concept, lora] = sizes[..] else { panic!() };
    let model = fs::metadata(fixture("showo_tiny/showo.safetensors")).unwrap().len();
    assert!(all > 3 * model && decoder < all, "{sizes:?}: parameters and two moments");
    // 5 concept tokens: 645 numbers; adapters of rank 2: 5.4k of 123k numbers; each with two moments.
    assert!(concept < model / 10 && lora < model / 3, "{sizes:?} of {model}");
}

#[test]
fn a_checkpoint_of_another_kind_of_training_or_of_another_base_is_refused() {
    let refused = |written: &Trainable, read: &mut ShowoPolicy| -> Error {
        let folder = tempfile::tempdir().unwrap();
        let mut policy = policy(written);
        step(&mut policy);
        policy.learner_of().save(folder.path()).unwrap();
        let before = weights(read);
        let error = read.learner_of().load(folder.path()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Checkpoint);
        assert!(weights(read) == before, "nothing is half loaded");
        error
    };
    let sorts = every_sort();
    for (i, written) in sorts.iter().enumerate() {
        for (j, read) in sorts.iter().enumerate() {
            if i != j {
                let message = refused(written, &mut policy(read)).to_string();
                assert!(message.contains("expected a checkpoint of") && message.contains("got one"), "{message}");
            }
        }
    }
    let message = refused(&lora(2), &mut policy(&lora(4))).to_string();
    assert!(message.contains("LoRA of rank 4") && message.contains("LoRA of rank 2"), "{message}");
    for trainable in [Trainable::ConceptTokens, lora(2)] {
        let mut other = policy_of(decoder().map(&mut Nudge)).with_trainable(&trainable).unwrap();
        let message = refused(&trainable, &mut other).to_string();
        assert!(message.contains("base") && message.contains("model files"), "{message}");
    }
}

/// Another base: a little more of everything.
struct Nudge;

impl ModuleMapper for Nudge {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|values| values * 1.001)
    }
}

fn noise(update: u64) -> Stream {
    Streams::new(3).stream(Key::task(update, 0), "update.noise", 0)
}

#[test]
fn dropout_is_drawn_once_per_update_and_is_in_the_scores_of_updates_alone() {
    let with = |dropout| {
        let mut policy = policy(&Trainable::Lora(LoraConfig { rank: 4, dropout, ..LoraConfig::default() }));
        // The second factor begins at zero, where dropout cannot be seen.
        step(&mut policy);
        step(&mut policy);
        policy
    };
    let (mut dropping, mut plain) = (with(0.5), with(0.0));
    let trajectory = answer();
    let replay = Replay { trajectory: &trajectory, segment: 0, steps: 0..2 };
    let one = [replay.clone()];
    let scores = |policy: &ShowoPolicy, weights| floats(policy.log_probs(&one, weights).unwrap().log_probs.inner());
    let training = |policy: &ShowoPolicy, chunk: &[Replay<'_>], update| {
        floats(policy.training_log_probs(chunk, noise(update)).unwrap().log_probs.inner())
    };
    for weights in [Parameters::Current, Parameters::Detached, Parameters::Reference] {
        assert_eq!(scores(&dropping, weights), scores(&plain, weights), "no noise in {weights:?}");
    }
    assert_close("merged", &scores(&plain, Parameters::Detached), &scores(&plain, Parameters::Current), 1e-5);
    assert_eq!(training(&plain, &one, 0), scores(&plain, Parameters::Current));
    let first = training(&dropping, &one, 0);
    assert_eq!(first, training(&dropping, &one, 0));
    assert_ne!(first, training(&dropping, &one, 1));
    assert_ne!(first, scores(&dropping, Parameters::Current));
    let twice = training(&dropping, &[replay.clone(), replay.clone()], 0);
    for row in twice.chunks(2) {
        assert_close("the chunk does not matter", row, &first, 1e-5);
    }
    // The gradient of a dropped channel is zero, and the learner's own parameters are the leaves.
    let zeros = |policy: &mut ShowoPolicy| {
        let scores = policy.training_log_probs(&one, noise(0)).unwrap();
        policy.learner_of().accumulate(scores.log_probs.sum()).unwrap();
        let path = "showo.model.layers.0.mlp.fc1.weight.lora.a";
        let gradient = floats(policy.module_learner().gradient(path).unwrap());
        policy.learner_of().discard();
        gradient.chunks(4).filter(|row| row.iter().all(|g| *g == 0.0)).count()
    };
    let dropped = zeros(&mut dropping);
    assert!((16..=48).contains(&dropped), "about half of 64, got {dropped}");
    assert_eq!(zeros(&mut plain), 0);
}

#[test]
fn dropout_keeps_the_mean_of_what_an_adapter_adds() {
    // One update in many: to first order the mean score under dropout is the score without.
    let lora = LoraConfig { rank: 4, dropout: 0.3, targets: Some(vec!["fc2".to_owned()]), ..LoraConfig::default() };
    let mut policy = policy(&Trainable::Lora(lora));
    accumulate(&mut policy);
    policy.learner_of().apply(1e-3, 1.0).unwrap();
    let trajectory = answer();
    let chunk = [Replay { trajectory: &trajectory, segment: 0, steps: 0..2 }];
    let of = |scores: counterpoint::LogProbs| floats(scores.log_probs.inner())[0];
    let base = of(policy.log_probs(&chunk, Parameters::Reference).unwrap());
    let adapted = of(policy.log_probs(&chunk, Parameters::Current).unwrap()) - base;
    let draws: Vec<f32> = (0..200).map(|i| of(policy.training_log_probs(&chunk, noise(i)).unwrap()) - base).collect();
    let mean = draws.iter().sum::<f32>() / draws.len() as f32;
    let deviation = (draws.iter().map(|d| (d - mean).powi(2)).sum::<f32>() / draws.len() as f32).sqrt();
    let error = deviation / (draws.len() as f32).sqrt();
    assert!(deviation > 0.0 && (mean - adapted).abs() < 4.0 * error, "{mean} +- {error}, without dropout {adapted}");
    assert!(adapted.abs() > 8.0 * error, "{adapted} +- {error}: another scale would be seen");
}

#[test]
fn settings_are_read_and_wrong_ones_are_refused_by_key() {
    #[derive(Debug, serde::Deserialize)]
    struct Table {
        trainable: Trainable,
    }
    let read = |text: &str| toml::from_str::<Table>(&format!("trainable = {text}")).map(|table| table.trainable);
    assert_eq!(read("\"all\"").unwrap(), Trainable::All);
    assert_eq!(read("\"decoder\"").unwrap(), Trainable::Decoder);
    assert_eq!(read("\"concept_tokens\"").unwrap(), Trainable::ConceptTokens);
    assert_eq!(read("{ lora = {} }").unwrap(), Trainable::Lora(LoraConfig::default()));
    let full = "{ lora = { rank = 3, alpha = 6.0, dropout = 0.1, targets = [\"fc1\"] } }";
    let Trainable::Lora(lora) = read(full).unwrap() else { panic!() };
    assert_eq!((lora.rank, lora.alpha, lora.dropout, lora.chosen(&TARGETS)), (3, 6.0, 0.1, vec!["fc1"]));
    assert!(read("\"decodr\"").unwrap_err().to_string().contains("concept_tokens"));
    assert!(read("{ lora = { ranks = 3 } }").unwrap_err().to_string().contains("ranks"));

    let refused = |text: &str| {
        let error = policy_of(decoder()).with_trainable(&read(text).unwrap()).err().expect(text);
        assert_eq!(error.kind(), ErrorKind::Config);
        error.to_string()
    };
    for (lora, parts) in [
        ("rank = 0", ["lora: rank", "got 0"]),
        ("alpha = -1.0", ["lora: alpha", "got -1"]),
        ("dropout = 1.0", ["lora: dropout", "got 1"]),
        ("targets = []", ["lora: targets", "got none"]),
        ("targets = [\"fc1\", \"fc1\"]", ["lora: targets", "twice"]),
        ("targets = [\"fc3\"]", ["did you mean `fc", "known: q_proj, k_proj, v_proj, dense, fc1, fc2"]),
    ] {
        let message = refused(&format!("{{ lora = {{ {lora} }} }}"));
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    let mut none = config();
    none.llm_vocab_size += none.num_concept_tokens;
    none.num_concept_tokens = 0;
    let image = none.magvitv2.init(decoder().devices().first().unwrap());
    let plain = ShowoPolicy::new(none, decoder(), None, image, &decoder().devices()[0]).unwrap();
    let message = plain.with_trainable(&Trainable::ConceptTokens).err().unwrap().to_string();
    assert!(message.contains("num_concept_tokens is 0"), "{message}");
}

#[test]
fn training_can_change_its_kind_on_the_way() {
    let mut policy = policy(&lora(2));
    step(&mut policy);
    let merged = weights(&policy);
    let mut policy = policy.with_trainable(&Trainable::All).unwrap();
    assert!(weights(&policy) == merged, "adapters are merged, not lost");
    step(&mut policy);
    assert_eq!(changed(&merged, &weights(&policy)).len(), merged.len());
}

#[test]
fn what_samples_is_what_is_trained_after_every_change_of_parameters() {
    let trajectory = answer();
    let chunk = [Replay { trajectory: &trajectory, segment: 0, steps: 0..2 }];
    for trainable in every_sort() {
        let folder = tempfile::tempdir().unwrap();
        let mut policy = policy(&trainable);
        let scores =
            |policy: &ShowoPolicy, weights| floats(policy.log_probs(&chunk, weights).unwrap().log_probs.inner());
        let mut seen = vec![scores(&policy, Parameters::Detached)];
        policy.learner_of().save(folder.path()).unwrap();
        for _ in 0..2 {
            step(&mut policy);
            let detached = scores(&policy, Parameters::Detached);
            assert_close("detached", &detached, &scores(&policy, Parameters::Current), 1e-5);
            assert!(!seen.contains(&detached), "{trainable:?}");
            seen.push(detached);
        }
        policy.learner_of().load(folder.path()).unwrap();
        assert_eq!(scores(&policy, Parameters::Detached), seen[0], "{trainable:?}");
        assert_eq!(scores(&policy, Parameters::Reference), seen[0]);
    }
}
