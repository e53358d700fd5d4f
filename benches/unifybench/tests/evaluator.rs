//! The renderer's truth as an evaluator: what it asks, on which folder, and what it says of paintings.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use counterpoint::burn::tensor::Device;
use counterpoint::config::Component;
use counterpoint::registry::{self, BuildContext};
use counterpoint::{ErrorKind, Evaluator, Result, Sample, Task, toml};
use counterpoint_unictokens::Pathway;
use counterpoint_unifybench::scene::TRAINING_FACTS;
use counterpoint_unifybench::{Concept, Jitter, Place, Renderer, Scene, TruthEvaluator, World, language};

/// The evaluator `kind` of a run on the main world.
fn build(kind: &str, settings: &str, data: &str) -> Result<Box<dyn Evaluator>> {
    let settings_of_data = toml::from_str(&format!("root = '{}'\n{data}", World::Main.folder())).unwrap();
    let data = Component { kind: "unictokens".to_owned(), settings: settings_of_data };
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let context = BuildContext::new(Device::flex(), base).with_data(data);
    registry::evaluator(kind, &toml::from_str(settings).unwrap(), &context)
}

fn answers(evaluator: &dyn Evaluator) -> BTreeSet<String> {
    evaluator.tasks().iter().map(|task| format!("{} {}", task.params["concept"], evaluator.answer(task))).collect()
}

/// The held-out facts of a world, as [`answers`] has them.
fn facts(world: World) -> BTreeSet<String> {
    let of = |concept: &Concept| world.facts(*concept).split_off(TRAINING_FACTS);
    let scenes = Concept::ALL.iter().flat_map(of);
    scenes.map(|scene| format!("\"{}\" {}", scene.concept.token(), language::fact(&scene))).collect()
}

#[test]
fn the_held_out_half_is_that_of_the_data_or_of_the_folder_that_is_named() {
    for kind in ["unifybench", "auto", "rewards"] {
        assert_eq!(answers(build(kind, "", "").unwrap().as_ref()), facts(World::Main), "{kind}");
        let validation = build(kind, "root = 'unifybench-validation'", "").unwrap();
        assert_eq!(answers(validation.as_ref()), facts(World::Validation), "{kind}");
        let one = build(kind, "root = 'unifybench-validation'", "concepts = ['kit']").unwrap();
        assert_eq!(answers(one.as_ref()).len(), 4, "{kind}");
        let error = build(kind, "rot = 'unifybench-validation'", "").err().unwrap();
        assert!(error.kind() == ErrorKind::Config && error.to_string().contains("`root`"), "{error}");
    }
    let words = "wording = { textual_base_prompt = '{prompt} In detail:' }";
    let worded = build("auto", "root = 'unifybench-validation'", words).unwrap();
    assert!(worded.tasks()[0].base_prompt.ends_with(" In detail:"), "{:?}", worded.tasks()[0]);
}

#[test]
fn every_scene_is_painted_once_for_its_fact_after_what_is_asked() {
    let evaluator = build("auto", "", "").unwrap();
    let splits: Vec<String> = evaluator.tasks().iter().map(|task| evaluator.split(task)).collect();
    assert_eq!(splits, ["textual", "visual", "painting"].map(|split| vec![split.to_owned(); 24]).concat());
    assert_eq!(evaluator.tasks().iter().map(|task| task.id).collect::<Vec<_>>(), (0..72).collect::<Vec<_>>());
    let (textual, painted) = (&evaluator.tasks()[..24], &evaluator.tasks()[48..]);
    assert!(evaluator.tasks()[..48].iter().all(|task| task.response.is_none()));
    for (asked, task) in textual.iter().zip(painted) {
        assert_eq!(task.response.as_deref(), asked.params["answer"].as_str());
        assert_eq!((&task.base_prompt, &task.params), (&asked.base_prompt, &asked.params));
    }

    // Where no text asks for a scene its photograph's base prompt is painted from.
    let visual: Vec<Task> = evaluator.tasks()[24..48].to_vec();
    let alone = TruthEvaluator::new(visual[..2].to_vec()).unwrap();
    assert_eq!(alone.tasks().len(), 4);
    assert_eq!(
        (&alone.tasks()[2].base_prompt, alone.split(&alone.tasks()[2])),
        (&visual[0].base_prompt, "painting".into())
    );
    assert_eq!(Pathway::of(&alone.tasks()[2]), Some(Pathway::Visual));
}

#[test]
fn places_are_asked_for_in_words_that_the_data_do_not_have() {
    let (asked, reworded) = (build("auto", "", "").unwrap(), build("unifybench", "reworded = true", "").unwrap());
    let plain: Vec<&str> = Place::ALL.iter().map(|place| place.phrases()[0]).collect();
    let has = |text: &str| plain.iter().any(|phrase| text.contains(phrase));
    for (task, other) in asked.tasks().iter().zip(reworded.tasks()) {
        assert_eq!((&task.response, &task.params["answer"]), (&other.response, &other.params["answer"]));
        let textual = task.params["pathway"] == "textual";
        assert!(!has(&task.question) && !has(&task.base_prompt), "{task:?}");
        assert_eq!((has(&other.question), has(&other.base_prompt)), (textual, textual), "{other:?}");
        assert_eq!(other.params["prompt"].as_str().is_some_and(has), textual);
        if !textual {
            assert_eq!((&task.question, &task.base_prompt), (&other.question, &other.base_prompt));
        }
    }
}

#[test]
fn as_many_candidates_are_drawn_as_the_config_says() {
    for kind in ["auto", "unifybench"] {
        assert_eq!(build(kind, "", "").unwrap().candidates(), 4);
        assert_eq!(build(kind, "candidates = 16", "").unwrap().candidates(), 16);
        let error = build(kind, "candidates = 0", "").err().unwrap().to_string();
        assert!(error.contains("evaluation.candidates: expected 1 or more, got 0"), "{error}");
    }
}

#[test]
fn a_painting_is_judged_by_what_it_shows_under_names_of_its_own() {
    let mut evaluator = build("unifybench", "", "concepts = ['ada']").unwrap();
    let scene = Concept::Ada.facts()[TRAINING_FACTS];
    let other = Concept::Ada.facts()[TRAINING_FACTS + 1].place;
    let renderer = Renderer::new().unwrap();
    let tasks = evaluator.tasks().to_vec();
    let mut judge = |task: &Task, scene: Scene| {
        let image = Arc::new(renderer.render(&scene, Jitter::new(5)));
        let response = task.response.clone().unwrap_or_default();
        let sample = Sample::new(task, 0, String::new(), response, Some(image));
        evaluator.judge(task, &[sample]).unwrap().remove(0)
    };
    let named = |scores: [(&str, f64); 6]| scores.map(|(name, score)| (format!("painting/{name}"), score)).to_vec();
    let all = |place, share, image| {
        named([
            ("attributes", share),
            ("concept", 1.0),
            ("place", place),
            ("accessory", 1.0),
            ("colour", 1.0),
            ("image", image),
        ])
    };
    assert_eq!(judge(&tasks[8], scene), all(1.0, 1.0, 1.0));
    assert_eq!(judge(&tasks[8], Scene { place: other, ..scene }), all(0.0, 0.75, 0.0));
    let own: Vec<String> = judge(&tasks[0], scene).into_iter().map(|(name, _)| name).collect();
    assert!(own.contains(&"joint".to_owned()) && own.iter().all(|name| !name.contains('/')), "{own:?}");
}
