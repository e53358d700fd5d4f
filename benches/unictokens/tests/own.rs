//! A researcher's own concepts: facts in plain English, photographs of odd sizes, names with quirks, and what may be wrong.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use counterpoint::config::Component;
use counterpoint::registry::{self, BuildContext};
use counterpoint::{ErrorKind, Streams, Task, TaskSource, toml};
use counterpoint_unictokens::{
    ClassRule, ClassRules, ConceptSet, Pathway, PersonalTasks, PersonalTasksConfig, Wording, concept_of,
};

fn concepts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/concepts")
}

fn tasks(change: impl FnOnce(&mut PersonalTasksConfig)) -> PersonalTasks {
    let mut config = PersonalTasksConfig::new(concepts());
    change(&mut config);
    config.init(Path::new(".")).unwrap()
}

fn of<'a>(tasks: &'a [Task], concept: &str, pathway: Pathway) -> &'a Task {
    tasks.iter().find(|task| concept_of(task) == Some(concept) && Pathway::of(task) == Some(pathway)).unwrap()
}

fn classes(rules: Option<ClassRules>) -> Vec<String> {
    let tasks = tasks(|config| config.classes = rules.unwrap_or_else(|| config.classes.clone())).survey().unwrap();
    ["<vera>", "<miso>", "<kona>"].map(|name| of(&tasks, name, Pathway::Textual).class.clone()).to_vec()
}

#[test]
fn the_weight_table_of_a_concept_follows_from_rules() {
    assert_eq!(classes(None), ["person", "cat", "coffee cup"]);
    assert_eq!(classes(Some(ClassRules::new())), ["young woman", "cat", "coffee cup"]);
    let nouns = ClassRule { conversation_type: None, nouns: vec!["cat".to_owned(), "dog".to_owned()] };
    assert_eq!(classes(Some([("animal".to_owned(), nouns)].into())), ["young woman", "animal", "coffee cup"]);
}

#[test]
fn everything_that_can_be_drawn_is_in_the_survey_and_photographs_keep_their_size() {
    let source = tasks(|_| {});
    let survey = source.survey().unwrap();
    let key = |task: &Task| (task.question.clone(), task.params["target"].clone());
    let known: Vec<_> = survey.iter().map(key).collect();
    for cursor in 0..200 {
        assert!(known.contains(&key(&source.task(0, cursor, &Streams::new(1)).unwrap())));
    }
    let miso = of(&survey, "<miso>", Pathway::Visual);
    assert_eq!(miso.image.as_ref().unwrap().dimensions(), (451, 300));
    assert_eq!(
        (miso.params["noun"].as_str(), miso.params["conversation_type"].as_str()),
        (Some("cat"), Some("animal"))
    );
    let only = tasks(|config| config.visual_share = 0.0).survey().unwrap();
    assert!(only.iter().all(|task| Pathway::of(task) == Some(Pathway::Textual)));
}

#[test]
fn the_words_are_those_of_the_config() {
    let wording = Wording {
        textual_question: "You know of {concept}, a {noun}: {facts} What is it in {prompt}".to_owned(),
        textual_base_prompt: "{prompt} In detail:".to_owned(),
        visual_question: "Look at the {noun}. {question}".to_owned(),
        visual_base_prompt: "A photo of {concept}, a {noun}.".to_owned(),
        info: true,
    };
    let survey = tasks(|config| config.wording = wording).survey().unwrap();
    let textual = of(&survey, "<kona>", Pathway::Textual);
    assert_eq!(
        textual.question,
        "You know of <kona>, a coffee cup: <kona> belongs to a barista \
         who ties a striped apron. <kona> is always served with a wooden spoon. <kona> stands on a round marble table. What is \
         it in A photo of the barista with <kona> in a café."
    );
    assert_eq!(
        textual.base_prompt,
        "A photo of the barista with <kona> in a café. In detail: <kona> is a brown coffee cup on a matching saucer."
    );
    let visual = of(&survey, "<kona>", Pathway::Visual);
    assert_eq!(visual.question, "Look at the coffee cup. What is in <kona>?");
    assert!(
        visual.base_prompt.starts_with("A photo of <kona>, a coffee cup. <kona> is a brown"),
        "{}",
        visual.base_prompt
    );

    let textual = Wording { textual_question: "{prompt}".to_owned(), ..Wording::default() };
    let visual = Wording { visual_question: "{question} {fact}".to_owned(), ..Wording::default() };
    for (wording, words) in
        [(textual, "textual_question: expected {facts}"), (visual, "{info}, {question}, got {fact}")]
    {
        let mut config = PersonalTasksConfig::new(concepts());
        config.wording = wording;
        let error = config.init(Path::new(".")).err().unwrap();
        assert!(error.kind() == ErrorKind::Config && error.to_string().contains(words), "{error}");
    }
}

