//! Any valid config, written and read again, is the same config.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/properties.rs"]
mod properties;

use std::collections::BTreeMap;

use counterpoint::DecayScope;
use counterpoint::config::{
    Chunk, Component, FilterSection, GenerationRate, ImportanceCap, MemoryBudget, Overlap, Placement, RunConfig,
    RunSection, TrainerConfig,
};
use counterpoint::trainer::Sign;
use properties::cases;
use proptest::collection::{btree_map, vec};
use proptest::num::f64;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use toml::{Table, Value};

/// Names and keys, from plain ones to any text at all.
fn word() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z_]{1,8}", 1 => "[ -~]{0,12}", 1 => any::<String>()]
}

/// Finite numbers of every size, infinities and both zeros.
fn number() -> impl Strategy<Value = f64> {
    prop_oneof![4 => -10.0..10.0_f64, 2 => f64::NORMAL | f64::SUBNORMAL | f64::ZERO, 1 => f64::INFINITE]
}

/// Values of settings. Dates are left out: no setting is one, and `toml` reads them into a table as strings.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        word().prop_map(Value::String),
        any::<i64>().prop_map(Value::Integer),
        number().prop_map(Value::Float),
        any::<bool>().prop_map(Value::Boolean),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::Array),
            btree_map(word(), inner, 0..5).prop_map(|table| Value::Table(table.into_iter().collect())),
        ]
    })
}

/// Settings of a component, without the keys that the section itself takes.
fn settings() -> impl Strategy<Value = Table> {
    let own = |key: &String| key != "kind" && key != "surrogate";
    btree_map(word().prop_filter("the section's own", own), value(), 0..5).prop_map(|t| t.into_iter().collect())
}

fn component() -> impl Strategy<Value = Component> {
    (word(), settings()).prop_map(|(kind, settings)| Component { kind, settings })
}

fn run() -> impl Strategy<Value = RunSection> {
    let name =
        word().prop_filter("no folder name", |n| !(n.is_empty() || n.starts_with('.') || n.contains(['/', '\\'])));
    (name, 0..=i64::MAX as u64, word()).prop_map(|(name, seed, output)| RunSection {
        name,
        seed,
        output: output.into(),
    })
}

fn chunk() -> impl Strategy<Value = Chunk> {
    let memory = (1..=i64::MAX as u64).prop_map(|memory_mib| Chunk::Memory(MemoryBudget { memory_mib }));
    prop_oneof![(1..999_usize).prop_map(Chunk::Sequences), memory]
}

fn trainer() -> impl Strategy<Value = TrainerConfig> {
    let counts = (1..=i64::MAX as u64, 2..1000_usize, 1..99_usize, 1..99_usize, 1..9_usize, chunk(), 1..9_usize);
    let positive = || prop_oneof![1e-12..10.0_f64, f64::POSITIVE | f64::NORMAL];
    let fraction = || 0.0..1.0_f64;
    let numbers = (positive(), positive(), positive(), fraction(), fraction(), fraction());
    let overlap = prop_oneof![Just(Overlap::Auto), Just(Overlap::Always), Just(Overlap::Never)];
    let cap = prop_oneof![Just(ImportanceCap::None), (1e-3..1e3_f64).prop_map(ImportanceCap::At)];
    (counts, numbers, fraction(), 0..100_u64, 1..10_usize, any::<bool>(), overlap, cap).prop_map(
        |(counts, numbers, warmup, checkpoint_every, keep_last, keep_best, overlap_rewards, importance_cap)| {
            let (steps, group_size, tasks_per_step, max_attempts, updates_per_batch, chunk, max_non_finite) = counts;
            let (learning_rate, max_grad_norm, gate_tolerance, weight_decay, first, second) = numbers;
            TrainerConfig {
                steps,
                group_size,
                images_per_answer: if keep_best { group_size } else { 1 },
                tasks_per_step,
                max_attempts,
                updates_per_batch,
                chunk,
                overlap_rewards,
                learning_rate,
                generation_learning_rate: if keep_best {
                    GenerationRate::Own(max_grad_norm)
                } else {
                    GenerationRate::Shared
                },
                warmup_steps: ((steps as f64 * warmup) as u64).min(steps),
                weight_decay,
                decay_scope: if keep_best { DecayScope::Matrices } else { DecayScope::All },
                betas: [first, second],
                max_grad_norm,
                gate_tolerance,
                importance_cap,
                staleness: u64::from(keep_best && importance_cap.limit().is_some()),
                signal_every: checkpoint_every / 2,
                max_non_finite,
                max_idle: 2 * max_non_finite,
                checkpoint_every,
                stop_when: if keep_best { vec![Sign::Flat, Sign::Outwitted] } else { Vec::new() },
                keep_last,
                keep_best,
            }
        },
    )
}

