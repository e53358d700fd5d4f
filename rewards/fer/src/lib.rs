//! FER, the face expert reward: does the image show the person of the reference images?
//!
//! MTCNN finds the faces, the largest of each image is cut out, and FaceNet turns it into a unit vector. The vectors of
//! several references are averaged; the score is the cosine of the image's vector with that average. References without
//! a face are left out. An image without a face scores 0, or hiding the face would pay.

mod check;
mod files;

pub use files::{DETECTOR_FILES, WEIGHTS_FILES};

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use counterpoint::{Judges, Result, Reward, Sample, Score, Task};
use counterpoint_encoders::cache::Embedded;
use counterpoint_encoders::expert::{ExpertConfig as _, device};
use counterpoint_encoders::face::{FaceEmbedder, Mtcnn, MtcnnConfig};
use counterpoint_encoders::{EmbeddingCache, expert};
use counterpoint_weights::Precision;
use image::RgbImage;
use serde::{Deserialize, Serialize};

expert!("fer", FerConfig => Fer, { detector: DETECTOR_FILES, weights: WEIGHTS_FILES }, cache);

/// Settings of [`Fer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FerConfig {
    /// MTCNN: a folder or file as [`MtcnnConfig::load`] takes it, see [`DETECTOR_FILES`]; or `hf:OWNER/NAME`.
    pub detector: PathBuf,
    /// FaceNet: a folder or file as [`FaceEmbedder::load`] takes it, see [`WEIGHTS_FILES`]; or `hf:OWNER/NAME`.
    pub weights: PathBuf,
    /// What an image without a face gets: `zero` or `abstain`. Default: `zero`.
    #[serde(default)]
    pub no_face: NoFace,
    /// Pixels of a crop that lie beyond the face's box, both sides together, of the detector's `image_size` (160): the `margin`
    /// of facenet-pytorch. References are cut alike. Default: what the detector's `config.json` says, else 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<usize>,
    /// Longest side in pixels in which faces are looked for, of images and references ([`MtcnnConfig::max_side`]): time and memory
    /// grow with its square. Default: what the detector's `config.json` says, else 1600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_side: Option<usize>,
    /// Most faces of one forward pass of FaceNet, 1 or more. Default: 64.
    #[serde(default = "batch")]
    pub batch: usize,
    /// Folder in which the vectors of references are kept under a hash of weights, settings and pixels; several runs may share
    /// it. Default: none, they are kept in memory alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<PathBuf>,
    /// Where it computes: `flex` (CPU), `cuda:N`, `wgpu` or another device by its name. Default: the run's device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// What FaceNet's matrices are stored and multiplied in: `f32`, `bf16` or `f16`. The detector is f32 in any case: what it
    /// finds hangs on thresholds. Default: `f32`.
    #[serde(default)]
    pub dtype: Precision,
}

/// What an image without a face gets, where a reference shows one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoFace {
    /// The score 0, that of a stranger. An abstention would leave the candidate with the mean of its other rewards, which a poor
    /// likeness lowers: turning away would pay.
    #[default]
    Zero,
    /// An abstention: for tasks that ask for images without a face too.
    Abstain,
}

fn batch() -> usize {
    64
}

impl FerConfig {
    /// The expert with the detector and the tower at these places, all else by default.
    pub fn new(detector: impl Into<PathBuf>, weights: impl Into<PathBuf>) -> Self {
        Self {
            detector: detector.into(),
            weights: weights.into(),
            no_face: NoFace::default(),
            margin: None,
            max_side: None,
            batch: batch(),
            cache: None,
            device: None,
            dtype: Precision::default(),
        }
    }

    /// Loads the detector and the tower; they compute on `default` unless the settings name another device.
    ///
    /// # Errors
    /// When a file is missing or damaged, the files do not belong together, or a setting is out of range.
    pub fn init(&self, default: &Device) -> Result<Fer> {
        let device = device::<Self>(self.batch, self.device.as_deref(), default)?;
        let mut detector = MtcnnConfig::load(&self.detector, &device)?;
        if let Some(margin) = self.margin {
            detector = detector.with_margin(margin).map_err(|e| e.at("fer: margin"))?;
        }
        if let Some(max_side) = self.max_side {
            detector = detector.with_max_side(max_side).map_err(|e| e.at("fer: max_side"))?;
        }
        let tower = FaceEmbedder::load(&self.weights, self.dtype, &device)?;
        let decisive = (detector.config(), tower.config(), self.dtype, format!("{device:?}"));
        let references = EmbeddingCache::new(self.cache.clone(), &[&self.detector, &self.weights], &decisive)?;
        Ok(Fer { faces: Faces { detector, tower, batch: self.batch }, no_face: self.no_face, references, device })
    }
}

/// The FER reward, in -1..=1. It abstains from a sample without an image, without a reference, or without a face in any
/// reference; what a sample without a face in the image gets is a setting, [`NoFace`].
///
/// Tasks of whose references none shows a face are refused before the first step ([`Reward::check`]).
#[derive(Debug)]
pub struct Fer {
    faces: Faces,
    no_face: NoFace,
    references: EmbeddingCache,
    device: Device,
}

#[derive(Debug)]
struct Faces {
    detector: Mtcnn,
    tower: FaceEmbedder,
    batch: usize,
}

