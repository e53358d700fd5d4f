//! UnifyBench++ on a researcher's own concepts: what is asked, and what is measured of the answers and images.
#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use counterpoint::burn::tensor::Device;
use counterpoint::config::Component;
use counterpoint::registry::{self, BuildContext, RewardEntry};
use counterpoint::{ErrorKind, Evaluator, Result, Reward, Sample, Score, Task, inventory, toml};
use counterpoint_unictokens::Part;
use counterpoint_unifybench as _;
use image::RgbImage;

/// How long the prompt is; fails of prompts with `snow`.
struct Length;

impl Reward for Length {
    fn name(&self) -> &str {
        "length"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let one = |sample: &Sample| match sample.prompt.contains("snow") {
            true => Score::Fail("no answer".into()),
            false => Score::Value(sample.prompt.len() as f64),
        };
        Ok(samples.iter().map(one).collect())
    }
}

inventory::submit! { RewardEntry::new("length", |_, _| Ok(Box::new(Length))) }

fn context() -> BuildContext {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../unictokens/tests/fixtures");
    let data = Component { kind: "unictokens".to_owned(), settings: toml::from_str("root = 'concepts'").unwrap() };
    BuildContext::new(Device::flex(), base).with_data(data)
}

fn build(settings: &str) -> Result<Box<dyn Evaluator>> {
    registry::evaluator("benchmark", &toml::from_str(settings).unwrap(), &context())
}

fn of_part(evaluator: &dyn Evaluator, part: Part) -> Vec<Task> {
    evaluator.tasks().iter().filter(|task| Part::of(task) == Some(part)).cloned().collect()
}

fn sample(task: &Task, response: &str) -> Sample {
    let image = task.generates.then(|| Arc::new(RgbImage::new(4, 4)));
    Sample::new(task, 0, format!("{} {response}", task.base_prompt).trim().to_owned(), response.to_owned(), image)
}

#[test]
fn every_part_that_the_data_have_something_for_is_examined() {
    let evaluator = build("").unwrap();
    let count = |part| of_part(evaluator.as_ref(), part).len();
    let counts: BTreeMap<String, usize> = Part::ALL.map(|part| (part.to_string(), count(part))).into();
    // Three concepts, one of them a person, of two held-out photographs each and one, two and three held-out facts; no dense prompts.
    let expected = [
        ("recognition", 12),
        ("vqa", 14),
        ("qa", 13),
        ("generation", 3),
        ("people", 1),
        ("knowledge", 6),
        ("dense", 0),
        ("dense_reasoning", 0),
    ];
    assert_eq!(counts, expected.map(|(part, count)| (part.to_owned(), count)).into());

    for task in of_part(evaluator.as_ref(), Part::Recognition) {
        assert!(task.image.is_some() && !task.generates && task.question.contains('<'), "{task:?}");
    }
    let yes = |task: &&Task| evaluator.answer(task) == "Yes.";
    assert_eq!(of_part(evaluator.as_ref(), Part::Recognition).iter().filter(yes).count(), 6);
    assert!(of_part(evaluator.as_ref(), Part::Qa).iter().all(|task| task.image.is_none() && !task.generates));
    let people = of_part(evaluator.as_ref(), Part::People).remove(0);
    assert_eq!((people.class.as_str(), people.response.as_deref()), ("person", Some("")));
    let knowledge = of_part(evaluator.as_ref(), Part::Knowledge);
    assert!(knowledge.iter().all(|task| task.response.is_none() && task.generates && task.references.len() == 4));

    let few = build("max_tasks = 1").unwrap();
    assert_eq!((of_part(few.as_ref(), Part::Vqa).len(), of_part(few.as_ref(), Part::Knowledge).len()), (3, 3));
}

