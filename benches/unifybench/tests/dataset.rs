//! The committed data sets are what the generator writes, and their pictures show what their files say.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use counterpoint_unictokens::{ConceptSet, Pathway, PersonalTasks, Split};
use counterpoint_unifybench::dataset::{Scenes, files, images_per_fact, strangers, write};
use counterpoint_unifybench::language::{
    fact, parse_fact, photo, textual_question, visual_questions, vocabulary, words,
};
use counterpoint_unifybench::scene::pretraining_scenes;
use counterpoint_unifybench::{Concept, Scene, Truth, World};

fn committed(world: World) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(world.folder())
}

fn contents(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                found.insert(path.strip_prefix(root).unwrap().to_owned(), bytes);
            }
        }
    }
    found
}

fn json(world: World, path: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(committed(world).join(path)).unwrap()).unwrap()
}

fn scenes(world: World, split: &str, concept: Concept) -> Scenes {
    serde_json::from_value(json(world, &format!("concept/{split}/{}/scenes.json", concept.word()))).unwrap()
}

/// Every concept of every world.
fn concepts() -> impl Iterator<Item = (World, Concept)> {
    World::ALL.iter().flat_map(|&world| Concept::ALL.iter().map(move |&concept| (world, concept)))
}

#[test]
fn the_generator_reproduces_every_committed_byte() {
    for (&world, most) in World::ALL.iter().zip([1_000_000, 300_000]) {
        let folder = tempfile::tempdir().unwrap();
        write(files(world).unwrap(), folder.path()).unwrap();
        let (written, committed) = (contents(folder.path()), contents(&committed(world)));
        let names = |c: &BTreeMap<PathBuf, Vec<u8>>| c.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&written), names(&committed), "{world:?}");
        for (name, bytes) in &written {
            assert!(
                bytes == &committed[name],
                "{world:?}, {} differs: run the generator and commit what it writes",
                name.display()
            );
        }
        let total: usize = committed.values().map(Vec::len).sum();
        assert!(total < most, "{world:?}: {total} bytes");
    }
}

#[test]
fn strangers_are_the_main_world_under_other_names() {
    let (main, strangers) = (files(World::Main).unwrap(), strangers().unwrap());
    assert_eq!(main.len(), strangers.len());
    for (path, bytes) in &strangers {
        let known = |text: &str| {
            Concept::ALL.iter().any(|c| text.contains(&c.token()) || text.contains(&format!("/{}/", c.word())))
        };
        let text = String::from_utf8_lossy(bytes);
        assert!(!known(path) && (path.ends_with(".png") || !known(&text)), "{path}");
        let original = Concept::ALL
            .iter()
            .fold(path.clone(), |path, c| path.replace(&format!("/{}/", c.alias()), &format!("/{}/", c.word())));
        let of_main = &main[&original];
        match path.ends_with(".png") {
            true => assert_eq!(bytes, of_main, "{path}"),
            false => assert_ne!(bytes, of_main, "{path}"),
        }
    }
    let scenes: Scenes = serde_json::from_slice(&strangers["concept/test/una/scenes.json"]).unwrap();
    assert!(scenes.facts.iter().all(|fact| fact.scene.concept == Concept::Ada && fact.prompt.contains("<una>")));
    let names: Vec<String> = serde_json::from_slice(&strangers["concepts_list.json"]).unwrap();
    let tokens: Vec<String> = names.iter().map(|name| format!("<{name}>")).collect();
    assert_eq!(
        tokens.iter().map(|token| Concept::of_token(token)).collect::<Vec<_>>(),
        Concept::ALL.iter().map(|c| Some(*c)).collect::<Vec<_>>()
    );
    assert_eq!(
        (Concept::of_token("una"), Concept::of_token("<ada>"), Concept::of_token("<bob>")),
        (None, Some(Concept::Ada), None)
    );
}

#[test]
fn every_image_shows_what_scenes_json_says() {
    let truth = Truth::new().unwrap();
    for (split, held_out) in [("train", false), ("test", true)] {
        for (world, concept) in concepts() {
            let scenes = scenes(world, split, concept);
            assert_eq!(scenes.images.len(), 4 * images_per_fact(world));
            for (name, scene) in &scenes.images {
                let path = committed(world).join(format!("concept/{split}/{}/{name}", concept.word()));
                let image = image::open(&path).unwrap().into_rgb8();
                assert!(truth.check(scene, &image).unwrap().all(), "{}", path.display());
                let hidden = held_out && world == World::Main;
                assert_eq!(scene.is_held_out(), hidden);
                assert_eq!(pretraining_scenes().contains(scene), !hidden);
            }
        }
    }
}

#[test]
fn no_image_is_in_both_worlds() {
    let images = |world| {
        let files = contents(&committed(world)).into_iter();
        files.filter(|(name, _)| name.starts_with("concept") && name.extension() == Some("png".as_ref()))
    };
    let main: BTreeSet<Vec<u8>> = images(World::Main).map(|(_, bytes)| bytes).collect();
    for (name, bytes) in images(World::Validation) {
        assert!(!main.contains(&bytes), "{}", name.display());
    }
}