impl Faces {
    fn largest(&self, image: &RgbImage) -> Result<Option<RgbImage>> {
        self.detector.largest(image).map(|face| self.detector.cut(image, &face)).transpose()
    }

    fn embed(&self, faces: &[&RgbImage]) -> Result<Vec<Vec<f32>>> {
        let mut rows = Vec::with_capacity(faces.len());
        for faces in faces.chunks(self.batch) {
            let vectors: Tensor<2> = self.tower.embed(faces)?;
            let width = vectors.dims()[1];
            let values: Vec<f32> = vectors.into_data().iter::<f32>().collect();
            rows.extend(values.chunks(width).map(<[f32]>::to_vec));
        }
        Ok(rows)
    }
}

impl Faces {
    /// The vector of the largest face of `image`, made in a batch of its own: it depends on the image alone, to the last bit.
    fn vector(&self, image: &RgbImage) -> Result<Option<Vec<f32>>> {
        match self.largest(image)? {
            Some(face) => Ok(self.embed(&[&face])?.pop()),
            None => Ok(None),
        }
    }
}

impl Fer {
    /// The picture of the largest face of `image`; `None` if it shows none.
    ///
    /// # Errors
    /// When the image is empty.
    pub fn face(&self, image: &RgbImage) -> Result<Option<RgbImage>> {
        self.faces.largest(image)
    }

    /// One unit vector per picture of a face.
    ///
    /// # Errors
    /// When a picture is empty.
    pub fn embed(&self, faces: &[&RgbImage]) -> Result<Vec<Vec<f32>>> {
        self.faces.embed(faces)
    }
}

/// The sum of the vectors of those references that show a face.
fn person(references: &[Arc<RgbImage>], known: &Embedded) -> Option<Vec<f64>> {
    let mut sum: Option<Vec<f64>> = None;
    for vector in references.iter().filter_map(|reference| known.of(reference)) {
        let sum = sum.get_or_insert_with(|| vec![0.0; vector.len()]);
        sum.iter_mut().zip(vector).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    sum
}

/// What is known of a sample before the faces of the images are embedded.
enum Judged {
    Score(Score),
    /// The face in the image and the person it should show.
    Face(RgbImage, Vec<f64>),
}

impl Reward for Fer {
    fn name(&self) -> &str {
        FerConfig::NAME
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let usable = samples.iter().filter(|sample| unusable(sample).is_none());
        let references =
            self.references.all(usable.flat_map(|sample| &sample.references), |image| self.faces.vector(image))?;
        let judge = |sample| judge(&self.faces, sample, &references, self.no_face);
        let judged: Vec<Judged> = samples.iter().map(judge).collect::<Result<_>>()?;
        let faces: Vec<&RgbImage> = judged
            .iter()
            .filter_map(|judged| match judged {
                Judged::Score(_) => None,
                Judged::Face(face, _) => Some(face),
            })
            .collect();
        let mut rows = self.embed(&faces)?.into_iter();
        let score = |judged: Judged| match judged {
            Judged::Score(score) => score,
            Judged::Face(_, person) => cosine(&rows.next().unwrap_or_default(), &person),
        };
        Ok(judged.into_iter().map(score).collect())
    }

    fn check(&mut self, tasks: &[Task]) -> Result<()> {
        let references = tasks.iter().flat_map(|task| &task.references);
        let references = self.references.all(references, |image| self.faces.vector(image))?;
        check::faces(tasks, |image| references.of(image).is_some())
    }

    /// It compares images alone.
    fn judges(&self) -> Judges {
        Judges::Generation
    }

    fn device(&self) -> Option<String> {
        Some(counterpoint::device::name(&self.device))
    }
}

/// What can be said of a sample without looking at an image.
fn unusable(sample: &Sample) -> Option<Score> {
    let Some(image) = &sample.image else { return Some(Score::Abstain("no image to compare".into())) };
    if sample.references.is_empty() {
        return Some(Score::Abstain("no reference image".into()));
    }
    let empty = std::iter::once(image).chain(&sample.references).any(|i| i.width() == 0 || i.height() == 0);
    empty.then(|| Score::Fail("expected images, got one without pixels".into()))
}

fn judge(faces: &Faces, sample: &Sample, references: &Embedded, no_face: NoFace) -> Result<Judged> {
    let abstain = |why: &str| Ok(Judged::Score(Score::Abstain(why.into())));
    if let Some(score) = unusable(sample) {
        return Ok(Judged::Score(score));
    }
    let Some(person) = person(&sample.references, references) else { return abstain("no face in any reference") };
    let face = sample.image.as_deref().map(|image| faces.largest(image)).transpose()?.flatten();
    match (face, no_face) {
        (Some(face), _) => Ok(Judged::Face(face, person)),
        (None, NoFace::Zero) => Ok(Judged::Score(Score::Value(0.0))),
        (None, NoFace::Abstain) => abstain("no face in the image"),
    }
}

fn cosine(a: &[f32], b: &[f64]) -> Score {
    let dot: f64 = a.iter().zip(b).map(|(&a, b)| f64::from(a) * b).sum();
    let (a, b): (f64, f64) = (a.iter().map(|&a| f64::from(a).powi(2)).sum(), b.iter().map(|b| b * b).sum());
    match dot / (a * b).sqrt() {
        s if s.is_finite() => Score::Value(s.clamp(-1.0, 1.0)),
        s => Score::Fail(format!("expected a finite cosine, got {s}")),
    }
}
