//! What an author sees: experts behind the C interface, asked by the testing helpers.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;
use std::time::Duration;

use counterpoint_sdk::serde_json::json;
use counterpoint_sdk::testing::{TestExpert, TestImage, TestItem};
use counterpoint_sdk::{Batch, Description, Error, Expert, Image, Level, Score, Setup};
use serde::Deserialize;

/// How near the mean brightness is to a target.
struct Brightness {
    target: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    target: f64,
}

fn mean(image: Image<'_>) -> f64 {
    let rows = (0..image.height()).flat_map(|y| (0..image.width()).map(move |x| image.pixel(x, y)));
    rows.flatten().map(f64::from).sum::<f64>() / (3 * image.width() * image.height()) as f64
}

impl Expert for Brightness {
    const NAME: &'static str = "brightness";

    fn describe() -> Description {
        Description::new("nearness to a brightness").range(0.0, 1.0)
    }

    fn create(setup: &Setup<'_>) -> Result<Self, Error> {
        let Settings { target } = setup.settings()?;
        setup.log(Level::Info, &format!("target {target}"));
        Ok(Self { target })
    }

    fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error> {
        batch.log(Level::Debug, "scoring");
        batch.each(|item| match item.image() {
            Some(image) => Ok(Score::Value(1.0 - (mean(image) - self.target).abs())),
            None => Ok(Score::Abstain("no image".to_owned())),
        })
    }
}

#[test]
fn a_score_an_abstention_and_a_log() {
    let mut expert = TestExpert::<Brightness>::create(&json!({ "target": 1.0 })).unwrap();
    let grey = |level| TestItem::new().image(TestImage::grey(5, 3, level));
    let scores = expert.score(&[grey(255), TestItem::new(), grey(0)]).unwrap();
    assert_eq!(scores, [Score::Value(1.0), Score::Abstain("no image".to_owned()), Score::Value(0.0)]);
    assert_eq!(expert.log(), [(Level::Info, "target 1".to_owned()), (Level::Debug, "scoring".to_owned())]);
}

#[test]
fn gaps_between_rows_change_nothing() {
    let mut expert = TestExpert::<Brightness>::create(&json!({ "target": 0.3 })).unwrap();
    let bytes: Vec<u8> = (0..7 * 4 * 3).map(|i| (i * 37 % 256) as u8).collect();
    let floats: Vec<f32> = bytes.iter().map(|&b| f32::from(b) / 255.0).collect();
    let images = [
        TestImage::rgb8(7, 4, bytes.clone()),
        TestImage::rgb8(7, 4, bytes).padded(11),
        TestImage::rgb_f32(7, 4, floats.clone()),
        TestImage::rgb_f32(7, 4, floats).padded(2),
    ];
    let scores = expert.score(&images.map(|image| TestItem::new().image(image))).unwrap();
    assert!(matches!(scores[0], Score::Value(value) if value.is_finite()), "{:?}", scores[0]);
    assert!(scores.iter().all(|score| *score == scores[0]), "{scores:?}");
}

#[test]
fn settings_that_do_not_fit_are_refused_by_name() {
    let refused = |settings| TestExpert::<Brightness>::create(&settings).err().unwrap().to_string();
    assert!(refused(json!({ "target": "high" })).contains("settings: invalid type: string \"high\", expected f64"));
    assert!(refused(json!({ "target": 1, "traget": 2 })).contains("unknown field `traget`"));
    assert!(refused(json!({})).contains("missing field `target`"));
    assert!(refused(json!([1])).contains("settings: expected a JSON object: "));
}

/// Answers with what the parameters of the first item say.
struct Odd;

#[derive(Deserialize)]
struct Params {
    values: Vec<f64>,
}

impl Expert for Odd {
    const NAME: &'static str = "odd";

    fn describe() -> Description {
        Description::new("two numbers").output("a").range(-1.0, 1.0).output("b")
    }

    fn create(_: &Setup<'_>) -> Result<Self, Error> {
        Ok(Self)
    }

    fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error> {
        match batch.items()[0].prompt() {
            "fewer" => Ok(vec![]),
            "more" => Ok(vec![Score::Fail(String::new()); batch.items().len() + 1]),
            "context" => {
                let item = &batch.items()[0];
                let text = format!(
                    "{} {:?} {} {} {} {}",
                    batch.seed(),
                    batch.deadline(),
                    item.class(),
                    item.candidate(),
                    item.references().len(),
                    item.params_json()
                );
                Ok(vec![Score::Abstain(text)])
            }
            "io" => Err(std::fs::read("").unwrap_err().into()),
            _ => batch.each(|item| Ok(Score::Values(item.params::<Params>()?.values))),
        }
    }
}