/// Rewards by name, and weights of which each class has at least one above 0.
type Rewards = (BTreeMap<String, Table>, BTreeMap<String, BTreeMap<String, f64>>);

fn rewards() -> impl Strategy<Value = Rewards> {
    btree_map(word(), settings(), 1..4).prop_flat_map(|rewards| {
        let names: Vec<String> = rewards.keys().cloned().collect();
        let weights = vec(prop_oneof![3 => 0.001..5.0_f64, 1 => Just(0.0)], names.len())
            .prop_filter("all 0", |weights| weights.iter().any(|w| *w > 0.0));
        let table = weights.prop_map(move |w| names.iter().cloned().zip(w).collect::<BTreeMap<_, _>>());
        let classes = (table.clone(), btree_map(word(), table, 0..3)).prop_map(|(default, mut classes)| {
            classes.insert("default".into(), default);
            classes
        });
        (Just(rewards), classes)
    })
}

fn placement() -> impl Strategy<Value = Placement> {
    let devices = || vec(word(), 0..3);
    (option::of(word()), devices(), devices(), option::of(word()))
        .prop_map(|(learner, rollouts, updates, rewards)| Placement { learner, rollouts, updates, rewards })
}

fn configs() -> impl Strategy<Value = RunConfig> {
    let components = (component(), component(), component(), component(), component());
    (run(), components, rewards(), option::of(any::<u64>()), trainer(), placement()).prop_map(
        |(
            run,
            (policy, sampler, filter, objective, data),
            (rewards, reward_weights),
            surrogate,
            trainer,
            placement,
        )| {
            let names: Vec<&String> = rewards.keys().collect();
            let surrogate = surrogate.map(|pick| names[pick as usize % names.len()].clone());
            let filter = FilterSection { kind: filter.kind, surrogate, settings: filter.settings };
            RunConfig {
                run,
                policy,
                sampler,
                filter,
                objective,
                rewards,
                reward_weights,
                data,
                evaluation: Default::default(),
                trainer,
                placement,
            }
        },
    )
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn a_config_that_is_written_loads_to_an_equal_one(config in configs()) {
        config.validate().unwrap();
        let text = config.to_toml().unwrap();
        let again = RunConfig::from_toml(&text, &[]).unwrap_or_else(|e| panic!("{e}\n{text}"));
        prop_assert_eq!(&again, &config);
        prop_assert_eq!(again.to_toml().unwrap(), text.clone());

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        std::fs::write(&path, &text).unwrap();
        prop_assert_eq!(RunConfig::load(&path, &[]).unwrap(), config);
    }

    #[test]
    fn an_override_sets_its_key_and_no_other(config in configs(), key in "[a-z]{1,6}", value in value(), steps in 1..99_u64) {
        let text = config.to_toml().unwrap();
        let overrides =
            [format!("policy.{key}_={value}"), format!("trainer.steps={steps}"), "trainer.warmup_steps=0".into()];
        let mut expected = config;
        expected.policy.settings.insert(format!("{key}_"), value);
        (expected.trainer.steps, expected.trainer.warmup_steps) = (steps, 0);
        let got = RunConfig::from_toml(&text, &overrides).unwrap_or_else(|e| panic!("{e}"));
        prop_assert_eq!(got, expected);
    }
}
