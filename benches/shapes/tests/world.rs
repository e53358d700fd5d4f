//! The world can be read back from its pixels, and its words say what its images show.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use counterpoint::image::{Rgb, RgbImage, imageops};
use counterpoint::{Evaluator, Key, Reward, Sample, Score, Stream, Streams, Task};
use counterpoint_shapes::language::{question, tagged, vocabulary};
use counterpoint_shapes::{Category, Prompt, SIZE, ShapesEvaluator, ShapesReward, dataset, observe, render};
use serde_json::json;

fn stream(index: u64) -> Stream {
    Streams::new(11).stream(Key::task(0, 0), "test", index)
}

#[test]
fn every_prompt_is_seen_in_its_image_and_no_other_is() {
    let all = Prompt::all();
    assert_eq!(all.len(), 16 + 48 + 144 + 288);
    for (i, prompt) in (0..).zip(&all) {
        let mut stream = stream(i);
        let scene = prompt.scene(&mut stream);
        let image = render(&scene, &mut stream);
        let seen = observe(&image).unwrap();
        let mut expected = scene.things.clone();
        expected.sort_by_key(|(_, cell)| *cell);
        assert_eq!(seen.all_known().unwrap(), expected, "{prompt}");
        let shown: Vec<&Prompt> = all.iter().filter(|other| other.verdict(&seen).image).collect();
        assert!(shown.contains(&prompt));
        for other in shown {
            let (mut a, mut b) = (other.things(), prompt.things());
            a.sort();
            b.sort();
            assert_eq!(a, b, "an image of {prompt:?} was taken for {other:?}");
        }
    }
}

#[test]
fn blurred_and_noisy_images_are_read_and_empty_ones_show_nothing() {
    let mut right = 0;
    let prompts: Vec<Prompt> = Prompt::all().into_iter().step_by(13).collect();
    for (i, prompt) in (0..).zip(&prompts) {
        let mut stream = stream(i);
        let image = imageops::blur(&render(&prompt.scene(&mut stream), &mut stream), 0.8);
        right += usize::from(prompt.verdict(&observe(&image).unwrap()).image);
    }
    assert!(right * 100 >= prompts.len() * 95, "{right} of {}", prompts.len());
    let grey = RgbImage::from_pixel(SIZE, SIZE, Rgb([34; 3]));
    assert!(observe(&grey).unwrap().cells.is_empty());
    let red = RgbImage::from_pixel(SIZE, SIZE, Rgb([215, 45, 40]));
    assert_eq!(observe(&red).unwrap().all_known(), None, "a full cell is no shape");
    assert!(!prompts[0].verdict(&observe(&red).unwrap()).shapes);
    assert!(observe(&RgbImage::new(16, 16)).unwrap_err().to_string().contains("got 16x16"));
}

#[test]
fn likeness_grades_what_is_there_and_is_one_where_the_verdict_is() {
    let parse = |text: &str| Prompt::parse(text).unwrap();
    let seen = |text: &str, index| {
        let mut stream = stream(index);
        observe(&render(&parse(text).scene(&mut stream), &mut stream)).unwrap()
    };
    let near = |wanted: &str, shown: &str, expected: f64| {
        let got = parse(wanted).likeness(&seen(shown, 1));
        assert!((got - expected).abs() < 1e-12, "{wanted}, shown {shown}: {got} is not {expected}");
    };
    near("three red circles", "three red circles", 1.0);
    near("three red circles", "two red circles", 0.8);
    near("three red circles", "three blue circles", 0.5);
    near("three red circles", "three blue squares", 0.0);
    near("a red circle", "a red circle and a blue square", 2.0 / 3.0);
    near("a red circle and a blue square", "a red square and a blue circle", 0.5);
    near("a red circle left of a blue square", "a blue square left of a red circle", 0.75);
    near("a red circle left of a blue square", "a red circle left of a blue square", 1.0);
    assert_eq!(parse("a red circle").likeness(&observe(&RgbImage::from_pixel(SIZE, SIZE, Rgb([34; 3]))).unwrap()), 0.0);
    let all: Vec<Prompt> = Prompt::all().into_iter().step_by(7).collect();
    for (i, shown) in (0..).zip(&all) {
        let mut stream = stream(i);
        let seen = observe(&render(&shown.scene(&mut stream), &mut stream)).unwrap();
        for wanted in &all {
            let likeness = wanted.likeness(&seen);
            assert_eq!(likeness == 1.0, wanted.verdict(&seen).image, "{wanted}, shown {shown}: {likeness}");
            assert!((0.0..=1.0).contains(&likeness));
        }
    }
}

