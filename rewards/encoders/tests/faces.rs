//! MTCNN and FaceNet against numbers computed by facenet-pytorch.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::Path;

use burn::tensor::{Device, Tensor, TensorData};
use counterpoint_encoders::face::{FaceNetConfig, MtcnnConfig, Standardisation};
use counterpoint_weights::{WeightFiles, save_torch};
use image::RgbImage;

use common::{Golden, folder};

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex())
}

#[test]
fn mtcnn_finds_and_cuts_the_face_of_a_photograph() {
    let golden = Golden::open("mtcnn");
    let image = golden.image("inputs.image");
    let detector = MtcnnConfig::load(&folder("mtcnn"), &Device::flex()).unwrap();
    let faces = detector.detect(&image);
    let n = faces.len();
    golden.check("outputs.boxes", tensor(faces.iter().flat_map(|f| f.corners).collect(), [n, 4]));
    golden.check("outputs.probs", tensor(faces.iter().map(|f| f.probability).collect(), [n]));
    let landmarks = faces.iter().flat_map(|f| f.landmarks.into_iter().flatten()).collect();
    golden.check("outputs.landmarks", tensor(landmarks, [n, 5, 2]));
    golden.check("outputs.crops", detector.forward(&image).unwrap().unwrap());
}

#[test]
fn faces_of_a_large_image_are_found_in_a_smaller_copy_and_lie_in_the_image() {
    let golden = Golden::open("mtcnn");
    let image = golden.image("inputs.image");
    let load = || MtcnnConfig::load(&folder("mtcnn"), &Device::flex()).unwrap();
    let (width, height) = image.dimensions();
    let side = width.max(height) as usize;
    let large = image::imageops::resize(&image, 3 * width, 3 * height, image::imageops::FilterType::Triangle);
    let bounded = load().with_max_side(side).unwrap();
    let (expected, found) = (load().detect(&image), bounded.detect(&large));
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        for (a, b) in found.corners.iter().zip(expected.corners) {
            assert!((a / 3.0 - b).abs() < 3.0, "{found:?} {expected:?}");
        }
        assert!((found.landmarks[0][0] / 3.0 - expected.landmarks[0][0]).abs() < 3.0);
        // The picture of the face has the image's own pixels.
        let cut = bounded.cut(&large, found).unwrap();
        assert!(cut.width() > 2 * load().cut(&image, expected).unwrap().width());
    }
    assert!(load().with_max_side(5).unwrap_err().to_string().contains("at least the 20 pixels"));
}

#[test]
fn facenet_gives_the_originals_vectors_folded_or_not() {
    let golden = Golden::open("facenet");
    let tower = FaceNetConfig::load(&folder("facenet"), &Device::flex()).unwrap();
    for tower in [tower.clone(), tower.fold()] {
        for (pixels, embeddings) in [
            ("inputs.pixel_values", "outputs.embeddings"),
            ("inputs.pixel_values_other_size", "outputs.embeddings_other_size"),
        ] {
            golden.check(embeddings, tower.forward(golden.floats(pixels)).unwrap());
        }
    }
}

#[test]
fn what_is_saved_has_the_originals_names_and_a_classifier_in_a_file_is_left_out() {
    let device = Device::flex();
    let dir = tempfile::tempdir().unwrap();
    let config = FaceNetConfig::read(&folder("facenet")).unwrap();
    assert_eq!((config.width, config.embedding_size), (8, 64));
    let tower = FaceNetConfig::load(&folder("facenet"), &device).unwrap();
    tower.save(&config, dir.path()).unwrap();
    let path = dir.path().join("model.safetensors");
    let names = |path: &Path| -> Vec<String> {
        let mut names: Vec<String> =
            WeightFiles::open(path).unwrap().tensors().iter().map(|tensor| tensor.name.clone()).collect();
        names.retain(|name| !name.ends_with("num_batches_tracked"));
        names
    };
    assert_eq!(names(&path), names(&folder("facenet")));

    // As the published files are: a file of torch.save with the classifier, beside a config.
    let data = |name: &str| WeightFiles::open(&path).unwrap().read(name).unwrap();
    let mut tensors: Vec<(String, TensorData)> =
        names(&path).into_iter().map(|name| (name.clone(), data(&name))).collect();
    tensors.push(("logits.weight".into(), TensorData::new(vec![0.0_f32; 3 * 64], [3, 64])));
    tensors.push(("logits.bias".into(), TensorData::new(vec![0.0_f32; 3], [3])));
    let torch = dir.path().join("20180402-114759-vggface2.pt");
    save_torch(&torch, &tensors).unwrap();
    std::fs::remove_file(&path).unwrap();
    let golden = Golden::open("facenet");
    for path in [torch.as_path(), dir.path()] {
        let tower = FaceNetConfig::load(path, &device).unwrap();
        golden.check("outputs.embeddings", tower.forward(golden.floats("inputs.pixel_values")).unwrap());
    }
}

