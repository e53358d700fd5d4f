//! CoRL's recipe, shortened, on a tiny Janus and on the tiny Show-o; and Sync-R1's on the tiny Janus: recipes know no policy.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use counterpoint::config::RunConfig;
use counterpoint::evaluation::evaluate;
use counterpoint::metrics::Metrics;
use counterpoint::registry::{BuildContext, settings};
use counterpoint::{Key, Policy as _, Segment, StopToken, Streams, Trainer};
use counterpoint_corl::CorlConfig;
use counterpoint_examples::{evaluator, learn, parts, references};
use counterpoint_janus::JanusPolicy;
use serde_json::{Value, json};

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn fixtures() -> PathBuf {
    package().join("../policies/janus/tests/fixtures/janus_tiny")
}

/// The fixture's model with a tokenizer of words.
fn janus() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in ["config.json", "model.safetensors"] {
        std::fs::copy(fixtures().join(file), folder.path().join(file)).unwrap();
    }
    let special = [
        (0, "<\u{ff5c}\u{2581}pad\u{2581}\u{ff5c}>"),
        (1, "<\u{ff5c}begin\u{2581}of\u{2581}sentence\u{ff5c}>"),
        (2, "<\u{ff5c}end\u{2581}of\u{2581}sentence\u{ff5c}>"),
        (3, "<unk>"),
        (5, "<image_placeholder>"),
        (6, "<begin_of_image>"),
        (7, "<end_of_image>"),
    ];
    let words = (10..150).map(|id| (format!("w{id}"), json!(id)));
    let vocabulary: serde_json::Map<String, Value> =
        special.iter().map(|(id, name)| ((*name).to_owned(), json!(id))).chain(words).collect();
    let added: Vec<Value> = special
        .iter()
        .map(|(id, name)| {
            json!({"id": id, "content": name, "special": true, "single_word": false, "lstrip": false, "rstrip": false,
                   "normalized": false})
        })
        .collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    });
    std::fs::write(folder.path().join("tokenizer.json"), tokenizer.to_string()).unwrap();
    folder
}

fn run(recipe: &str, changes: &[String]) -> Vec<Metrics> {
    let short = ["trainer.steps=2", "trainer.tasks_per_step=2", "trainer.warmup_steps=1", "trainer.chunk=3"];
    let changes: Vec<String> = short.iter().map(|s| (*s).to_owned()).chain(changes.iter().cloned()).collect();
    let config = RunConfig::load(&package().join(recipe), &changes).unwrap();
    let parts = parts(&config, package(), &Device::flex()).unwrap();
    let mut trainer = Trainer::new(parts, config.trainer.clone(), config.run.seed).unwrap();
    let metrics = (0..2).map(|_| trainer.step().unwrap().metrics).collect();
    trainer.run(&StopToken::new()).unwrap();
    metrics
}

fn to(changes: &[&str]) -> Vec<String> {
    changes.iter().map(|change| (*change).to_owned()).collect()
}

fn tiny_janus(folder: &Path) -> Vec<String> {
    let chat = "policy.chat={ about_image = '{image} {question}', question = '{question}', prompt = '{prompt}' }";
    [to(&["policy.kind=janus", chat]), vec![format!("policy.weights={}", folder.display())]].concat()
}

fn rows() -> Vec<String> {
    vec![format!("data.path={}", package().join("../benches/corl/tests/fixtures/rows.jsonl").display())]
}

#[test]
fn rollouts_and_updates_on_two_devices_give_the_same_run() {
    let folder = janus();
    let run = |placed: &[&str]| {
        let changes = [tiny_janus(folder.path()), rows(), to(placed)].concat();
        run("corl_full.toml", &changes).into_iter().map(Metrics::without_timings).collect::<Vec<_>>()
    };
    let two = ["placement.rollouts=['flex', 'flex']", "placement.updates=['flex', 'flex']"];
    assert_eq!(run(&two), run(&[]));
}