#[test]
fn the_reward_abstains_without_an_image_and_refuses_other_worlds() {
    let task = |prompt: &str| Task::new(0, "").with_base_prompt(prompt);
    let prompt = Prompt::all()[20];
    let mut stream = stream(3);
    let image = Arc::new(render(&prompt.scene(&mut stream), &mut stream));
    let sample = |text: String, image| Sample::new(&task("a red circle"), 0, text, String::new(), image);
    let samples = [
        sample(prompt.to_string(), Some(image.clone())),
        sample(prompt.to_string(), None),
        sample("a hat".into(), Some(image)),
    ];
    let scores = ShapesReward.score(&samples).unwrap();
    assert!(matches!(scores[0], Score::Value(1.0)), "{scores:?}");
    assert!(scores[1..].iter().all(|score| matches!(score, Score::Abstain(_))), "{scores:?}");
    assert!(ShapesReward.check(&[task("a red circle")]).is_ok());
    let error = ShapesReward.check(&[task("a red circle"), task("a photo of a hat")]).unwrap_err().to_string();
    assert!(error.contains("\"a photo of a hat\"") && error.contains("rewards.shapes"), "{error}");
}

#[test]
fn a_verdict_tells_shapes_from_colours_and_places() {
    let seen = |text: &str, index| {
        let mut stream = stream(index);
        let scene = Prompt::parse(text).unwrap().scene(&mut stream);
        observe(&render(&scene, &mut stream)).unwrap()
    };
    let verdict = |prompt: &str, shown: &str| {
        let verdict = Prompt::parse(prompt).unwrap().verdict(&seen(shown, 3));
        (verdict.shapes, verdict.image)
    };
    assert_eq!(verdict("a red circle and a blue square", "a blue square left of a red circle"), (true, true));
    assert_eq!(verdict("a red circle left of a blue square", "a blue square left of a red circle"), (true, false));
    assert_eq!(verdict("a red circle and a blue square", "a blue circle and a red square"), (true, false));
    assert_eq!(verdict("three red circles", "two red circles"), (false, false));
    assert_eq!(verdict("a red circle", "a red square"), (false, false));
    assert_eq!(verdict("a red circle", "two red circles"), (false, false), "nothing else may be there");
}

#[test]
fn prompts_are_words_and_come_back_from_them() {
    let words = vocabulary();
    for prompt in Prompt::all() {
        let text = prompt.to_string();
        assert_eq!(Prompt::parse(&text), Some(prompt));
        assert!(text.split(' ').all(|word| words.contains(&word)), "{text}");
    }
    for no_prompt in [
        "",
        "a",
        "a red",
        "red circle",
        "five red circles",
        "one red circles",
        "a red circle and",
        "a red circle right of a blue square",
    ] {
        assert_eq!(Prompt::parse(no_prompt), None, "{no_prompt:?}");
    }
}

#[test]
fn a_quarter_of_each_category_is_held_out_and_pairs_are_in_both_orders() {
    let mut counts: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for prompt in Prompt::all() {
        counts.entry(prompt.category().name()).or_default()[usize::from(prompt.is_held_out())] += 1;
        if let Prompt::Two(a, b) = prompt {
            assert_eq!(prompt.is_held_out(), Prompt::Two(b, a).is_held_out());
        }
    }
    assert_eq!(counts["colours"], [16, 0]);
    for name in ["counting", "attribution", "position"] {
        let [known, held_out] = counts[name];
        let share = held_out as f64 / (known + held_out) as f64;
        assert!((0.2..0.3).contains(&share), "{name}: {share}");
    }
}