#[test]
fn facts_prompts_and_truth_are_in_the_same_order() {
    for (world, concept) in concepts() {
        let info = json(world, &format!("concept/train/{}/info.json", concept.word()));
        let conditions = json(world, &format!("concept/test/{}/t2i_conditions.json", concept.word()));
        let scenes = scenes(world, "train", concept);
        assert_eq!(info["class"], concept.class());
        assert_eq!(scenes.facts.iter().map(|f| f.held_out).collect::<Vec<_>>(), [[false; 4], [true; 4]].concat());
        for (k, fact) in scenes.facts.iter().enumerate() {
            let Scene { place, accessory, colour, .. } = fact.scene;
            assert_eq!(info["extra_info"][k], fact.text);
            assert_eq!(conditions["personalized_driven_generation"][k], fact.prompt);
            assert_eq!(parse_fact(&fact.text), Some((place, accessory, colour)));
            let phrases = place.phrases();
            assert!(phrases[1..].iter().any(|p| fact.prompt.contains(p)) && !fact.prompt.contains(phrases[0]));
        }
        assert_eq!(conditions["personalized_driven_generation"].as_array().unwrap().len(), 8);
    }
}

#[test]
fn no_held_out_answer_is_among_the_training_conversations() {
    for &concept in Concept::ALL {
        let conversations =
            json(World::Main, &format!("concept/train/{}/conversations.json", concept.word())).to_string();
        for fact in scenes(World::Main, "train", concept).facts {
            assert_eq!(conversations.contains(&fact.text), !fact.held_out, "{}", fact.text);
        }
    }
}

#[test]
fn the_vocabulary_covers_every_sentence_in_the_files() {
    let known: BTreeSet<String> = vocabulary().into_iter().collect();
    let mut sentences = Vec::new();
    for (world, concept) in concepts() {
        let name = concept.word();
        let info = json(world, &format!("concept/train/{name}/info.json"));
        sentences.push(info["info"].clone());
        sentences.push(info["extra_info"].clone());
        for file in ["t2i_conditions", "vqa"] {
            sentences.push(json(world, &format!("concept/test/{name}/{file}.json")));
        }
        if world == World::Main {
            sentences.push(json(world, &format!("concept/train/{name}/conversations.json")));
            sentences.push(json(world, &format!("concept/test/{name}/text_only.json")));
        }
    }
    let mut count = 0;
    while let Some(value) = sentences.pop() {
        match value {
            serde_json::Value::String(text) => {
                count += 1;
                for word in words(&text) {
                    assert!(known.contains(&word), "`{word}` of `{text}`");
                }
            }
            serde_json::Value::Array(items) => sentences.extend(items),
            serde_json::Value::Object(map) => sentences.extend(map.into_iter().map(|(_, v)| v)),
            other => panic!("unexpected {other}"),
        }
    }
    assert!(count > 500, "{count}");
}

#[test]
fn the_engines_loader_reads_it_and_asks_as_the_language_does() {
    let halves = [(Split::Train, false, "train"), (Split::HeldOut, true, "test")];
    let cases = halves.map(|(split, held_out, folder)| (World::Main, split, held_out, folder));
    // Nobody trains on the validation world.
    for (world, split, held_out, folder) in cases.into_iter().chain([(World::Validation, Split::HeldOut, true, "test")])
    {
        let set = ConceptSet::open(&committed(world)).unwrap();
        let concepts: Vec<_> = set.names().iter().map(|name| set.concept(name).unwrap()).collect();
        let questions = 4 * images_per_fact(world) * 3;
        let tasks = PersonalTasks::new(concepts.clone(), split, 0.5).unwrap();
        let textual = tasks.all(Pathway::Textual).unwrap();
        let visual = tasks.all(Pathway::Visual).unwrap();
        assert_eq!((textual.len(), visual.len()), (6 * 4, 6 * questions));
        for (&concept, tasks) in Concept::ALL.iter().zip(textual.chunks(4)) {
            let facts = scenes(world, folder, concept).facts;
            let texts: Vec<String> = facts.iter().map(|f| f.text.clone()).collect();
            for (task, fact) in tasks.iter().zip(facts.iter().filter(|f| f.held_out == held_out)) {
                assert_eq!(task.question, textual_question(concept, &texts, &fact.prompt));
                assert_eq!((&task.base_prompt, &task.params["answer"]), (&fact.prompt, &fact.text.clone().into()));
            }
        }
        for ((&concept, tasks), loaded) in Concept::ALL.iter().zip(visual.chunks(questions)).zip(&concepts) {
            let images = scenes(world, folder, concept).images;
            for (tasks, scene) in tasks.chunks(3).zip(images.values()) {
                assert_eq!(tasks.iter().map(|t| t.question.clone()).collect::<Vec<_>>(), visual_questions(concept));
                for task in tasks {
                    assert_eq!(task.params["answer"], fact(scene));
                    // One answer per image: the candidates are the concept's facts, and the answer is one of them.
                    let target = loaded.facts.iter().position(|f| *f == fact(scene)).unwrap();
                    let expected = serde_json::json!({
                        "facts": loaded.facts, "target": target, "answer": fact(scene),
                        "concept": concept.token(), "pathway": "visual", "noun": concept.class(),
                        "conversation_type": concept.class(),
                    });
                    assert_eq!(*task.params, expected);
                    assert_eq!(task.base_prompt, photo(concept));
                    assert_eq!(task.class, concept.class());
                }
            }
        }
    }
}
