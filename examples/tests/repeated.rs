//! Several runs of the recipe, shortened and with one concept: side by side, stopped, gone on with.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use burn::tensor::Device;
use counterpoint::config::RunConfig;
use counterpoint::{StopToken, SyncGrpoConfig};
use counterpoint_examples::{OutputMode, Planned, Progress, Repeat, Run, RunFolder};
use counterpoint_unifybench::{AgreementTable, RepeatedTable};

fn base() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn planned(folder: &Path, seeds: &[u64]) -> Vec<Planned> {
    let short = [
        "trainer.steps=2",
        "trainer.group_size=2",
        "trainer.images_per_answer=1",
        "data.answer_share=0",
        "objective.denoising_steps=1",
        "trainer.tasks_per_step=1",
        "trainer.warmup_steps=1",
        "sampler.image.timesteps=4",
        "sampler.image.checkpoint_step=1",
        "data.concepts=['ada']",
    ];
    let one = |seed: &u64| {
        let set: Vec<String> = short.iter().map(|s| (*s).to_owned()).chain([format!("run.seed={seed}")]).collect();
        let config = RunConfig::load(&base().join("sync_r1.toml"), &set).unwrap();
        let folder = RunFolder::at(folder.join(format!("seed-{seed}"))).unwrap();
        Planned { config, folder, before: None }
    };
    seeds.iter().map(one).collect()
}

fn run(planned: &[Planned], jobs: usize, stop: &StopToken) -> Option<Vec<Run>> {
    let progress = Progress::to(OutputMode::Quiet, Box::new(std::io::sink()), Box::new(std::io::sink()));
    let repeat = Repeat { base: &base(), device: &Device::flex(), stop, jobs, progress: &progress };
    repeat.run("runs", planned).unwrap()
}

fn samples(run: &Run) -> (&[counterpoint::Judged], &[counterpoint::Judged]) {
    (&run.before, &run.after)
}