#[test]
fn questions_are_answered_right_by_their_solutions_alone() {
    let words = vocabulary();
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for (i, prompt) in (0..).zip(Prompt::all()) {
        let mut stream = stream(i);
        let asked = question(&prompt.scene(&mut stream), &mut stream);
        *kinds.entry(asked.kind).or_default() += 1;
        for word in asked.problem.replace('.', " .").split_whitespace() {
            assert!(words.contains(&word), "{word}");
        }
        let params = json!({"qa_problem": asked.problem, "qa_solution": asked.solution, "qa_type": asked.kind});
        let task = Task::new(0, "").with_base_prompt(prompt.to_string()).with_params(params);
        let mut evaluator = ShapesEvaluator::new(vec![task.clone()]).unwrap();
        let mut said = |answer: &str| {
            let sample = Sample::new(&task, 0, String::new(), tagged("a red circle", answer), None);
            let scores = evaluator.judge(&task, &[sample]).unwrap().remove(0);
            assert_eq!(scores[1], ("format".to_owned(), 1.0));
            scores[0].1
        };
        assert_eq!(said(&asked.solution), 1.0, "{asked:?}");
        assert_eq!(asked.wrong.len(), 3);
        assert!(asked.wrong.iter().all(|answer| said(answer) == 0.0), "{asked:?}");
    }
    assert!(kinds["MC"] > 200 && kinds["OE"] > 200, "{kinds:?}");
}

#[test]
fn the_evaluation_judges_images_and_refuses_prompts_of_another_world() {
    let task = Task::new(4, "").with_base_prompt("two blue crosses").with_params(json!({"qa_solution": "two"}));
    let mut evaluator = ShapesEvaluator::new(vec![task]).unwrap();
    let task = evaluator.tasks()[0].clone();
    let sample = |text: &str| {
        let mut stream = stream(2);
        let image = render(&Prompt::parse(text).unwrap().scene(&mut stream), &mut stream);
        Sample::new(&task, 0, text.to_owned(), String::new(), Some(Arc::new(image)))
    };
    let judged = evaluator.judge(&task, &[sample("two blue crosses"), sample("two red crosses")]).unwrap();
    let scores = |i: usize| judged[i].iter().map(|(_, score)| *score).collect::<Vec<_>>();
    assert_eq!(scores(0), [0.0, 0.0, 1.0, 1.0], "answer, format, shapes, image");
    assert_eq!(scores(1), [0.0, 0.0, 1.0, 0.0]);
    assert_eq!(evaluator.split(&task), Category::Counting.name());
    let error = ShapesEvaluator::new(vec![Task::new(0, "").with_base_prompt("a dog")]).err().unwrap();
    assert!(error.to_string().contains("got \"a dog\""), "{error}");
    assert!(evaluator.with_candidates(0).is_err());
}

#[test]
fn the_committed_files_are_what_the_generator_writes() {
    let folder = tempfile::tempdir().unwrap();
    dataset::write(folder.path()).unwrap();
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    let mut seen = 0;
    for part in ["", "images"] {
        for entry in std::fs::read_dir(folder.path().join(part)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                let name = Path::new(part).join(entry.file_name());
                assert_eq!(
                    std::fs::read(entry.path()).unwrap(),
                    std::fs::read(committed.join(&name)).unwrap(),
                    "{name:?}"
                );
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 3 + 4 * 60 + 2 * 3 * 18);
    let rows = |name: &str| std::fs::read_to_string(committed.join(name)).unwrap();
    let prompts = |text: &str| -> Vec<String> {
        text.lines().map(|row| serde_json::from_str::<serde_json::Value>(row).unwrap()["prompt"].to_string()).collect()
    };
    let [train, validation, held_out] =
        ["train.jsonl", "validation.jsonl", "held_out.jsonl"].map(|name| prompts(&rows(name)));
    assert!(validation.iter().chain(&held_out).all(|prompt| !train.contains(prompt)));
    assert!(held_out.iter().all(|prompt| !validation.contains(prompt)));
}
