//! FER on the committed detector and tower.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::Device;
use counterpoint::registry::{self, BuildContext};
use counterpoint::{ErrorKind, Reward, Sample, Score, Task};
use counterpoint_encoders::face::MtcnnConfig;
use counterpoint_fer::{Fer, FerConfig, NoFace};
use image::imageops::overlay;
use image::{Rgb, RgbImage};
use serde_json::json;

fn bench() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/unifybench")
}

fn config() -> FerConfig {
    let towers = bench().join("assets/towers/fer");
    FerConfig { batch: 3, ..FerConfig::new(towers.join("detector"), towers.join("embedding")) }
}

fn fer() -> Fer {
    config().init(&Device::flex()).unwrap()
}

fn picture(split: &str, concept: &str, k: usize) -> Arc<RgbImage> {
    let path = format!("data/unifybench-mini/concept/{split}/{concept}/{k}.png");
    Arc::new(image::open(bench().join(path)).unwrap().to_rgb8())
}

/// What a person looks like elsewhere than in the held-out images.
fn references(concept: &str) -> Vec<Arc<RgbImage>> {
    (0..4).map(|k| picture("train", concept, k)).collect()
}

fn sample(image: Option<Arc<RgbImage>>, references: Vec<Arc<RgbImage>>) -> Sample {
    let task = Task::new(0, "").with_class("person").with_references(references).with_params(json!({}));
    Sample::new(&task, 0, String::new(), String::new(), image)
}

fn score(fer: &mut Fer, image: &Arc<RgbImage>, references: &[Arc<RgbImage>]) -> Score {
    fer.score(&[sample(Some(image.clone()), references.to_vec())]).unwrap().remove(0)
}

fn value(fer: &mut Fer, image: &Arc<RgbImage>, references: &[Arc<RgbImage>]) -> f64 {
    score(fer, image, references).value().unwrap()
}

#[test]
fn the_same_photograph_scores_one_and_another_person_less() {
    let mut fer = fer();
    for (person, other) in [("ada", "eve"), ("eve", "ada")] {
        for k in 0..8 {
            let image = picture("test", person, k);
            assert!((value(&mut fer, &image, std::slice::from_ref(&image)) - 1.0).abs() < 1e-5);
            let (right, wrong) =
                (value(&mut fer, &image, &references(person)), value(&mut fer, &image, &references(other)));
            assert!(right > 0.5 && wrong < right - 0.3, "{person} {k}: {right} as {person}, {wrong} as {other}");
        }
    }
}

#[test]
fn references_are_averaged_and_those_without_a_face_left_out() {
    let mut fer = fer();
    let image = picture("test", "ada", 0);
    let (ada, eve) = (picture("train", "ada", 0), picture("train", "eve", 0));
    let vector = |fer: &Fer, image: &RgbImage| -> Vec<f64> {
        let face = fer.face(image).unwrap().unwrap();
        fer.embed(&[&face]).unwrap().remove(0).into_iter().map(f64::from).collect()
    };
    let (v, a, e) = (vector(&fer, &image), vector(&fer, &ada), vector(&fer, &eve));
    let mean: Vec<f64> = a.iter().zip(&e).map(|(a, e)| (a + e) / 2.0).collect();
    let length = mean.iter().map(|x| x * x).sum::<f64>().sqrt();
    let expected = v.iter().zip(&mean).map(|(v, m)| v * m).sum::<f64>() / length;
    let got = value(&mut fer, &image, &[ada.clone(), eve.clone()]);
    assert!((got - expected).abs() < 1e-5, "expected {expected}, got {got}");
    assert_eq!(value(&mut fer, &image, &[ada, picture("train", "joe", 0), eve]), got);
}

#[test]
fn a_reference_has_one_vector_whatever_it_is_asked_for_with() {
    let image = picture("test", "eve", 1);
    let references = references("eve");
    let alone = value(&mut fer(), &image, &references);
    let mut other = fer();
    let mut copies: Vec<Arc<RgbImage>> = references.iter().map(|r| Arc::new((**r).clone())).collect();
    copies.reverse();
    value(&mut other, &picture("test", "ada", 0), &copies);
    assert_eq!(value(&mut other, &image, &references).to_bits(), alone.to_bits());
}

