//! The image-text tower: the cosine of an image with a compound prompt falls when one attribute is wrong.
#![allow(clippy::print_stdout)]

use std::path::Path;

use burn::tensor::Device;
use counterpoint::{Key, Result, Streams};
use counterpoint_ber::BerConfig;
use counterpoint_encoders::blip2::{QFormerConfig, VisionConfig};
use counterpoint_encoders::{Blip2, Blip2Config, TextTokenizer};
use counterpoint_unifybench::{Place, SIZE, Scene};
use image::RgbImage;

use super::Options;
use super::draws::below;
use super::images::{Images, processor};
use super::language::{compound, fact, phrase, write_tokenizer};
use super::optimise::{auc, mean, own_column, train as optimise, training_device};
use super::scenes::{Attribute, Batches, changed, held_out};

const STEPS: usize = 900;
const FAMILIES: usize = 13;
const TEMPERATURE: f64 = 0.07;

fn config(vocab_size: usize) -> Blip2Config {
    Blip2Config {
        vision_config: VisionConfig {
            hidden_size: 64,
            intermediate_size: 128,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            image_size: SIZE as usize,
            patch_size: 8,
            ..VisionConfig::default()
        },
        qformer_config: QFormerConfig {
            vocab_size,
            hidden_size: 64,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            intermediate_size: 128,
            max_position_embeddings: 64,
            cross_attention_frequency: 1,
            encoder_hidden_size: 64,
            ..QFormerConfig::default()
        },
        num_query_tokens: 4,
        image_text_hidden_size: 64,
    }
}

pub(super) fn train(options: &Options, dir: &Path) -> Result<()> {
    let config = config(write_tokenizer(dir)?);
    let tokenizer = TextTokenizer::load(dir, config.qformer_config.max_position_embeddings)?;
    processor(SIZE).write(dir)?;
    let processor = processor(SIZE).init()?;
    let device = training_device(options.tower_seed);
    let streams = Streams::new(options.tower_seed);
    let (batches, images) = (Batches::new(), Images::new()?);
    let tower = optimise(options, "ber", STEPS, 2e-3, config.init(&device)?, |tower, step| {
        let mut stream = streams.stream(Key::task(step as u64, 0), "ber", 0);
        let scenes = batches.families(FAMILIES, &mut stream);
        let pictures: Vec<RgbImage> = scenes.iter().map(|s| images.draw(s, 0.5, &mut stream)).collect();
        let mut texts: Vec<String> = scenes
            .iter()
            .map(|s| {
                let place = (stream.uniform() < 0.8).then(|| phrase(s.place, &mut stream));
                compound(s.concept, place, &fact(s))
            })
            .collect();
        // More wrong texts: a fact that contradicts the place of the prompt, as wrong reasoning does.
        for scene in scenes.iter().step_by(5) {
            let other = another_place(scene, below(&mut stream, Place::ALL.len() - 1));
            texts.push(compound(scene.concept, Some(phrase(scene.place, &mut stream)), &fact(&other)));
        }
        let pixels = processor.forward(&pictures.iter().collect::<Vec<_>>(), &device)?;
        let text = tokenizer.encode(&texts, &device)?;
        let texts = tower.embed_texts(text.ids, &text.keep);
        let logits = Blip2::itc(tower.embed_images(pixels)?, texts) / TEMPERATURE;
        let n = scenes.len();
        let of_texts = own_column(logits.clone().slice([0..n, 0..n]).transpose());
        Ok(own_column(logits) + of_texts)
    })?;
    tower.save(&config, dir)
}

fn another_place(scene: &Scene, pick: usize) -> Scene {
    changed(*scene, Attribute::Place).get(pick).copied().unwrap_or(*scene)
}

/// The prompt is that of a held-out scene. Right: an image of the scene. Wrong: of one with one attribute changed.
pub(super) fn measure(dir: &Path) -> Result<()> {
    let mut expert = BerConfig::new(dir).init(&Device::flex())?;
    let images = Images::new()?;
    for (sort, spoiled) in [("clean", 0.0), ("blurred and noisy", 1.0)] {
        let mut stream = Streams::new(0).stream(Key::task(0, 0), "measure ber", 0);
        let mut pictures = Vec::new();
        let mut texts = Vec::new();
        for scene in held_out() {
            let text = compound(scene.concept, Some(phrase(scene.place, &mut stream)), &fact(&scene));
            let wrong = Attribute::ALL.map(|attribute| {
                let others = changed(scene, attribute);
                others[below(&mut stream, others.len())]
            });
            for shown in std::iter::once(scene).chain(wrong) {
                pictures.push(images.draw(&shown, spoiled, &mut stream));
                texts.push(text.clone());
            }
        }
        let scores = expert.similarity(&pictures.iter().collect::<Vec<_>>(), &texts)?;
        report("ber", sort, &scores);
    }
    Ok(())
}

/// `scores` holds, per scene, the right one and then one per attribute wrong.
pub(super) fn report(tower: &str, sort: &str, scores: &[f64]) {
    let row = 1 + Attribute::ALL.len();
    let column = |i: usize| -> Vec<f64> { scores.iter().skip(i).step_by(row).copied().collect() };
    let right = column(0);
    let wrong: Vec<f64> = (1..row).flat_map(column).collect();
    let each: Vec<String> = Attribute::ALL
        .iter()
        .enumerate()
        .map(|(i, attribute)| format!("{attribute:?} {:.3}", auc(&right, &column(i + 1))).to_lowercase())
        .collect();
    println!(
        "{tower}: AUC {:.4} on held-out scenes, {sort} images ({}); mean right {:.3}, wrong {:.3}",
        auc(&right, &wrong),
        each.join(", "),
        mean(&right),
        mean(&wrong)
    );
}