#[test]
fn runs_side_by_side_stopped_and_gone_on_with_equal_those_one_after_the_other() {
    let (apart, beside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let never = StopToken::new();
    let one_by_one = run(&planned(apart.path(), &[3, 4]), 1, &never).unwrap();

    let planned = planned(beside.path(), &[3, 4]);
    let now = StopToken::new();
    now.set();
    assert!(run(&planned, 2, &now).is_none(), "asked to stop before the first step");
    assert!(planned.iter().all(|run| run.folder.has("before.json") && !run.folder.has("after.json")));
    let side_by_side = run(&planned, 2, &never).unwrap();
    for (a, b) in one_by_one.iter().zip(&side_by_side) {
        assert_eq!(samples(a), samples(b));
        assert!(a.after != a.before, "two steps at this rate change something");
    }
    assert!(one_by_one[0].after != one_by_one[1].after, "seeds differ");

    // What is done is read, not done again: without its checkpoints it could not be.
    for run in &planned {
        fs::remove_dir_all(run.folder.path().join("checkpoints")).unwrap();
        fs::remove_file(run.folder.path().join("metrics.jsonl")).unwrap();
    }
    let again = run(&planned, 2, &never).unwrap();
    assert!(again.iter().zip(&side_by_side).all(|(a, b)| samples(a) == samples(b)));
    assert!(!planned[0].folder.has("metrics.jsonl"));

    let runs: Vec<_> = again.iter().map(samples).collect();
    let table = RepeatedTable::of(&runs).unwrap();
    assert_eq!(table.runs, 2);
    let agreement = AgreementTable::of(again.iter().flat_map(|run| &run.after));
    let rewards: Vec<&str> = agreement.rows.iter().map(|row| row.reward.as_str()).collect();
    assert!(["ber", "der", "reward", "tier"].iter().all(|name| rewards.contains(name)), "{rewards:?}");
}

#[test]
fn an_evaluation_before_training_is_shared_and_a_changed_config_is_not_mistaken_for_the_same_run() {
    let folder = tempfile::tempdir().unwrap();
    let never = StopToken::new();
    let first = planned(&folder.path().join("a"), &[5]);
    let done = run(&first, 1, &never).unwrap();

    let mut second = planned(&folder.path().join("b"), &[5]);
    second[0].before = Some(first[0].folder.clone());
    second[0].config.trainer.learning_rate = 1e-6;
    let other = run(&second, 1, &never).unwrap();
    assert_eq!(other[0].before, done[0].before);
    assert!(!second[0].folder.path().join("samples/before").exists(), "not drawn again");
    assert!(other[0].after != done[0].after);

    // The folder of the first run holds a run of another learning rate.
    let mut mistaken = planned(&folder.path().join("a"), &[5]);
    mistaken[0].config.trainer.learning_rate = 1e-6;
    let progress = Progress::to(OutputMode::Quiet, Box::new(std::io::sink()), Box::new(std::io::sink()));
    let repeat = Repeat { base: &base(), device: &Device::flex(), stop: &never, jobs: 1, progress: &progress };
    let error = repeat.run("runs", &mistaken).err().unwrap();
    assert!(error.to_string().contains("trainer.learning_rate"), "{error}");
}

#[test]
fn every_arm_of_every_plan_is_a_recipe() {
    let sync_r1 = [
        "ablate.toml",
        "estimators.toml",
        "figure5.toml",
        "generalisation.toml",
        "initialisation.toml",
        "staleness.toml",
    ];
    let corl = ["corl_pilot.toml", "corl_stages.toml"];
    let plans = sync_r1.map(|plan| ("sync_r1.toml", plan)).into_iter().chain(corl.map(|plan| ("corl.toml", plan)));
    for (recipe, plan) in plans {
        let text = std::fs::read_to_string(base().join(plan)).unwrap();
        let plan: toml::Table = text.parse().unwrap();
        let set = |of: &toml::Value| -> Vec<String> {
            of.as_array().unwrap().iter().map(|set| set.as_str().unwrap().to_owned()).collect()
        };
        let budget = set(&plan["budget"]);
        let full = RunConfig::load(&base().join(recipe), &budget).unwrap();
        for arm in plan["arms"].as_array().unwrap() {
            let all: Vec<String> = budget.iter().cloned().chain(set(&arm["set"])).collect();
            let config = RunConfig::load(&base().join(recipe), &all).map_err(|e| format!("{arm}: {e}")).unwrap();
            assert_ne!(config, full, "{arm} changes nothing");
            SyncGrpoConfig::of(&config.objective.kind, &config.objective.settings).unwrap();
        }
    }
}

#[test]
fn an_arm_may_go_without_something_or_begin_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let plan = folder.path().join("plan.toml");
    let text = r#"
name = "compared"
budget = [
    "trainer.steps=1", "trainer.warmup_steps=0", "trainer.group_size=2", "trainer.images_per_answer=1", "trainer.tasks_per_step=1",
    "trainer.learning_rate=1e-{seed}", "objective.denoising_steps=1", "sampler.image.timesteps=2", "sampler.image.checkpoint_step=1",
    "data.concepts=['ada', 'kit']", "data.answer_share=0", "evaluation.candidates=1",
]
arms = [
    { id = "without", name = "w/o kit", set = ["data.without=['kit']"] },
    { id = "other", name = "other", set = ["policy.model='../policies/showo/assets/tiny/'"] },
]
"#;
    fs::write(&plan, text).unwrap();
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().and_then(Path::parent).unwrap().join("examples/ablate");
    let output = format!("run.output={}", folder.path().display());
    let arguments = ["--quiet", "--seeds", "2", "--seed", "3", "--set", &output, "--plan", plan.to_str().unwrap()];
    let done = Command::new(program).args(arguments).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    let compared = folder.path().join("compared");
    let read = |name: &str| fs::read_to_string(compared.join(name)).unwrap();
    let (table, generalisation) = (read("ablation.md"), read("generalisation.md"));
    for name in ["no training", "other, no training", "w/o kit", "other"] {
        assert!(table.contains(&format!("| {name} | reasoning |")), "{table}");
    }
    // Four facts of each concept, by text, by photograph and to be painted.
    for (tasks, arm) in [("about it", "no training"), ("about it", "w/o kit"), ("the others", "full")] {
        assert!(generalisation.contains(&format!("| kit | {tasks} (12) | {arm} | reasoning |")), "{generalisation}");
    }
    let config = |seed| RunConfig::load(&compared.join(format!("without/seed-{seed}/config.toml")), &[]).unwrap();
    assert_eq!([3, 4].map(|seed| config(seed).trainer.learning_rate), [1e-3, 1e-4]);
    let drawn = |arm: &str| compared.join(arm).join("seed-3/samples/before").exists();
    assert_eq!((drawn("full"), drawn("without"), drawn("other")), (true, false, true));
}
