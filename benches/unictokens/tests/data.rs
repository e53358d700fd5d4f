//! Reading concept folders and making tasks of them: what is read, every error, and determinism.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::HashSet;
use std::path::Path;

use counterpoint::{FlatTasks, Result, Streams, Task, TaskOrder, TaskSource};
use counterpoint_unictokens::{Concept, ConceptSet, Pathway, PersonalTasks, Split, Wording, concept_of};
use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use tempfile::TempDir;

fn write(root: &Path, path: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

fn picture(root: &Path, path: &str, colour: [u8; 3]) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    RgbImage::from_pixel(16, 16, Rgb(colour)).save(path).unwrap();
}

fn questions(entries: &[(&str, &[(&str, &str)])]) -> String {
    let entries = entries.iter().map(|(key, exchanges)| {
        let exchanges =
            exchanges.iter().map(|(query, answer)| json!({ "query": query, "answer": answer, "type": "x" }));
        ((*key).to_owned(), exchanges.collect::<Value>())
    });
    Value::Object(entries.collect()).to_string()
}

/// Two concepts: `ada` with four facts, three PNGs and questions; `bo` with a JPEG, as foreign as the layout allows.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "concepts_list.json", r#"["ada", "bo"]"#);
    write(root, "concept/train/train_images.json", r#"{"ada": ["0.png", "1.png"]}"#);
    let info = json!({
        "name": "ada", "class": "person", "info": "<ada> is a woman.", "num_testing_info": 1, "unknown": {},
        "extra_info": ["fact a.", "fact b.", "fact c.", "fact d."],
    });
    write(root, "concept/train/ada/info.json", info.to_string());
    for (k, file) in ["train/ada/0.png", "train/ada/1.png", "test/ada/0.png"].iter().enumerate() {
        picture(root, &format!("concept/{file}"), [10 + k as u8, 0, 0]);
    }
    let about = questions(&[
        ("0.png", &[("q0", "fact a."), ("q1", "something else.")]),
        ("1.png", &[("q2", "fact b.")]),
        ("text_only", &[("never asked about an image", "x")]),
    ]);
    write(root, "concept/train/ada/conversations.json", about);
    write(root, "concept/test/ada/vqa.json", questions(&[("0.png", &[("q3", "fact d.")])]));
    let prompts = json!({ "personalized_driven_generation": ["p a", "p b", "p c", "p d"], "other": [] });
    write(root, "concept/test/ada/t2i_conditions.json", prompts.to_string());

    write(root, "concept/train/bo/info.json", r#"{"class": "dog", "extra_info": ["fact x.", "fact y.", "fact z."]}"#);
    write(root, "concept/test/bo/t2i_conditions.json", r#"{"personalized_driven_generation": ["p x", "p y", "p z"]}"#);
    picture(root, "concept/train/bo/10.png", [1, 2, 3]);
    picture(root, "concept/train/bo/0.jpeg", [200, 100, 50]);
    write(root, "concept/train/bo/0_mask.png", "not read");
    folder
}

fn read(folder: &TempDir, name: &str) -> Result<Concept> {
    ConceptSet::open(folder.path())?.concept(name)
}

fn refused(folder: &TempDir, name: &str, needles: &[&str]) {
    let error = read(folder, name).unwrap_err().to_string();
    for needle in needles {
        assert!(error.contains(needle), "`{needle}` is not in: {error}");
    }
}

fn concepts(folder: &TempDir) -> Vec<Concept> {
    ["ada", "bo"].map(|name| read(folder, name).unwrap()).to_vec()
}

#[test]
fn a_concept_is_read_with_facts_prompts_images_and_questions() {
    let folder = folder();
    assert_eq!(ConceptSet::open(folder.path()).unwrap().names(), ["ada", "bo"]);
    let ada = read(&folder, "<ada>").unwrap();
    assert_eq!(ada, read(&folder, "ada").unwrap());
    assert_eq!((ada.token().as_str(), ada.class.as_str(), ada.info.as_str()), ("<ada>", "person", "<ada> is a woman."));
    assert_eq!(ada.facts, ["fact a.", "fact b.", "fact c.", "fact d."]);
    assert_eq!(ada.prompts, ["p a", "p b", "p c", "p d"]);
    assert_eq!(ada.training_facts, 3);
    let asked: Vec<usize> = ada.train.iter().map(|p| p.questions.len()).collect();
    assert_eq!((asked, ada.test.len()), (vec![2, 1], 1));
    assert_eq!(ada.test[0].questions[0].answer, "fact d.");
    assert_eq!(ada.train[1].load().unwrap().get_pixel(3, 3), &Rgb([11, 0, 0]));
}

#[test]
fn images_are_found_by_number_and_jpegs_are_decoded() {
    let bo = read(&folder(), "bo").unwrap();
    let names: Vec<_> = bo.train.iter().map(|p| p.path.file_name().unwrap().to_owned()).collect();
    assert_eq!(names, ["0.jpeg", "10.png"]);
    assert_eq!(bo.training_facts, 2, "without num_testing_info, half is held out, rounded down");
    let folder = folder();
    let decoded = read(&folder, "bo").unwrap().train[0].load().unwrap();
    let [r, g, b] = decoded.get_pixel(8, 8).0;
    assert!(r.abs_diff(200) < 8 && g.abs_diff(100) < 8 && b.abs_diff(50) < 8, "{r} {g} {b}");
}

#[test]
fn without_a_list_the_folders_are_the_concepts() {
    let folder = folder();
    std::fs::remove_file(folder.path().join("concepts_list.json")).unwrap();
    assert_eq!(ConceptSet::open(folder.path()).unwrap().names(), ["ada", "bo"]);
    let empty = tempfile::tempdir().unwrap();
    let error = ConceptSet::open(empty.path()).unwrap_err().to_string();
    assert!(error.contains("concepts_list.json") && error.contains("concept/train"), "{error}");
    write(empty.path(), "concepts_list.json", "[]");
    assert!(ConceptSet::open(empty.path()).unwrap_err().to_string().contains("got none"));
}

#[test]
fn an_unknown_concept_lists_the_available_nearest_first() {
    refused(&folder(), "<bob>", &["no concept <bob>", "there are: <bo>, <ada>"]);
    refused(&folder(), "../ada", &["no concept <../ada>"]);
}

#[test]
fn a_missing_image_is_named_by_its_path() {
    let folder = folder();
    std::fs::remove_file(folder.path().join("concept/train/ada/1.png")).unwrap();
    refused(&folder, "ada", &["missing image", "concept/train/ada/1.png", "train_images.json"]);
    for file in ["0.jpeg", "10.png"] {
        std::fs::remove_file(folder.path().join("concept/train/bo").join(file)).unwrap();
    }
    refused(&folder, "bo", &["missing image", "concept/train/bo/0.png", "0.jpeg"]);
}

#[test]
fn an_image_that_cannot_be_decoded_is_named_with_what_is_expected() {
    let folder = folder();
    write(folder.path(), "concept/train/bo/0.jpeg", b"\xff\xd8\xff\xe0 cut off");
    let bo = read(&folder, "bo").unwrap();
    for error in [bo.train[0].load().unwrap_err(), PersonalTasks::new(vec![bo], Split::Train, 0.0).err().unwrap()] {
        let error = error.to_string();
        assert!(error.contains("0.jpeg") && error.contains("JPEG") && error.contains("PNG"), "{error}");
    }
}

#[test]
fn malformed_json_is_named_by_file_line_column_and_key() {
    let folder = folder();
    write(folder.path(), "concept/train/ada/info.json", "{\n  \"class\": \"person\",\n  \"extra_info\": [\"a\", 3]\n}");
    refused(&folder, "ada", &["ada/info.json:3:23, key `extra_info[1]`", "expected a string"]);
    write(folder.path(), "concept/train/ada/info.json", "{\n  \"class\" \"person\"\n}");
    refused(&folder, "ada", &["ada/info.json:2:11", "expected `:`"]);
    write(folder.path(), "concept/train/ada/info.json", "{ \"extra_info\": [] }");
    refused(&folder, "ada", &["ada/info.json:1:", "missing field `class`"]);
    write(folder.path(), "concept/train/ada/info.json", "{ \"class\": \"person\" } {");
    refused(&folder, "ada", &["ada/info.json:1:", "trailing"]);
    std::fs::remove_file(folder.path().join("concept/train/ada/info.json")).unwrap();
    refused(&folder, "ada", &["cannot read", "ada/info.json"]);
}

#[test]
fn a_concept_needs_facts_and_as_many_prompts() {
    let folder = folder();
    write(folder.path(), "concept/train/ada/info.json", r#"{"class": "person"}"#);
    refused(&folder, "ada", &["ada/info.json", "`extra_info`", "<ada>", "got none"]);
    write(folder.path(), "concept/train/ada/info.json", r#"{"class": "person", "extra_info": ["a", "b"]}"#);
    refused(&folder, "ada", &["got 4 prompts", "2 facts", "t2i_conditions.json", "info.json"]);
    let too_many = r#"{"class": "person", "extra_info": ["a", "b", "c", "d"], "num_testing_info": 5}"#;
    write(folder.path(), "concept/train/ada/info.json", too_many);
    refused(&folder, "ada", &["`num_testing_info` of at most 4", "got 5"]);
}

#[test]
fn tasks_of_both_pathways_have_what_policy_and_rewards_need() {
    let folder = folder();
    let tasks = PersonalTasks::new(concepts(&folder), Split::Train, 0.5).unwrap();
    let textual = tasks.all(Pathway::Textual).unwrap();
    assert_eq!(textual.len(), 3 + 2);
    let t = &textual[1];
    assert_eq!((concept_of(t), t.class.as_str(), t.base_prompt.as_str()), (Some("<ada>"), "person", "p b"));
    assert_eq!(t.question, "information about <ada>: fact a. fact b. fact c. fact d. which fits: p b");
    assert!(t.image.is_none());
    let facts = ["fact a.", "fact b.", "fact c.", "fact d."];
    let expected = json!({
        "facts": facts, "target": 1, "answer": "fact b.", "prompt": "p b", "concept": "<ada>", "pathway": "textual",
        "noun": "person",
    });
    assert_eq!(*t.params, expected);
    assert_eq!(t.references[0].get_pixel(0, 0), &Rgb([10, 0, 0]));

    let visual = tasks.all(Pathway::Visual).unwrap();
    assert_eq!(visual.iter().map(|t| t.question.as_str()).collect::<Vec<_>>(), ["q0", "q1", "q2"]);
    assert_eq!(visual[2].base_prompt, "a photo of <ada>.");
    assert_eq!(visual[2].image.as_ref().unwrap().get_pixel(0, 0), &Rgb([11, 0, 0]));
    assert_eq!(visual[2].params["target"], 1);
    assert_eq!(visual[2].params["pathway"], "visual");
}

#[test]
fn a_visual_tasks_candidates_are_the_answers_about_its_image() {
    let folder = folder();
    let visual = || PersonalTasks::new(concepts(&folder), Split::Train, 0.5).unwrap().all(Pathway::Visual).unwrap();
    let tasks = visual();
    let answers = ["fact a.", "something else."];
    let params = |facts: &[&str], target: u64, answer: &str| json!({ "facts": facts, "target": target, "answer": answer, "concept": "<ada>", "pathway": "visual", "noun": "person" });
    assert_eq!(*tasks[0].params, params(&answers, 0, "fact a."));
    assert_eq!(*tasks[1].params, params(&answers, 1, "something else."));
    // One answer about the image, which is a fact: the facts.
    let facts = ["fact a.", "fact b.", "fact c.", "fact d."];
    assert_eq!(*tasks[2].params, params(&facts, 1, "fact b."));

    let about = questions(&[
        ("0.png", &[("q0", "one."), ("q1", "two."), ("q2", "one."), ("q3", "three.")]),
        ("1.png", &[("q4", "new."), ("q5", "new.")]),
    ]);
    write(folder.path(), "concept/train/ada/conversations.json", about);
    let tasks = visual();
    for (task, target) in tasks.iter().zip([0, 1, 0, 2]) {
        assert_eq!(task.params["facts"], json!(["one.", "two.", "three."]), "each answer once");
        assert_eq!(task.params["target"], target);
    }
    // One answer, however often it is given, that is no fact: the facts, and it.
    for task in &tasks[4..] {
        let facts = ["fact a.", "fact b.", "fact c.", "fact d.", "new."];
        assert_eq!(*task.params, params(&facts, 4, "new."));
    }
}

#[test]
fn the_held_out_half_shares_nothing_with_the_training_half() {
    let folder = folder();
    let all = |split, pathway| PersonalTasks::new(concepts(&folder), split, 0.5).unwrap().all(pathway).unwrap();
    let answers = |tasks: Vec<Task>| tasks.iter().map(|t| t.params["answer"].to_string()).collect::<HashSet<_>>();
    for pathway in [Pathway::Textual, Pathway::Visual] {
        let (train, held_out) = (answers(all(Split::Train, pathway)), answers(all(Split::HeldOut, pathway)));
        assert!(!held_out.is_empty() && train.is_disjoint(&held_out), "{train:?} {held_out:?}");
    }
    let picture = all(Split::HeldOut, Pathway::Visual)[0].image.clone().unwrap();
    assert_eq!(picture.get_pixel(0, 0), &Rgb([12, 0, 0]));
}

#[test]
fn a_task_depends_on_seed_step_and_cursor_alone() {
    let folder = folder();
    let tasks = PersonalTasks::new(concepts(&folder), Split::Train, 0.5).unwrap();
    let again = PersonalTasks::new(concepts(&folder), Split::Train, 0.5).unwrap();
    let key = |t: Task| (t.id, t.question, t.base_prompt, t.params.to_string());
    let draw = |source: &PersonalTasks, seed, step| {
        (0..64).map(|c| key(source.task(step, c, &Streams::new(seed)).unwrap())).collect::<Vec<_>>()
    };
    let mut backwards: Vec<_> = (0..64).rev().map(|c| key(again.task(1, c, &Streams::new(7)).unwrap())).collect();
    backwards.reverse();
    assert_eq!(draw(&tasks, 7, 1), backwards);
    assert_ne!(draw(&tasks, 7, 1), draw(&tasks, 8, 1));
    assert_ne!(draw(&tasks, 7, 1), draw(&tasks, 7, 2));
    // Its number is that of what is asked.
    let drawn = draw(&tasks, 7, 1);
    assert!(drawn.iter().all(|a| drawn.iter().all(|b| (a.0 == b.0) == (a.1 == b.1 && a.3 == b.3))));
}

#[test]
fn pathways_are_drawn_in_the_proportion_asked_for() {
    let folder = folder();
    let share = |visual_share| {
        let tasks = PersonalTasks::new(concepts(&folder), Split::Train, visual_share).unwrap();
        let pathway = |c| Pathway::of(&tasks.task(0, c, &Streams::new(3)).unwrap());
        (0..1000).filter(|c| pathway(*c) == Some(Pathway::Visual)).count()
    };
    assert_eq!((share(0.0), share(1.0)), (0, 1000));
    assert!((440..560).contains(&share(0.5)) && (200..300).contains(&share(0.25)));
}

#[test]
fn a_share_of_tasks_is_answered_alone_evenly_and_of_every_kind() {
    let folder = folder();
    let tasks = |share| PersonalTasks::new(concepts(&folder), Split::Train, 0.5).unwrap().with_answer_share(share);
    let (all, some) = (tasks(0.0).unwrap(), tasks(0.7).unwrap());
    let (mut alone, mut visual) = (0, 0);
    for cursor in 0..200 {
        let [whole, task] = [&all, &some].map(|tasks| tasks.task(0, cursor, &Streams::new(3)).unwrap());
        // The same task: only what is asked of it differs.
        assert!(whole.generates && whole.question == task.question && whole.params == task.params);
        if !task.generates {
            alone += 1;
            visual += usize::from(Pathway::of(&task) == Some(Pathway::Visual));
        }
        assert_eq!(alone, ((cursor + 1) as f64 * 0.7).floor() as usize);
    }
    assert!((50..90).contains(&visual), "{visual} of {alone}");
    assert!(!tasks(1.0).unwrap().task(0, 0, &Streams::new(3)).unwrap().generates);
    assert!(tasks(1.2).err().unwrap().to_string().contains("[0, 1]"));
}

#[test]
fn tasks_in_order_are_each_pathways_all_and_those_that_teach_nothing_are_passed_over() {
    let folder = folder();
    let tasks = |order| {
        let tasks = PersonalTasks::new(concepts(&folder), Split::Train, 0.5).unwrap();
        tasks.with_order(order).with_answer_share(0.5).unwrap().without_flat(1)
    };
    let drawn = |tasks: &PersonalTasks, n: u64| -> Vec<Task> {
        (0..n).map(|cursor| tasks.task(0, cursor, &Streams::new(3)).unwrap()).collect()
    };
    let sequential = tasks(TaskOrder::Sequential);
    let all = |pathway| sequential.all(pathway).unwrap();
    let (textual, visual) = (all(Pathway::Textual), all(Pathway::Visual));
    let n = 2 * textual.len().max(visual.len()) as u64;
    for (pathway, expected) in [(Pathway::Textual, &textual), (Pathway::Visual, &visual)] {
        let of = |tasks: Vec<Task>| tasks.into_iter().filter(move |task| Pathway::of(task) == Some(pathway));
        let mut asked = of(drawn(&sequential, n));
        for expected in expected {
            let task = asked.next().unwrap();
            assert!(task.question == expected.question && task.params == expected.params);
        }
        // Half of each pathway is answered alone.
        let (alone, painted): (Vec<_>, Vec<_>) = of(drawn(&sequential, n)).partition(|task| !task.generates);
        assert!(alone.len().abs_diff(painted.len()) <= 1, "{} {}", alone.len(), painted.len());
        let ids: HashSet<u64> =
            of(drawn(&tasks(TaskOrder::Shuffled), n)).map(|task| task.id).take(expected.len()).collect();
        assert_eq!(ids.len(), expected.len(), "every one once");
    }
    for order in [TaskOrder::Random, TaskOrder::Sequential] {
        let mut tasks = tasks(order);
        let first = drawn(&tasks, 1).remove(0).id;
        assert!(drawn(&tasks, 60).iter().filter(|task| task.id == first).count() > 1);
        let mut flat = FlatTasks::after(1);
        flat.saw(first, Some(true));
        tasks.restore(&flat.state()).unwrap();
        assert!(drawn(&tasks, 60).iter().all(|task| task.id != first), "{order:?}");
    }
}

#[test]
fn prompts_may_be_a_bare_list_after_the_plain_photograph() {
    let folder = folder();
    let path = "concept/test/bo/t2i_conditions.json";
    write(folder.path(), path, r#"["A photo of <bo>.", "p x", "p y", "p z"]"#);
    assert_eq!(read(&folder, "bo").unwrap().prompts, ["p x", "p y", "p z"]);
    write(folder.path(), path, r#"["A photo of <bo>.", "p x"]"#);
    refused(&folder, "bo", &["got 1 prompts", "3 facts", "t2i_conditions.json"]);
    write(folder.path(), path, r#"["A photo of <bo>.", 7]"#);
    refused(&folder, "bo", &["t2i_conditions.json", "[1]", "expected a string"]);
}

#[test]
fn wording_can_be_changed() {
    let folder = folder();
    let wording = Wording {
        textual_question: "{prompt}? {facts}".to_owned(),
        visual_base_prompt: "draw {concept}".to_owned(),
        ..Wording::default()
    };
    let tasks = PersonalTasks::new(concepts(&folder), Split::Train, 0.5).unwrap().with_wording(wording);
    assert_eq!(tasks.all(Pathway::Textual).unwrap()[0].question, "p a? fact a. fact b. fact c. fact d.");
    assert_eq!(tasks.all(Pathway::Visual).unwrap()[0].base_prompt, "draw <ada>");
}

#[test]
fn impossible_requests_are_refused() {
    let folder = folder();
    let refused = |concepts, split, share| PersonalTasks::new(concepts, split, share).err().unwrap().to_string();
    assert!(refused(vec![], Split::Train, 0.5).contains("at least one concept"));
    for share in [-0.1, 1.5, f64::NAN] {
        assert!(refused(concepts(&folder), Split::Train, share).contains("[0, 1]"));
    }
    let bo = || vec![read(&folder, "bo").unwrap()];
    std::fs::create_dir_all(folder.path().join("concept/test/bo")).unwrap();
    assert!(refused(bo(), Split::Train, 0.5).contains("conversations.json"));
    assert!(refused(bo(), Split::HeldOut, 0.5).contains("vqa.json"));
    assert!(PersonalTasks::new(bo(), Split::HeldOut, 0.0).is_ok());
    assert_eq!("held_out".parse::<Split>().unwrap(), Split::HeldOut);
    assert!("test".parse::<Split>().unwrap_err().to_string().contains("`held_out`, got `test`"));
}
