//! Adapters against the `peft` package: gradients, merging, files.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;

use common::{
    LearnerOf, accumulate, assert_close, config, cross_entropy, decoder, fixture, floats, lora, policy, policy_of,
    tensors, torch, weights,
};
use counterpoint::ErrorKind;
use counterpoint_showo::{LoraConfig, Showo, ShowoPolicy, TARGETS, Trainable};

fn adapted() -> ShowoPolicy {
    policy_of(decoder()).with_adapter(&fixture("lora_tiny")).unwrap()
}

#[test]
fn loss_and_the_gradient_of_every_factor_are_those_of_peft() {
    let (torch, mut policy) = (torch(), adapted());
    let loss = accumulate(&mut policy);
    assert_close("loss", &[loss], &torch["lora.loss"].1, 1e-5);
    let norms = policy.learner_of().gradient_norms().unwrap();
    assert_eq!(norms.len(), 2 * 6 * 3, "the adapters' factors and nothing else: {norms:?}");
    for (path, norm) in norms {
        let name = path.replace(".weight.lora.a", ".lora_A.weight").replace(".weight.lora.b", ".lora_B.weight");
        let name = name.replace("showo.", "lora.grad_norm.base_model.model.");
        assert_close(&name, &[norm as f32], &torch[&name].1, 1e-3);
    }
}

#[test]
fn merging_gives_the_weights_and_logits_of_peft() {
    let (torch, policy) = (torch(), adapted());
    let (beside, _) = cross_entropy(policy.decoder());
    let (merged, _) = cross_entropy(&policy.merged());
    let (base, _) = cross_entropy(&decoder());
    assert_close("logits beside", &floats(beside.inner()), &torch["lora.logits"].1, 1e-4);
    assert_close("logits merged", &floats(merged), &torch["lora.logits"].1, 1e-4);
    let apart: Vec<f32> = floats(base).iter().zip(&torch["lora.logits"].1).map(|(a, b)| (a - b).abs()).collect();
    assert!(apart.iter().any(|apart| *apart > 0.1), "these adapters matter");
    let saved = weights(&policy);
    for module in ["self_attn.q_proj", "mlp.fc1", "mlp.fc2"] {
        let got = &saved[&format!("showo.model.layers.1.{module}.weight")];
        let expected = &torch[&format!("merged.{module}")];
        assert_eq!(got.0, expected.0);
        assert_close(module, &got.1, &expected.1, 1e-6);
    }
}

#[test]
fn what_is_saved_has_the_official_names_and_loads_as_a_plain_model() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("merged.safetensors");
    let policy = adapted();
    policy.decoder().save(&path).unwrap();
    let names = |path| tensors(path).into_iter().map(|(name, (shape, _))| (name, shape)).collect::<Vec<_>>();
    assert_eq!(names(&path), names(&fixture("showo_tiny/showo.safetensors")));
    let plain = Showo::load(&config(), &path, policy.device()).unwrap();
    let (logits, _) = cross_entropy(&plain);
    assert_close("logits", &floats(logits), &torch()["lora.logits"].1, 1e-4);
}

#[test]
fn adapters_survive_in_the_layout_of_peft() {
    let folder = tempfile::tempdir().unwrap();
    adapted().save_adapter(folder.path()).unwrap();
    let file = "adapter_model.safetensors";
    assert!(tensors(&folder.path().join(file)) == tensors(&fixture("lora_tiny").join(file)), "bit for bit");
    let again = LoraConfig::load_peft(folder.path(), &TARGETS).unwrap();
    assert_eq!(again, LoraConfig::load_peft(&fixture("lora_tiny"), &TARGETS).unwrap());
    assert_eq!((again.rank, again.alpha, again.chosen(&TARGETS).len()), (4, 12.0, 6));
    let error = policy(&Trainable::All).save_adapter(folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Contract);
}

#[test]
fn a_fresh_adapter_changes_nothing_and_depends_on_its_seed_alone() {
    let fresh = |seed| {
        let folder = tempfile::tempdir().unwrap();
        let lora = Trainable::Lora(LoraConfig { rank: 2, seed, ..LoraConfig::default() });
        let policy = policy(&lora);
        assert!(weights(&policy) == tensors(&fixture("showo_tiny/showo.safetensors")));
        policy.save_adapter(folder.path()).unwrap();
        tensors(&folder.path().join("adapter_model.safetensors"))
    };
    let (a, b, c) = (fresh(0), fresh(0), fresh(1));
    assert!(a == b && a != c);
    let of = |layer: usize| &a[&format!("base_model.model.model.layers.{layer}.mlp.fc1.lora_A.weight")].1;
    assert_ne!(of(0), of(1), "every adapter has values of its own");
    assert!(of(0).iter().all(|v| v.abs() <= 0.125), "within +-1 / sqrt(64)");
}

#[test]
fn adapters_that_do_not_fit_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let config = fs::read_to_string(fixture("lora_tiny/adapter_config.json")).unwrap();
    fs::copy(fixture("lora_tiny/adapter_model.safetensors"), folder.path().join("adapter_model.safetensors")).unwrap();
    let refused = |from: &str, to: &str| {
        assert!(config.contains(from), "{from}");
        fs::write(folder.path().join("adapter_config.json"), config.replace(from, to)).unwrap();
        let error = policy_of(decoder()).with_adapter(folder.path()).err().expect(to);
        assert_eq!(error.kind(), ErrorKind::Weights);
        error.to_string()
    };
    for (from, to, parts) in [
        ("\"r\": 4", "\"r\": 8", ["lora_A", "[8, 64], got [4, 64]"]),
        ("\"use_dora\": false", "\"use_dora\": true", ["use_dora", "true"]),
        ("\"rank_pattern\": {}", "\"rank_pattern\": {\"fc1\": 2}", ["rank_pattern", "fc1"]),
        ("\"init_lora_weights\": false", "\"init_lora_weights\": \"pissa\"", ["init_lora_weights", "pissa"]),
        ("\"fc1\",", "\"fc3\",", ["unknown target `fc3`", "fc1"]),
        ("\"fc1\",", "", ["expected 30 tensors", "got 36"]),
        ("\"LORA\"", "\"IA3\"", ["peft_type", "IA3"]),
    ] {
        let message = refused(from, to);
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    let error = policy(&lora(2)).with_adapter(&fixture("showo_tiny")).err().unwrap();
    assert!(error.kind() == ErrorKind::Io && error.to_string().contains("adapter_config.json"), "{error}");
}