#[test]
fn the_largest_of_several_faces_is_judged() {
    let mut fer = fer();
    let (ada, eve) = (picture("test", "ada", 0), picture("test", "eve", 0));
    let large = |image: &RgbImage| image::imageops::resize(image, 128, 128, image::imageops::FilterType::Triangle);
    let beside = |left: &RgbImage, right: &RgbImage| {
        let mut both = RgbImage::new(left.width() + right.width(), left.height().max(right.height()));
        overlay(&mut both, left, 0, 0);
        overlay(&mut both, right, i64::from(left.width()), 0);
        Arc::new(both)
    };
    let (ada_large, eve_large) = (beside(&large(&ada), &eve), beside(&ada, &large(&eve)));
    for (image, person, other) in [(&ada_large, "ada", "eve"), (&eve_large, "eve", "ada")] {
        let (right, wrong) = (value(&mut fer, image, &references(person)), value(&mut fer, image, &references(other)));
        assert!(right > wrong + 0.3, "the larger is {person}: {right} as {person}, {wrong} as {other}");
    }
}

#[test]
fn what_is_missing_is_abstained_from_with_the_reason_and_a_missing_face_scores_0() {
    let context = BuildContext::new(Device::flex(), bench().join("assets/towers"));
    let table = toml::toml! { detector = "fer/detector"
    weights = "fer/embedding" };
    let mut fer = registry::reward("fer", &table, &context).unwrap();
    assert_eq!(fer.name(), "fer");
    let (ada, cup) = (picture("test", "ada", 0), picture("test", "joe", 0));
    let grey = Arc::new(RgbImage::from_pixel(64, 64, Rgb([128; 3])));
    let pixel = Arc::new(RgbImage::new(1, 1));
    let samples = [
        sample(None, references("ada")),
        sample(Some(ada.clone()), Vec::new()),
        sample(Some(cup.clone()), references("ada")),
        sample(Some(grey), references("ada")),
        sample(Some(pixel.clone()), references("ada")),
        sample(Some(ada.clone()), vec![cup, pixel]),
        sample(Some(ada.clone()), vec![Arc::new(RgbImage::new(3, 0))]),
        sample(Some(ada), references("ada")),
    ];
    let scores = fer.score(&samples).unwrap();
    let abstained = |why: &str| Score::Abstain(why.into());
    assert_eq!(scores[0], abstained("no image to compare"));
    assert_eq!(scores[1], abstained("no reference image"));
    assert_eq!(scores[2..5], [(); 3].map(|()| Score::Value(0.0)), "hiding the face must not pay");
    assert_eq!(scores[5], abstained("no face in any reference"));
    assert!(matches!(scores[6], Score::Fail(_)));
    assert!(scores[7].value().is_some());
    assert!(fer.score(&[]).unwrap().is_empty());

    let mut lenient = FerConfig { no_face: NoFace::Abstain, ..config() }.init(&Device::flex()).unwrap();
    let scores = lenient.score(&samples[2..6]).unwrap();
    assert_eq!(scores[..3], [(); 3].map(|()| abstained("no face in the image")));
    assert_eq!(scores[3], abstained("no face in any reference"));
}

/// A task about `concept` of unifybench-mini with its training images as references.
fn task(concept: &str) -> Task {
    let params = json!({ "concept": format!("<{concept}>") });
    Task::new(3, "").with_class("person").with_references(references(concept)).with_params(params)
}