#[test]
fn several_outputs_are_counted_and_held_to_their_ranges() {
    let mut expert = TestExpert::<Odd>::create(&()).unwrap();
    let params = ["[1, 2]", "[1.5, 0]", "[1]", "[-1, -1e300]"].map(|values| format!("{{\"values\": {values}}}"));
    let items: Vec<TestItem> = params.into_iter().map(|p| TestItem::new().params_json(p)).collect();
    let scores = expert.score(&[items, vec![TestItem::new().params_json("{"), TestItem::new()]].concat()).unwrap();
    assert_eq!(scores[0], Score::Values(vec![1.0, 2.0]));
    assert_eq!(scores[1], Score::Fail("expected `a` in the declared range -1 to 1, got 1.5".to_owned()));
    assert_eq!(scores[2], Score::Fail("expected 2 values, one for each output, got 1".to_owned()));
    assert_eq!(scores[3], Score::Values(vec![-1.0, -1e300]));
    assert!(matches!(&scores[4], Score::Fail(why) if why.starts_with("params: EOF")), "{:?}", scores[4]);
    assert!(matches!(&scores[5], Score::Fail(why) if why.starts_with("params: missing field `values`")));
}

#[test]
fn a_wrong_number_of_scores_fails_the_call() {
    let mut expert = TestExpert::<Odd>::create(&()).unwrap();
    for (prompt, got) in [("fewer", 0), ("more", 3)] {
        let error = expert.score(&[TestItem::new().prompt(prompt), TestItem::new()]).unwrap_err();
        assert_eq!(error.to_string(), format!("expected 2 scores, one for each item, got {got}"));
    }
    assert_eq!(expert.score(&[]).unwrap(), [], "no items, no scores");
}

#[test]
fn what_belongs_to_the_call_arrives() {
    let mut expert = TestExpert::<Odd>::create(&()).unwrap();
    expert.seed = 7;
    expert.deadline = Some(Duration::from_millis(5));
    let image = TestImage::grey(1, 1, 0);
    let item = TestItem::new().prompt("context").class("person").candidate(3).params(&json!([1]));
    let scores = expert.score(&[item.reference(image.clone()).reference(image)]).unwrap();
    assert_eq!(scores, [Score::Abstain("7 Some(5ms) person 3 2 [1]".to_owned())]);
}

#[test]
fn cancelled_and_failed_calls_are_told_apart() {
    let mut expert = TestExpert::<Odd>::create(&()).unwrap();
    let failed = expert.score(&[TestItem::new().prompt("io")]).unwrap_err();
    assert!(!failed.is_cancelled() && failed.to_string().contains("(os error 2)"), "{failed}");
    expert.cancelled = true;
    assert!(expert.score(&[TestItem::new()]).unwrap_err().is_cancelled());
    expert.cancelled = false;
    assert!(expert.score(&[TestItem::new()]).is_ok(), "and the instance goes on");
}

/// Looks at no settings.
#[test]
fn settings_that_nobody_reads_are_refused() {
    let error = TestExpert::<Odd>::create(&json!({ "b": 1, "a": 2 })).err().unwrap();
    assert_eq!(error.to_string(), "settings: expected none, for this expert has no settings, got a, b");
}

/// Its only setting is a file.
struct File;

impl Expert for File {
    const NAME: &'static str = "file";

    fn describe() -> Description {
        Description::new("whether the answer is in a file")
    }

    fn create(setup: &Setup<'_>) -> Result<Self, Error> {
        let settings: serde_json::Value = setup.settings()?;
        let path = setup.resolve(settings["path"].as_str().unwrap_or_default());
        std::fs::read(&path).map_err(|e| Error::from(e).at(path.display()))?;
        Ok(Self)
    }

    fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error> {
        batch.each(|_| Ok(Score::Value(1.0)))
    }
}

#[test]
fn relative_paths_start_at_the_base() {
    let base = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(TestExpert::<File>::create_at(&json!({ "path": "src/lib.rs" }), base).is_ok());
    let error = TestExpert::<File>::create_at(&json!({ "path": "no.txt" }), base).err().unwrap().to_string();
    assert!(error.contains(&base.join("no.txt").display().to_string()) && error.contains("os error 2"), "{error}");
}

/// Answers with the bytes of the image.
struct Bytes;

impl Expert for Bytes {
    const NAME: &'static str = "bytes";

    fn describe() -> Description {
        Description::new("the image")
    }

    fn create(_: &Setup<'_>) -> Result<Self, Error> {
        Ok(Self)
    }

    fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error> {
        batch.each(|item| Ok(Score::Abstain(format!("{:?}", item.image().map(|image| image.to_rgb8())))))
    }
}

#[test]
fn floats_are_rounded_to_the_nearest_byte_and_clamped() {
    let mut expert = TestExpert::<Bytes>::create(&()).unwrap();
    let floats = [0.0, 1.0, 0.5, 0.498, 0.001, 0.002, -3.0, 7.0, f32::NAN];
    let scores = expert.score(&[TestItem::new().image(TestImage::rgb_f32(3, 1, floats))]).unwrap();
    assert_eq!(scores, [Score::Abstain("Some([0, 255, 128, 127, 0, 1, 0, 255, 0])".to_owned())]);
}