#[test]
fn plain_prompts_are_those_of_the_concepts_kind() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = |text: &str| -> PathBuf {
        let file = folder.path().join("prompts.json");
        std::fs::write(&file, text).unwrap();
        file
    };
    let file = prompts(r#"{"live_subject": ["a <sks> in the snow", "a <sks> asleep"], "object": ["a red <sks>"]}"#);
    let evaluator = build(&format!("prompts = '{}'", file.display()));
    let evaluator = evaluator.unwrap();
    let mut asked: Vec<String> =
        of_part(evaluator.as_ref(), Part::Generation).into_iter().map(|task| task.base_prompt).collect();
    asked.sort();
    let expected =
        ["a <miso> asleep", "a <miso> in the snow", "a <vera> asleep", "a <vera> in the snow", "a red <kona>"];
    assert_eq!(asked, expected);

    let file = prompts(r#"{"object": ["a red <sks>"]}"#);
    let error = build(&format!("prompts = '{}'", file.display())).err().unwrap();
    let text = error.to_string();
    assert!(error.kind() == ErrorKind::Data && text.contains("info.json") && text.contains("`live_subject`"), "{text}");
}

#[test]
fn answers_and_images_are_measured_part_by_part() {
    let settings = "answers.long.kind = 'length'\nalignment.fits.kind = 'length'\nlikeness.like.kind = 'length'\n\
                    faces.face.kind = 'length'\nknowledge.asked.kind = 'length'";
    let mut evaluator = build(settings).unwrap();
    let mut scores = |task: &Task, response: &str| {
        let scores = evaluator.judge(task, &[sample(task, response)]).unwrap().remove(0);
        scores.into_iter().collect::<BTreeMap<String, f64>>()
    };
    let tasks = build("").unwrap();
    let task = |part| of_part(tasks.as_ref(), part).remove(0);

    let shown = task(Part::Recognition);
    let expected = [("recognition/accuracy".to_owned(), 1.0), ("recognition/recall".to_owned(), 1.0)];
    assert_eq!(scores(&shown, "Yes, it is."), expected.clone().into());
    assert_eq!(scores(&shown, "I know nothing."), expected.map(|(name, _)| (name, 0.0)).into());

    let vqa = task(Part::Vqa);
    let right = tasks.answer(&vqa);
    let said = scores(&vqa, &right);
    assert_eq!(said["vqa/bleu"], 1.0);
    assert_eq!(said["vqa/long"], right.len() as f64);
    assert_eq!(said.len(), 2);
    // One that does not answer leaves no score.
    assert_eq!(scores(&vqa, "snow").keys().collect::<Vec<_>>(), ["vqa/bleu"]);

    assert_eq!(scores(&task(Part::People), "").keys().collect::<Vec<_>>(), ["people/face"]);
    let plain = task(Part::Generation);
    assert_eq!(scores(&plain, "")["generation/fits"], plain.base_prompt.len() as f64);
    let knowledge = task(Part::Knowledge);
    let judged = scores(&knowledge, "a wrong answer");
    // Against the prompt with its fact, and by the prompt as it was put; never by what the model made of it.
    let fact = tasks.answer(&knowledge);
    assert_eq!(judged["knowledge/fits"], (knowledge.base_prompt.len() + 1 + fact.len()) as f64);
    assert_eq!(judged["knowledge/asked"], knowledge.base_prompt.len() as f64);
    assert!(judged["knowledge/bleu"] < 1.0 && judged.contains_key("knowledge/like"));

    let error = build("answers.long.kind = 'lenght'").err().unwrap().to_string();
    assert!(error.contains("evaluation.answers.long") && error.contains("did you mean `length`"), "{error}");
}

#[test]
fn dense_prompts_are_compared_segment_by_segment() {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let data = toml::from_str("root = 'unifybench-mini'\nconcepts = ['ada']").unwrap();
    let data = Component { kind: "unictokens".to_owned(), settings: data };
    let context = BuildContext::new(Device::flex(), base).with_data(data);
    let settings = toml::from_str("alignment.fits.kind = 'length'").unwrap();
    let mut evaluator = registry::evaluator("benchmark", &settings, &context).unwrap();
    let dense = of_part(evaluator.as_ref(), Part::Dense);
    let reasoned = of_part(evaluator.as_ref(), Part::DenseReasoning);
    assert_eq!((dense.len(), reasoned.len()), (4, 4));
    assert_eq!(reasoned[0].base_prompt, "a photo of <ada>, at the desert, on the dunes, by the cactus.");
    assert_eq!(evaluator.answer(&reasoned[0]), "desert green ball.");
    // What is to be seen is written out: "a photo of <ada> with a green ball, at the desert, on the dunes, by the cactus."
    let judged = evaluator.judge(&reasoned[0], &[sample(&reasoned[0], "desert red hat.")]).unwrap().remove(0);
    let fits = judged.iter().find(|(name, _)| name == "dense_reasoning/fits").unwrap().1;
    assert_eq!(fits, (34.0 + 13.0 + 12.0 + 13.0) / 4.0);
    // A segment that was not judged leaves the whole prompt without a score.
    let snow = dense.iter().find(|task| task.base_prompt.contains("snow")).unwrap();
    assert!(evaluator.judge(snow, &[sample(snow, "")]).unwrap()[0].is_empty());
}
