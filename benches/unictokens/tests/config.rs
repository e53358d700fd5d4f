//! The task source by name: its settings, what it refuses, and the tasks that a seed draws.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use burn::tensor::Device;
use counterpoint::config::{Component, RunConfig};
use counterpoint::registry::{self, BuildContext};
use counterpoint::{Error, ErrorKind, Result, Streams, Task, TaskSource};
use counterpoint_unictokens::{KIND, Pathway, PersonalTasksConfig, Split, Wording, concept_of, held_out};
use sha2::{Digest, Sha256};

fn mini() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../unifybench/data/unifybench-mini"))
}

/// The source that `[data]` describes, its paths relative to the parent of the data.
fn build(settings: &str) -> Result<Box<dyn TaskSource>> {
    let context = BuildContext::new(Device::flex(), mini().parent().unwrap());
    registry::task_source(KIND, &settings.parse().unwrap(), &context)
}

fn refused(settings: &str) -> Error {
    build(settings).err().expect("this should be refused")
}

#[test]
fn a_config_selects_it_by_name() {
    assert!(registry::task_sources().contains(&KIND));
    let config = "[run]\nname = 'mine'\n[policy]\nkind = 'any'\n[sampler]\nkind = 'any'\n[rewards.any]\n\
                  [reward_weights.default]\nany = 1.0\n[data]\nkind = 'unictokens'\nroot = 'unifybench-mini'\n";
    let data = RunConfig::from_toml(config, &["data.concepts=['<ada>']".to_owned()]).unwrap().data;
    let context = BuildContext::new(Device::flex(), mini().parent().unwrap());
    let tasks = registry::task_source(&data.kind, &data.settings, &context).unwrap();
    for cursor in 0..20 {
        assert_eq!(concept_of(&tasks.task(0, cursor, &Streams::new(1)).unwrap()), Some("<ada>"));
    }
}

#[test]
fn settings_have_the_defaults_of_the_paper() {
    let config: PersonalTasksConfig = registry::settings("data", &"root = 'here'".parse().unwrap()).unwrap();
    assert_eq!(config, PersonalTasksConfig::new("here"));
    assert_eq!((config.split, config.concepts, config.visual_share), (Split::Train, None, 0.5));
    assert_eq!(config.wording, Wording::default());
}

#[test]
fn every_setting_reaches_the_tasks() {
    let text = "root = 'unifybench-mini'\nsplit = 'held_out'\nconcepts = ['kit']\nvisual_share = 0\nanswer_share = 1\n\
                wording.textual_question = 'which of {facts} fits {prompt}?'";
    let task = build(text).unwrap().task(0, 0, &Streams::new(0)).unwrap();
    assert_eq!((concept_of(&task), Pathway::of(&task)), (Some("<kit>"), Some(Pathway::Textual)));
    assert!(task.question.starts_with("which of ") && !task.generates, "{task:?}");
    assert!(task.params["target"].as_u64().unwrap() >= 4, "the first four facts are for training");
}

#[test]
fn a_wrong_setting_is_refused_with_its_full_key() {
    for (settings, expected) in [
        ("root = 'x'\nvisual_share = 1.5", "data.visual_share: expected a number in [0, 1], got 1.5"),
        ("root = 'x'\nanswer_share = -1", "data.answer_share: expected a number in [0, 1], got -1"),
        ("root = 'x'\nvisual_share = 'all'", "data.visual_share: expected a number, got string \"all\""),
        (
            "root = 'x'\nvisual_shares = 1",
            "data.visual_shares: unknown key; did you mean `visual_share`? (known: root, split, concepts, without, visual_share, answer_share, order, skip_flat, wording, classes)",
        ),
        (
            "root = 'x'\nsplit = 'tain'",
            "data.split: unknown value `tain`; did you mean `train`? (known: train, held_out)",
        ),
        (
            "root = 'x'\nconcepts = []",
            "data.concepts: expected 1 or more concepts (leave it out for all), got an empty array",
        ),
        ("root = 'x'\nconcepts = ['a', 3]", "data.concepts[1]: expected a string, got integer `3`"),
        (
            "root = 'x'\nwording.textual_questions = ''",
            "data.wording.textual_questions: unknown key; did you mean `textual_question`? (known: textual_question, \
             textual_base_prompt, visual_question, visual_base_prompt, info)",
        ),
        ("split = 'train'", "data.root: missing; it has no default, add it"),
    ] {
        let error = refused(settings);
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Config, expected));
    }
    let missing = refused("root = 'nowhere'");
    assert_eq!(missing.kind(), ErrorKind::Data);
    assert!(missing.to_string().contains(&mini().with_file_name("nowhere").display().to_string()), "{missing}");
}

