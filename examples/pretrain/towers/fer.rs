//! The face tower, contrastive on what FER compares: two views of a person's face are near, those of others far. The world
//! has two persons; each is five more with the colours exchanged, so that what is learned is more than to tell two apart.
//! The detector is not trained: it is MTCNN with its published weights.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use counterpoint::{Error, Key, Result, Reward, Sample, Score, Stream, Streams, Task};
use counterpoint_encoders::face::{FaceNetConfig, Mtcnn, MtcnnConfig};
use counterpoint_fer::FerConfig;
use counterpoint_unifybench::{Concept, Scene};
use image::{Rgb, RgbImage};

use super::Options;
use super::images::Images;
use super::optimise::{auc, mean, own_column, train as optimise, training_device};
use super::scenes::{Batches, held_out};

const STEPS: usize = 400;
const TEMPERATURE: f64 = 0.1;
/// The orders of red, green and blue.
const COLOURS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
const PERSONS: [Concept; 2] = [Concept::Ada, Concept::Eve];

fn config() -> FaceNetConfig {
    FaceNetConfig { image_size: 80, width: 16, embedding_size: 64, ..FaceNetConfig::default() }
}

pub(super) fn train(options: &Options, dir: &Path) -> Result<()> {
    let config = config();
    let device = training_device(options.tower_seed);
    let streams = Streams::new(options.tower_seed);
    let faces = Faces { detector: MtcnnConfig::load(&dir.join("detector"), &Device::flex())?, images: Images::new()? };
    let batches = Batches::new();
    let tower = optimise(options, "fer", STEPS, 3e-3, config.init(&device)?, |tower, step| {
        let mut stream = streams.stream(Key::task(step as u64, 0), "fer", 0);
        let mut views = Vec::new();
        for _ in 0..2 {
            for person in PERSONS {
                for colours in COLOURS {
                    let scene = batches.of(person, &mut stream);
                    views.push(exchange(&faces.draw(&scene, &mut stream)?, colours));
                }
            }
        }
        let embedded = tower.forward(config.pixels(&views.iter().collect::<Vec<_>>(), &device)?)?;
        let n = PERSONS.len() * COLOURS.len();
        let logits = embedded.clone().narrow(0, 0, n).matmul(embedded.narrow(0, n, n).transpose()) / TEMPERATURE;
        Ok(own_column(logits.clone()) + own_column(logits.transpose()))
    })?;
    tower.save(&config, &dir.join("embedding"))
}

/// Draws scenes and cuts out the faces that the detector finds in them.
struct Faces {
    detector: Mtcnn,
    images: Images,
}

impl Faces {
    /// The face of `scene`, half of the time spoiled. Where the detector sees none, there is nothing to learn: drawn again.
    fn draw(&self, scene: &Scene, stream: &mut Stream) -> Result<RgbImage> {
        for _ in 0..100 {
            let image = self.images.draw(scene, 0.5, stream);
            if let Some(face) = self.detector.largest(&image) {
                return self.detector.cut(&image, &face);
            }
        }
        Err(Error::data(format!(
            "expected the detector to find {} in a hundred images, it found none",
            scene.concept.word()
        )))
    }
}

fn exchange(image: &RgbImage, colours: [usize; 3]) -> RgbImage {
    RgbImage::from_fn(image.width(), image.height(), |x, y| Rgb(colours.map(|c| image.get_pixel(x, y).0[c])))
}

/// As FER is used: the references are the person's training facts, the image shows a held-out scene of the person or the
/// same scene with the other one.
pub(super) fn measure(dir: &Path) -> Result<()> {
    let config = FerConfig::new(dir.join("detector"), dir.join("embedding"));
    let mut expert = config.init(&Device::flex())?;
    let images = Images::new()?;
    for (sort, spoiled) in [("clean", 0.0), ("blurred and noisy", 1.0)] {
        let mut stream = Streams::new(0).stream(Key::task(0, 0), "measure fer", 0);
        let (mut right, mut wrong, mut unseen) = (Vec::new(), Vec::new(), 0);
        for scene in held_out().into_iter().filter(|scene| PERSONS.contains(&scene.concept)) {
            let facts = scene.concept.facts().into_iter().filter(|fact| !fact.is_held_out());
            let references: Vec<Arc<RgbImage>> =
                facts.map(|fact| Arc::new(images.draw(&fact, 0.0, &mut stream))).collect();
            for person in PERSONS {
                let image = images.draw(&Scene { concept: person, ..scene }, spoiled, &mut stream);
                let list = if person == scene.concept { &mut right } else { &mut wrong };
                match expert.score(&[sample(image, references.clone())])?.pop() {
                    Some(Score::Value(value)) => list.push(value),
                    _ => unseen += 1,
                }
            }
        }
        println!(
            "fer: AUC {:.4} of the right person against the other on held-out scenes, {sort} images; mean right {:.3}, \
             wrong {:.3}; no face found in {unseen} of {}",
            auc(&right, &wrong),
            mean(&right),
            mean(&wrong),
            unseen + right.len() + wrong.len()
        );
    }
    Ok(())
}

fn sample(image: RgbImage, references: Vec<Arc<RgbImage>>) -> Sample {
    let task = Task::new(0, "").with_class("person").with_references(references);
    Sample::new(&task, 0, String::new(), String::new(), Some(Arc::new(image)))
}
