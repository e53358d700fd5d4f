//! The committed tower tells the held-out images of the miniature world apart.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use burn::tensor::Device;
use counterpoint_der::DerConfig;
use image::RgbImage;

#[test]
fn an_image_is_more_like_another_of_its_concept_than_like_other_concepts() {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/unifybench");
    let expert = DerConfig::new(bench.join("assets/towers/der")).init(&Device::flex()).unwrap();
    let picture = |split: &str, concept: &str, k: usize| -> RgbImage {
        let path = format!("data/unifybench-mini/concept/{split}/{concept}/{k}.png");
        image::open(bench.join(path)).unwrap().to_rgb8()
    };
    let concepts = ["ada", "eve", "leo", "kit", "joe", "ace"];
    let embed = |split: &str| -> Vec<Vec<f32>> {
        let images: Vec<RgbImage> =
            concepts.iter().flat_map(|c| (0..4).map(|k| picture(split, c, k)).collect::<Vec<_>>()).collect();
        expert.embed(&images.iter().collect::<Vec<_>>()).unwrap()
    };
    // References are training images, all in other scenes than the held-out ones; scores are means over four.
    let (references, shown) = (embed("train"), embed("test"));
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f32>();
    let mut right = 0;
    for (i, row) in shown.iter().enumerate() {
        let scores: Vec<f32> =
            references.chunks(4).map(|four| four.iter().map(|r| dot(row, r)).sum::<f32>() / 4.0).collect();
        let best = (0..concepts.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap();
        right += usize::from(best == i / 4);
    }
    assert!(right >= 20, "expected at least 20 of 24 images to be nearest to their own concept, got {right}");
}
