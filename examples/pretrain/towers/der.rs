//! The image tower, contrastive on what DER compares, the mean patch feature, with two kinds of views.
//! Of a scene: other jitter, blur and noise; other scenes are far, neighbours with one attribute changed among them.
//! Of a subject: pasted into another scene; other subjects are far. The second kind is what DER asks for: its
//! references show the subject elsewhere. No labels are used beyond which views belong together.
#![allow(clippy::print_stdout)]

use std::path::Path;

use burn::tensor::{Device, Tensor};
use counterpoint::{Key, Result, Stream, Streams};
use counterpoint_der::DerConfig;
use counterpoint_encoders::{Dinov2Config, l2_normalise};
use counterpoint_unifybench::{Concept, SIZE, Scene};
use image::RgbImage;

use super::Options;
use super::ber::report;
use super::draws::below;
use super::images::{Images, processor};
use super::optimise::{auc, mean, own_column, train as optimise, training_device};
use super::scenes::{Attribute, Batches, changed, held_out};

const STEPS: usize = 500;
const FAMILIES: usize = 10;
const TEMPERATURE: f64 = 0.1;

fn config() -> Dinov2Config {
    Dinov2Config {
        hidden_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        mlp_ratio: 2,
        image_size: SIZE as usize,
        patch_size: 8,
        ..Dinov2Config::default()
    }
}

pub(super) fn train(options: &Options, dir: &Path) -> Result<()> {
    let config = config();
    std::fs::create_dir_all(dir).map_err(|e| counterpoint::Error::io("cannot create", dir, e))?;
    processor(SIZE).write(dir)?;
    let processor = processor(SIZE).init()?;
    let device = training_device(options.tower_seed);
    let streams = Streams::new(options.tower_seed);
    let (batches, images) = (Batches::new(), Images::new()?);
    let tower = optimise(options, "der", STEPS, 2e-3, config.init(&device)?, |tower, step| {
        let mut stream = streams.stream(Key::task(step as u64, 0), "der", 0);
        let scenes = batches.families(FAMILIES, &mut stream);
        let mut elsewhere = || Concept::ALL.iter().map(|&c| batches.of(c, &mut stream)).collect::<Vec<Scene>>();
        let (here, there) = (elsewhere(), elsewhere());
        let views: Vec<RgbImage> =
            [&scenes, &scenes, &here, &there].into_iter().flatten().map(|s| images.draw(s, 0.5, &mut stream)).collect();
        let pixels = processor.forward(&views.iter().collect::<Vec<_>>(), &device)?;
        let patches = tower.patch_features(pixels)?;
        let embedded: Tensor<2> = l2_normalise(patches.mean_dim(1).squeeze_dim(1));
        let pairs = |from: usize, n: usize| {
            let (a, b) = (embedded.clone().narrow(0, from, n), embedded.clone().narrow(0, from + n, n));
            let logits = a.matmul(b.transpose()) / TEMPERATURE;
            own_column(logits.clone()) + own_column(logits.transpose())
        };
        Ok(pairs(0, scenes.len()) + pairs(2 * scenes.len(), here.len()))
    })?;
    tower.save(&config, dir)
}

/// The reference shows a held-out scene. Right: another image of the scene. Wrong: one attribute changed.
/// Then as DER is used: references of the concept's training facts, the right or another concept in a held-out scene.
pub(super) fn measure(dir: &Path) -> Result<()> {
    let expert = DerConfig::new(dir).init(&Device::flex())?;
    let images = Images::new()?;
    let embed = |scenes: &[Scene], spoiled: f32, stream: &mut Stream| -> Result<Vec<Vec<f32>>> {
        let pictures: Vec<RgbImage> = scenes.iter().map(|s| images.draw(s, spoiled, stream)).collect();
        expert.embed(&pictures.iter().collect::<Vec<_>>())
    };
    for (sort, spoiled) in [("clean", 0.0), ("blurred and noisy", 1.0)] {
        let mut stream = Streams::new(0).stream(Key::task(0, 0), "measure der", 0);
        let mut scores = Vec::new();
        for scene in held_out() {
            let reference = embed(&[scene], 0.0, &mut stream)?;
            let mut shown = vec![scene];
            for attribute in Attribute::ALL {
                let others = changed(scene, attribute);
                shown.push(others[below(&mut stream, others.len())]);
            }
            let rows = embed(&shown, spoiled, &mut stream)?;
            scores.extend(rows.iter().map(|row| dot(row, &reference[0])));
        }
        report("der", sort, &scores);
    }
    let mut stream = Streams::new(0).stream(Key::task(0, 0), "measure der", 1);
    let (mut same, mut other, mut higher) = (Vec::new(), Vec::new(), Vec::new());
    for scene in held_out() {
        let references: Vec<Scene> = scene.concept.facts().into_iter().filter(|f| !f.is_held_out()).collect();
        let references = embed(&references, 0.0, &mut stream)?;
        let score = |row: &[f32]| references.iter().map(|r| dot(row, r)).sum::<f64>() / references.len() as f64;
        let right = score(&embed(&[scene], 0.0, &mut stream)?[0]);
        for row in embed(&changed(scene, Attribute::Concept), 0.0, &mut stream)? {
            other.push(score(&row));
            higher.push(f64::from(u8::from(right > score(&row))));
        }
        same.push(right);
    }
    println!(
        "der: AUC {:.4} of the right concept against another, references in other scenes; {:.4} within a scene",
        auc(&same, &other),
        mean(&higher)
    );
    Ok(())
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}