#[test]
fn corl_trains_both_halves_of_a_janus_with_one_advantage() {
    let folder = janus();
    let short = ["trainer.group_size=4", "sampler.text.max_new_tokens=4"];
    let half = run("corl_full.toml", &[tiny_janus(folder.path()), rows(), to(&short)].concat());
    assert!(half.iter().all(|step| step.get("reward").is_some()), "in half precision, as at full size");
    let single = to(&["policy.dtype=f32", "trainer.gate_tolerance=0.002"]);
    for step in run("corl_full.toml", &[tiny_janus(folder.path()), rows(), to(&short), single].concat()) {
        let get = |name: &str| step.get(name).unwrap_or_else(|| panic!("{name} is not in {step:?}"));
        for reward in ["tim", "accuracy", "format"] {
            assert_eq!(get(&format!("rewards/{reward}/failed")), 0.0);
            assert_eq!(get(&format!("rewards/{reward}/abstained")), 0.0, "{reward}");
        }
        assert!((-1.0..=1.0).contains(&get("rewards/tim/mean")) && get("rewards/tim/std") > 0.0);
        assert!(get("grad_norm") > 0.0 && get("entropy/understanding") > 0.0 && get("entropy/generation") > 0.0);
        assert_eq!(get("rewards/format/mean"), 0.0, "words of a random model have no tags");
    }
}

#[test]
fn corl_trains_a_showo_as_well() {
    let showo = [
        "policy={ kind = 'showo', model = '../policies/showo/assets/tiny', trainable = { lora = { rank = 2 } } }",
        "sampler.kind=showo",
        "sampler.text.max_new_tokens=4",
        "sampler.image={ timesteps = 3, guidance_scale = 1.0, score_guidance = false }",
        "trainer.group_size=4",
        "trainer.gate_tolerance=0.002",
    ];
    for step in run("corl_full.toml", &[to(&showo), rows()].concat()) {
        assert_eq!(step.get("rewards/tim/abstained"), Some(0.0));
        assert!(step.get("rewards/tim/std").unwrap() > 0.0 && step.get("reward").is_some());
    }
}

#[test]
fn sync_r1_trains_a_janus() {
    let folder = janus();
    let changes = [
        "sampler={ kind = 'janus', text = { max_new_tokens = 3 }, image = { guidance_scale = 0.0, checkpoint = 0.5 } }",
        "policy.trainable={ lora = { rank = 2 } }",
        "objective={ kind = 'sync_grpo', credit = 'causal', advantage = 'leave_one_out' }",
        "evaluation.kind=none",
        "trainer.group_size=4",
        "trainer.images_per_answer=2",
    ];
    let policy = vec![format!("policy={{ kind = 'janus', weights = '{}' }}", folder.path().display())];
    let chat = tiny_janus(folder.path());
    for step in run("sync_r1.toml", &[policy, chat, to(&changes)].concat()) {
        assert!(step.get("dgs/threshold").is_some() && step.get("rewards/ber/mean").is_some());
        assert!(step.get("grad_norm/generation").unwrap() > 0.0);
    }
}

#[test]
fn the_embedded_recipe_trains_and_is_verified_by_the_world() {
    let short = ["trainer.group_size=4", "evaluation.candidates=1", "rewards.tim={}", "reward_weights.default.tim=1"];
    let metrics = run("corl.toml", &to(&short));
    for step in &metrics {
        for reward in ["cycle", "shapes", "tim", "accuracy", "format"] {
            assert_eq!(step.get(&format!("rewards/{reward}/abstained")), Some(0.0), "{reward}");
        }
        assert!(step.get("rewards/cycle/std").unwrap() > 0.0 && step.get("rewards/shapes/std").unwrap() > 0.0);
        // It writes answers in tags, as it was taught to do more often than not.
        assert!(step.get("rewards/format/mean").unwrap() > 0.2);
    }
}

