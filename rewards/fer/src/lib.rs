//! FER, the face expert reward: does the image show the person of the reference images?
//!
//! MTCNN finds the faces, the largest of each image is cut out, and FaceNet turns it into a unit vector. The vectors of
//! several references are averaged; the score is the cosine of the image's vector with that average. References without
//! a face are left out.

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::{Device, Tensor};
use counterpoint::registry::{RewardEntry, settings};
use counterpoint::{Error, Result, Reward, Sample, Score, inventory};
use counterpoint_encoders::face::{FaceEmbedder, Mtcnn, MtcnnConfig};
use image::RgbImage;
use serde::{Deserialize, Serialize};

mod memo;

use memo::Memo;

inventory::submit! {
    RewardEntry {
        name: "fer",
        build: |table, context| {
            let mut config: FerConfig = settings("fer", table)?;
            config.detector = context.resolve(&config.detector);
            config.weights = context.resolve(&config.weights);
            Ok(Box::new(config.init(&context.device)?))
        },
    }
}

/// Settings of [`Fer`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FerConfig {
    /// MTCNN: a folder or file as [`MtcnnConfig::load`] takes it.
    pub detector: PathBuf,
    /// FaceNet: a folder or file as [`FaceEmbedder::load`] takes it.
    pub weights: PathBuf,
    /// Most faces of one forward pass of FaceNet, 1 or more. Default: 64.
    #[serde(default = "batch")]
    pub batch: usize,
}

fn batch() -> usize {
    64
}

impl FerConfig {
    /// Loads the detector and the tower.
    ///
    /// # Errors
    /// When a file is missing or damaged, the files do not belong together, or a setting is out of range.
    pub fn init(&self, device: &Device) -> Result<Fer> {
        if self.batch == 0 {
            return Err(Error::config("fer: expected batch of 1 or more, got 0"));
        }
        Ok(Fer {
            detector: MtcnnConfig::load(&self.detector, device)?,
            tower: FaceEmbedder::load(&self.weights, device)?,
            batch: self.batch,
            references: Memo::default(),
        })
    }
}

/// The FER reward, in -1..=1. It abstains from a sample without an image, without a reference, or without a face in the
/// image or in any reference.
#[derive(Debug)]
pub struct Fer {
    detector: Mtcnn,
    tower: FaceEmbedder,
    batch: usize,
    references: Memo,
}

impl Fer {
    /// The picture of the largest face of `image`; `None` if it shows none.
    ///
    /// # Errors
    /// When the image is empty.
    pub fn face(&self, image: &RgbImage) -> Result<Option<RgbImage>> {
        self.detector.largest(image).map(|face| self.detector.cut(image, &face)).transpose()
    }

    /// One unit vector per picture of a face.
    ///
    /// # Errors
    /// When a picture is empty.
    pub fn embed(&self, faces: &[&RgbImage]) -> Result<Vec<Vec<f32>>> {
        let mut rows = Vec::with_capacity(faces.len());
        for faces in faces.chunks(self.batch) {
            let vectors: Tensor<2> = self.tower.embed(faces)?;
            let width = vectors.dims()[1];
            let values: Vec<f32> = vectors.into_data().iter::<f32>().collect();
            rows.extend(values.chunks(width).map(<[f32]>::to_vec));
        }
        Ok(rows)
    }

    /// The vector of the largest face of a reference, made in a batch of its own: it depends on the image alone, to the
    /// last bit, however often and beside what it is asked for.
    fn reference(&mut self, image: &RgbImage) -> Result<Option<Arc<[f32]>>> {
        let key = Memo::key(image);
        if let Some(known) = self.references.get(&key) {
            return Ok(known);
        }
        let vector = match self.face(image)? {
            Some(face) => self.embed(&[&face])?.pop().map(Arc::from),
            None => None,
        };
        Ok(self.references.put(key, vector))
    }

    /// The sum of the vectors of those references that show a face.
    fn person(&mut self, references: &[Arc<RgbImage>]) -> Result<Option<Vec<f64>>> {
        let mut sum: Option<Vec<f64>> = None;
        for reference in references {
            let Some(vector) = self.reference(reference)? else { continue };
            let sum = sum.get_or_insert_with(|| vec![0.0; vector.len()]);
            sum.iter_mut().zip(vector.iter()).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        Ok(sum)
    }
}

/// What is known of a sample before the faces of the images are embedded.
enum Judged {
    Score(Score),
    /// The face in the image and the person it should show.
    Face(RgbImage, Vec<f64>),
}

impl Reward for Fer {
    fn name(&self) -> &str {
        "fer"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let judged: Vec<Judged> = samples.iter().map(|sample| self.judge(sample)).collect::<Result<_>>()?;
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
}

impl Fer {
    fn judge(&mut self, sample: &Sample) -> Result<Judged> {
        let abstain = |why: &str| Ok(Judged::Score(Score::Abstain(why.into())));
        let Some(image) = &sample.image else { return abstain("no image to compare") };
        if sample.references.is_empty() {
            return abstain("no reference image");
        }
        if std::iter::once(image).chain(&sample.references).any(|i| i.width() == 0 || i.height() == 0) {
            return Ok(Judged::Score(Score::Fail("expected images, got one without pixels".into())));
        }
        let Some(person) = self.person(&sample.references)? else { return abstain("no face in any reference") };
        let Some(face) = self.face(image)? else { return abstain("no face in the image") };
        Ok(Judged::Face(face, person))
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