fn copy_all(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|e| (e.path(), e.file_name())).unwrap();
        if path.is_dir() {
            copy_all(&path, &to.join(name));
        } else {
            fs::copy(&path, to.join(name)).unwrap();
        }
    }
}

/// A copy of the concepts that may be spoiled.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy_all(&concepts(), folder.path());
    folder
}

fn refused(change: impl FnOnce(&Path), words: &[&str]) {
    let folder = copy();
    change(folder.path());
    let error = PersonalTasksConfig::new(folder.path()).init(Path::new(".")).err().unwrap();
    let text = format!("{error:#}");
    assert!(error.kind() == ErrorKind::Data && words.iter().all(|word| text.contains(word)), "{words:?}: {text}");
}

#[test]
fn bad_data_are_found_with_file_and_key() {
    let write = |file: &'static str, text: &'static str| move |root: &Path| fs::write(root.join(file), text).unwrap();
    let without_images = |root: &Path| {
        (0..4).for_each(|i| fs::remove_file(root.join(format!("concept/train/miso/{i}.jpg"))).unwrap());
    };
    refused(without_images, &["missing image", "miso"]);
    let prompts = r#"{"personalized_driven_generation": ["A", "B"]}"#;
    refused(write("concept/test/kona/t2i_conditions.json", prompts), &["<kona>", "2 prompts", "3 facts"]);
    let questions = r#"{"9.jpg": [{"query": "?", "answer": "!"}]}"#;
    refused(write("concept/train/vera/conversations.json", questions), &["vera/conversations.json", "`9.jpg`"]);
    refused(write("concept/train/vera/2.jpg", "no image"), &["cannot decode", "vera/2.jpg"]);
    refused(write("concepts_list.json", r#"["vera", "<vera>"]"#), &["concepts_list.json", "<vera> twice"]);
    refused(write("concepts_list.json", r#"["a>b"]"#), &["names of concepts", "a>b"]);
}

#[test]
fn names_with_spaces_apostrophes_capitals_and_umlauts_and_photographs_of_any_name_work() {
    let folder = copy();
    let name = "Mia O'Zöe";
    for half in ["train", "test"] {
        let place = |name: &str| folder.path().join("concept").join(half).join(name);
        fs::rename(place("miso"), place(name)).unwrap();
    }
    let photos = folder.path().join("concept/train").join(name);
    for i in 0..4 {
        fs::rename(photos.join(format!("{i}.jpg")), photos.join(format!("IMG {i}.JPG"))).unwrap();
    }
    fs::remove_file(photos.join("conversations.json")).unwrap();
    fs::write(folder.path().join("concepts_list.json"), format!(r#"["{name}"]"#)).unwrap();
    let set = ConceptSet::open(folder.path()).unwrap();
    let concept = set.concept(name).unwrap();
    assert_eq!((concept.token(), concept.train.len()), (format!("<{name}>"), 4));
}

fn context(root: &Path) -> BuildContext {
    let settings: toml::Table = toml::from_str(&format!("root = '{}'", root.display())).unwrap();
    let data = Component { kind: "unictokens".to_owned(), settings };
    BuildContext::new(Device::flex(), ".").with_data(data)
}

#[test]
fn the_held_out_half_is_judged_by_the_rewards_and_is_not_to_be_empty() {
    let build = |settings: &str, root: &Path| {
        registry::evaluator("rewards", &toml::from_str(settings).unwrap(), &context(root)).map(|e| {
            let splits: Vec<String> = e.tasks().iter().map(|task| e.split(task)).collect();
            let count = |split: &str| splits.iter().filter(|name| *name == split).count();
            (count("textual"), count("visual"), e.candidates())
        })
    };
    // Held-out facts: 3, 2 and 1; questions about held-out photographs: 3, 2 and 2, each about two of them.
    assert_eq!(build("", &concepts()).unwrap(), (6, 7, 4));
    assert_eq!(build("max_tasks = 2\ncandidates = 1", &concepts()).unwrap(), (2, 2, 1));
    assert!(build("candidates = 0", &concepts()).unwrap_err().to_string().contains("1 or more"));

    let folder = copy();
    for name in ["vera", "miso", "kona"] {
        let info = folder.path().join(format!("concept/train/{name}/info.json"));
        let text = fs::read_to_string(&info).unwrap();
        let (start, end) =
            (text.find("\"num_testing_info\": ").unwrap() + 20, text.find(",\n    \"generation_type").unwrap());
        fs::write(&info, format!("{}0{}", &text[..start], &text[end..])).unwrap();
        fs::remove_file(folder.path().join(format!("concept/test/{name}/vqa.json"))).unwrap();
    }
    let error = build("", folder.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    let text = error.to_string();
    assert!(
        text.contains("a held-out half") && text.contains("num_testing_info") && text.contains("vqa.json"),
        "{text}"
    );

    let other = BuildContext::new(Device::flex(), ".");
    let error = registry::evaluator("rewards", &toml::Table::new(), &other).err().unwrap().to_string();
    assert!(error.contains("data.kind: expected `unictokens`"), "{error}");
}

/// The textual answers that an evaluation of `data` with these settings is about.
fn evaluated(settings: &str, data: &str) -> counterpoint::Result<Vec<String>> {
    let data = Component { kind: "unictokens".to_owned(), settings: toml::from_str(data).unwrap() };
    let context = BuildContext::new(Device::flex(), concepts().parent().unwrap()).with_data(data);
    let evaluator = registry::evaluator("rewards", &toml::from_str(settings).unwrap(), &context)?;
    let textual = evaluator.tasks().iter().filter(|task| Pathway::of(task) == Some(Pathway::Textual));
    Ok(textual.map(|task| format!("{} {}", task.base_prompt, task.params["answer"].as_str().unwrap())).collect())
}

#[test]
fn another_folder_is_evaluated_in_the_words_and_of_the_concepts_of_the_run() {
    let other = copy();
    let info = other.path().join("concept/train/kona/info.json");
    let text = fs::read_to_string(&info).unwrap();
    fs::write(&info, text.replace("round marble table", "square marble table")).unwrap();
    let root = format!("root = '{}'", other.path().display());
    let data = "root = 'concepts'\nconcepts = ['<kona>']\n\
                wording = { textual_base_prompt = '{prompt} In detail:' }";
    let own = evaluated("", data).unwrap();
    assert!(own.len() == 1 && own[0].contains(" In detail: ") && own[0].contains("round marble"), "{own:?}");
    assert_eq!(evaluated(&root, data).unwrap(), [own[0].replace("round", "square")]);
    // A relative folder is relative to the config.
    assert_eq!(evaluated("root = 'concepts'", "root = 'nowhere'\nconcepts = ['kona']").unwrap().len(), 1);

    fs::write(other.path().join("concepts_list.json"), r#"["vera", "miso"]"#).unwrap();
    let error = evaluated(&root, data).unwrap_err();
    let text = error.to_string();
    let both = [&*other.path().display().to_string(), "fixtures/concepts"];
    assert!(error.kind() == ErrorKind::Config && both.iter().all(|folder| text.contains(folder)), "{text}");
    assert!(text.contains("evaluation.root") && text.contains("data.concepts") && text.contains("<kona>"), "{text}");
    let all = evaluated(&root, "root = 'concepts'").unwrap();
    assert_eq!(all.len(), 5, "all that are in the other folder: {all:?}");
    let error = format!("{:#}", evaluated("root = 'nowhere'", data).unwrap_err());
    assert!(error.contains("evaluation.root") && error.contains("nowhere"), "{error}");
}