#[test]
fn the_tiny_janus_paints_and_answers_as_well_as_it_was_left() {
    let config = RunConfig::load(&package().join("corl.toml"), &to(&["evaluation.candidates=2"])).unwrap();
    let parts = parts(&config, package(), &Device::flex()).unwrap();
    let mut evaluator = evaluator(&config, package(), &Device::flex()).unwrap().unwrap();
    let (mut rollouts, updater) = parts.split(&config.trainer, config.run.seed).unwrap();
    let judged = evaluate(evaluator.as_mut(), &mut rollouts, updater.policy(), &mut || {}).unwrap();
    let splits: BTreeSet<&str> = judged.iter().map(|sample| sample.split.as_str()).collect();
    assert_eq!(splits.into_iter().collect::<Vec<_>>(), ["attribution", "counting", "position"]);
    let share = |name: &str| judged.iter().filter_map(|s| s.score(name)).sum::<f64>() / judged.len() as f64;
    for (score, room) in [("answer", 0.25..0.6), ("format", 0.5..0.9), ("shapes", 0.1..0.4), ("image", 0.03..0.2)] {
        assert!(room.contains(&share(score)), "{score}: {}", share(score));
    }
}

#[test]
fn what_is_told_and_shown_becomes_likelier_and_a_half_that_is_empty_is_left_alone() {
    let folder = janus();
    let overrides = [tiny_janus(folder.path()), rows()].concat();
    let config =
        RunConfig::load(&package().join("corl_full.toml"), &[overrides, to(&["policy.dtype=f32"])].concat()).unwrap();
    let context = BuildContext::new(Device::flex(), package());
    let mut policy = JanusPolicy::from_settings(&config.policy.settings, &context).unwrap();
    policy.learner().configure(&config.trainer.optimizer());
    let tasks = settings::<CorlConfig>("data", &config.data.settings).unwrap().init(package()).unwrap();
    let noise = Streams::new(0).stream(Key::task(0, 0), "noise", 0);
    let answers: Vec<Segment> =
        (0..2).map(|row| policy.answered(&tasks.of(row).unwrap(), "w10 w11").unwrap()).collect();
    let pictures: Vec<_> = (0..2).map(|row| tasks.rows()[row].picture().unwrap()).collect();
    let pictures: Vec<_> = pictures.iter().map(AsRef::as_ref).collect();
    let images = policy.painted(&["w12".to_owned(), "w13 w14".to_owned()], &pictures).unwrap();
    assert_eq!(answers[0].len(), 3, "two words and the end of text");
    assert_eq!(images[0].len(), policy.config().image_tokens());
    let mut step = |halves: [&[Segment]; 2]| learn(&mut policy, halves, 1e-3, 1.0, &noise).unwrap();
    let first = step([&answers, &images]);
    let last = (0..10).map(|_| step([&answers, &images])).last().unwrap();
    assert!(first[0] > last[0] + 0.1 && first[1] > last[1] + 0.05, "{first:?} {last:?}");
    let alone = step([&[], &images]);
    assert_eq!(alone[0], 0.0);
    assert!(alone[1] > 0.0 && alone[1] <= last[1] + 0.05);
}

#[test]
fn the_full_configs_of_refinement_name_the_files_that_they_need() {
    for (file, needed) in [
        (
            "corl_full_t2i.toml",
            &["policy.weights", "rewards.cycle.caption.captioner", "rewards.cycle.caption.bert"][..],
        ),
        ("corl_full_mcq.toml", &["policy.weights"]),
        ("corl_full_oe.toml", &["policy.weights"]),
    ] {
        let config = RunConfig::load(&package().join(file), &[]).unwrap();
        config.trainer.validate().unwrap();
        let named: Vec<String> = references(&config).unwrap().iter().map(|found| found.key.clone()).collect();
        assert_eq!(named, needed, "{file}");
    }
}

#[test]
fn the_full_config_names_the_files_that_it_needs() {
    let config = RunConfig::load(&package().join("corl_full.toml"), &[]).unwrap();
    config.trainer.validate().unwrap();
    let named: Vec<String> = references(&config).unwrap().iter().map(|found| found.key.clone()).collect();
    assert_eq!(named, ["policy.weights"]);
}