#[test]
fn a_checkpoint_without_a_config_is_the_originals_size_and_another_tower_is_refused() {
    let device = Device::flex();
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(folder("facenet").join("model.safetensors"), dir.path().join("model.safetensors")).unwrap();
    assert_eq!(FaceNetConfig::read(dir.path()).unwrap(), FaceNetConfig::default());
    let error = FaceNetConfig::load(dir.path(), &device).unwrap_err();
    assert_eq!(error.kind(), counterpoint::ErrorKind::Weights);
    assert!(error.to_string().contains("expected shape [192], got [24]"), "{error}");
    let error = MtcnnConfig::load(dir.path(), &device).unwrap_err();
    assert!(error.to_string().contains("missing: onet.conv1.bias"), "{error}");
    let nothing = dir.path().join("nothing");
    assert!(FaceNetConfig::load(&nothing, &device).unwrap_err().to_string().contains("found nothing"));
    assert!(MtcnnConfig::load(&nothing, &device).unwrap_err().to_string().contains("found nothing"));
}

#[test]
fn each_image_can_be_standardised_by_itself() {
    let config = FaceNetConfig { standardisation: Standardisation::PerImage, ..Default::default() };
    let image = RgbImage::from_fn(160, 160, |x, y| image::Rgb([x as u8, y as u8, 40]));
    let flat = RgbImage::from_pixel(20, 30, image::Rgb([9; 3]));
    let pixels = config.pixels(&[&image, &flat], &Device::flex()).unwrap();
    let [first, second] = [0, 1].map(|i| pixels.clone().narrow(0, i, 1).reshape([-1]) as Tensor<1>);
    let deviation = first.clone().square().mean().sqrt().into_scalar::<f32>();
    assert!(first.mean().abs().into_scalar::<f32>() < 1e-5 && (deviation - 1.0).abs() < 1e-5);
    assert_eq!(second.abs().max().into_scalar::<f32>(), 0.0);
}

#[test]
fn images_without_faces_have_none_and_sizes_are_checked() {
    let device = Device::flex();
    let detector = MtcnnConfig::load(&folder("mtcnn"), &device).unwrap();
    for (width, height) in [(0, 0), (5, 0), (1, 1), (19, 400), (64, 64)] {
        let grey = RgbImage::from_pixel(width, height, image::Rgb([128; 3]));
        assert!(detector.detect(&grey).is_empty());
        assert!(detector.largest(&grey).is_none());
        assert!(detector.forward(&grey).unwrap().is_none());
    }
    let face = detector.largest(&Golden::open("mtcnn").image("inputs.image")).unwrap();
    assert!(detector.cut(&RgbImage::new(0, 3), &face).is_err());
    assert_eq!(detector.cut(&RgbImage::new(4, 3), &face).unwrap().dimensions(), (1, 1), "it lies outside");

    let tower = FaceNetConfig { width: 16, ..Default::default() }.init(&device).unwrap();
    for shape in [[1, 3, 74, 80], [1, 3, 80, 74], [1, 4, 80, 80]] {
        assert!(tower.forward(Tensor::zeros(shape, &device)).unwrap_err().to_string().contains("at least 75x75"));
    }
    assert_eq!(tower.forward(Tensor::zeros([2, 3, 75, 75], &device)).unwrap().dims(), [2, 512]);
}

#[test]
fn impossible_configs_are_refused() {
    let device = Device::flex();
    for (config, part) in [
        (FaceNetConfig { width: 3, ..Default::default() }, "width"),
        (FaceNetConfig { image_size: 74, ..Default::default() }, "image_size"),
        (FaceNetConfig { embedding_size: 0, ..Default::default() }, "embedding_size"),
    ] {
        assert!(config.init(&device).unwrap_err().to_string().contains(part));
    }
    for (config, part) in [
        (MtcnnConfig { margin: 160, ..Default::default() }, "margin"),
        (MtcnnConfig { min_face_size: 0, ..Default::default() }, "min_face_size"),
        (MtcnnConfig { factor: 1.0, ..Default::default() }, "factor"),
        (MtcnnConfig { thresholds: [0.5, 1.5, 0.5], ..Default::default() }, "thresholds"),
    ] {
        assert!(config.init(&device).unwrap_err().to_string().contains(part));
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("config.json"), r#"{"image_size": 160, "depth": 3}"#).unwrap();
    assert!(FaceNetConfig::read(dir.path()).is_err() && MtcnnConfig::read(dir.path()).is_err());
}
