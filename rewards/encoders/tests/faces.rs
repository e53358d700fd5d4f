//! MTCNN and FaceNet against numbers computed by facenet-pytorch.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Tensor, TensorData};
use counterpoint_encoders::face::{FaceNetConfig, MtcnnConfig};
use image::RgbImage;
use safetensors::SafeTensors;

/// Largest difference over the largest expected number.
const TOLERANCE: f32 = 1e-4;

fn folder(tower: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(tower)
}

struct Golden(Vec<u8>);

impl Golden {
    fn open(tower: &str) -> Self {
        Self(std::fs::read(folder(tower).join("expected.safetensors")).unwrap())
    }

    fn floats<const D: usize>(&self, name: &str) -> Tensor<D> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        let values: Vec<f32> = view.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
        Tensor::from_data(TensorData::new(values, view.shape().to_vec()), &Device::flex())
    }

    fn image(&self, name: &str) -> RgbImage {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).unwrap();
        let [height, width, 3] = *view.shape() else { panic!("expected [h, w, 3]") };
        RgbImage::from_raw(width as u32, height as u32, view.data().to_vec()).unwrap()
    }

    fn check<const D: usize>(&self, name: &str, got: Tensor<D>) {
        let expected = self.floats::<D>(name);
        assert_eq!(got.dims(), expected.dims(), "{name}");
        let scale = expected.clone().abs().max().into_scalar::<f32>();
        let worst = (got - expected).abs().max().into_scalar::<f32>() / scale;
        println!("{name}: {worst:.1e}");
        assert!(worst < TOLERANCE, "{name}: expected a relative difference below {TOLERANCE}, got {worst}");
    }
}

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