#[test]
fn tasks_without_a_face_in_any_reference_are_refused_with_their_concept() {
    let mut fer = fer();
    fer.check(&[]).unwrap();
    fer.check(&[task("ada"), task("eve")]).unwrap();
    // One face is enough, in any task.
    fer.check(&[task("joe"), task("joe").with_references(references("ada")[..1].to_vec())]).unwrap();
    let mixed = [references("joe"), references("ada")[..1].to_vec()].concat();
    fer.check(&[task("joe").with_references(mixed)]).unwrap();

    let nameless = Task::new(9, "").with_class("person");
    let joe = task("joe");
    let error = fer.check(&[task("ada"), joe.clone(), joe, nameless]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Data);
    let said = error.to_string();
    assert_eq!(said.matches("<joe>").count(), 1, "{said}");
    let parts =
        ["concept <joe> (class person, references looked at: 4)", "task 9 (class person, references looked at: 0)"];
    assert!(parts.iter().all(|part| said.contains(part)) && !said.contains("<ada>"), "{said}");
    assert!(said.contains("another photograph") && said.contains("class"), "{said}");
}

#[test]
fn references_are_embedded_once_for_the_check_and_the_scores() {
    let dir = tempfile::tempdir().unwrap();
    let config = FerConfig { cache: Some(dir.path().join("cache")), ..config() };
    let files = || std::fs::read_dir(dir.path().join("cache")).map_or(0, Iterator::count);
    let mut fer = config.init(&Device::flex()).unwrap();
    fer.check(&[task("ada")]).unwrap();
    assert_eq!(files(), 4);
    value(&mut fer, &picture("test", "ada", 0), &references("ada"));
    assert_eq!(files(), 4);
}

#[test]
fn the_margin_is_a_setting_and_by_default_the_detectors() {
    let with = |margin| FerConfig { margin, ..config() }.init(&Device::flex());
    let image = picture("test", "ada", 0);
    let cut = |fer: &Fer| fer.face(&image).unwrap().unwrap().dimensions();
    let (plain, none, wide) = (cut(&with(None).unwrap()), cut(&with(Some(0)).unwrap()), cut(&with(Some(40)).unwrap()));
    assert_eq!(plain, none, "config.json says 0");
    assert!(wide.0 > plain.0 && wide.1 > plain.1, "{plain:?} {wide:?}");
    let size = MtcnnConfig::read(&config().detector).unwrap().image_size;
    let error = with(Some(size)).unwrap_err().to_string();
    assert!(error.contains("margin") && error.contains(&format!("got {size}")), "{error}");

    // Vectors of another margin are other vectors, also in a cache that is shared.
    let dir = tempfile::tempdir().unwrap();
    let score = |margin| {
        let config = FerConfig { margin, cache: Some(dir.path().to_owned()), ..config() };
        value(&mut config.init(&Device::flex()).unwrap(), &image, &references("ada"))
    };
    assert_ne!(score(None), score(Some(40)));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 8);
}

#[test]
fn wrong_settings_and_checkpoints_are_refused_by_name() {
    let device = Device::flex();
    let right = config();
    let refused = |config: FerConfig| config.init(&device).unwrap_err().to_string();
    let error = refused(FerConfig { weights: right.detector.clone(), ..right.clone() });
    assert!(error.contains("config"), "{error}");
    let error = refused(FerConfig { weights: right.detector.join("model.safetensors"), ..right.clone() });
    assert!(error.contains("config.json"), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let bare = dir.path().join("mtcnn.safetensors");
    std::fs::copy(right.detector.join("model.safetensors"), &bare).unwrap();
    let error = refused(FerConfig { weights: bare.clone(), ..right.clone() });
    assert!(error.contains("conv2d_1a.conv.weight") || error.contains("unexpected"), "{error}");
    std::fs::copy(right.weights.join("model.safetensors"), &bare).unwrap();
    let error = refused(FerConfig { detector: bare, ..right.clone() });
    assert!(error.contains("pnet.") || error.contains("unexpected"), "{error}");
    let error = refused(FerConfig { weights: dir.path().join("nothing"), ..right.clone() });
    assert!(error.contains("found nothing"), "{error}");
    assert!(refused(FerConfig { batch: 0, ..right }).contains("batch"));
    let context = BuildContext::new(device, ".");
    assert!(registry::reward("fer", &toml::Table::new(), &context).is_err());
}