#[test]
fn what_training_goes_without_is_in_no_task_and_is_evaluated_all_the_same() {
    let all = build("root = 'unifybench-mini'").unwrap().survey().unwrap();
    let some = build("root = 'unifybench-mini'\nwithout = ['<kit>', 'Beach', 'hat']").unwrap().survey().unwrap();
    let speaks = |task: &Task| {
        let text = format!("{} {} {}", task.question, task.base_prompt, task.params).to_lowercase();
        text.split(|c: char| !c.is_alphanumeric()).any(|word| ["kit", "beach", "hat"].contains(&word))
    };
    assert!(all.iter().any(speaks) && some.len() > all.len() / 3);
    for task in &some {
        assert!(!speaks(task), "{task:?}");
        let target = &task.params["facts"][task.params["target"].as_u64().unwrap() as usize];
        assert_eq!(*target, task.params["answer"], "prompts and facts still belong together");
    }
    // Two of ace's four scenes have a hat, none of ada's has any of it.
    let references = |tasks: &[Task], concept: &str| {
        tasks.iter().find(|task| concept_of(task) == Some(concept)).map(|task| task.references.len())
    };
    let counts = ["<ace>", "<ada>", "<kit>"].map(|concept| (references(&all, concept), references(&some, concept)));
    assert_eq!(counts, [(Some(8), Some(4)), (Some(8), Some(8)), (Some(8), None)]);

    let evaluated = |more: &str| {
        let settings = format!("root = 'unifybench-mini'\n{more}").parse().unwrap();
        let data = Component { kind: KIND.to_owned(), settings };
        let context = BuildContext::new(Device::flex(), mini().parent().unwrap()).with_data(data);
        held_out(&context, None).unwrap().len()
    };
    assert_eq!(evaluated(""), evaluated("without = ['kit', 'beach']"));

    let unknown = refused("root = 'unifybench-mini'\nwithout = ['kit', 'bech']");
    assert_eq!(
        unknown.to_string(),
        "data.without: expected names of concepts and words of their facts or answers, got `bech`, which is neither"
    );
    let nothing = refused("root = 'unifybench-mini'\nwithout = ['ada', 'eve', 'leo', 'kit', 'joe', 'ace']");
    assert!(
        nothing.to_string().starts_with("data.without: expected something to train on besides ada, eve"),
        "{nothing}"
    );
}

#[test]
fn a_task_of_another_source_has_no_concept_and_no_pathway() {
    let task = Task::new(0, "What is she like?");
    assert_eq!((concept_of(&task), Pathway::of(&task)), (None, None));
    let task = task.with_params(serde_json::json!({ "concept": 3, "pathway": "scenic" }));
    assert_eq!((concept_of(&task), Pathway::of(&task)), (None, None));
}

#[test]
fn a_seed_draws_the_same_tasks_in_every_version() {
    let tasks = build("root = 'unifybench-mini'").unwrap();
    let mut digest = Sha256::new();
    for cursor in 0..90 {
        let mut task = tasks.task(cursor / 3, cursor, &Streams::new(0)).unwrap();
        // In the first version a task was called by its cursor.
        task.id = cursor;
        add(&mut digest, &task);
    }
    let digest: String = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(digest, "57a7f47882a80a1252b131962db12ce560bce59782cb2c72907d481d134734e3");
}

fn add(digest: &mut Sha256, task: &Task) {
    let pathway = Pathway::of(task).unwrap().to_string();
    let texts = [concept_of(task).unwrap(), &task.class, &pathway, &task.question, &task.base_prompt];
    for text in texts {
        digest.update((text.len() as u64).to_le_bytes());
        digest.update(text);
    }
    digest.update(task.id.to_le_bytes());
    for image in task.image.iter().chain(&task.references) {
        digest.update(image.as_raw());
    }
    let mut params = task.params.as_object().unwrap().clone();
    params.retain(|key, _| !["concept", "pathway", "noun", "conversation_type"].contains(&key.as_str()));
    digest.update(serde_json::to_string(&params).unwrap());
}
