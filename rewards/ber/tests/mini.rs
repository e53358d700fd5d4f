//! The committed tower tells the held-out images of the miniature world apart.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use burn::tensor::Device;
use counterpoint_ber::BerConfig;
use counterpoint_encoders::text::normalise;
use image::RgbImage;

#[test]
fn an_images_own_prompt_beats_those_of_the_other_scenes_and_one_wrong_colour() {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../benches/unifybench");
    let mut expert = BerConfig::new(bench.join("assets/towers/ber")).init(&Device::flex()).unwrap();
    let folder = bench.join("data/unifybench-mini/concept/test/ada");
    let scenes = std::fs::read_to_string(folder.join("scenes.json")).unwrap();
    let scenes: serde_json::Value = serde_json::from_str(&scenes).unwrap();
    let prompt = |scene: &serde_json::Value, colour: &str| {
        let (place, accessory) = (scene["place"].as_str().unwrap(), scene["accessory"].as_str().unwrap());
        normalise(&format!("a photo of <ada> at the {place}. {place} {colour} {accessory}."))
    };
    let mut images: Vec<RgbImage> = Vec::new();
    let mut prompts: Vec<[String; 2]> = Vec::new();
    for name in ["0.png", "1.png", "2.png", "3.png"] {
        images.push(image::open(folder.join(name)).unwrap().to_rgb8());
        let scene = &scenes["images"][name];
        let colour = scene["colour"].as_str().unwrap();
        let wrong = if colour == "red" { "blue" } else { "red" };
        prompts.push([prompt(scene, colour), prompt(scene, wrong)]);
    }
    for (own, image) in images.iter().enumerate() {
        let texts: Vec<String> = prompts.iter().flatten().cloned().collect();
        let scores = expert.similarity(&vec![image; texts.len()], &texts).unwrap();
        for (i, score) in scores.iter().enumerate().filter(|(i, _)| *i != 2 * own) {
            assert!(scores[2 * own] > score + 0.1, "image {own}, {}: {scores:?}", texts[i]);
        }
    }
}
