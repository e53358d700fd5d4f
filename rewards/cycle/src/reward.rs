//! The reward: both parts together.

use std::borrow::Cow;
use std::sync::Arc;

use burn::tensor::Device;
use counterpoint::{Error, Judges, Result, Reward, Sample, Score, device};
use counterpoint_encoders::by_noun;
use image::RgbImage;

use crate::{BertScore, Captions, CycleConfig, Distance};

impl CycleConfig {
    /// Loads the networks of the parts that are asked for; they compute on `default` unless the settings name another device.
    ///
    /// # Errors
    /// When no part is asked for, `lpips` is and the program was built without it, a file is missing or damaged, the files do not belong
    /// together, or a setting is out of range.
    pub fn init(&self, default: &Device) -> Result<Cycle> {
        self.load(default).map_err(|e| e.at("cycle"))
    }

    fn load(&self, default: &Device) -> Result<Cycle> {
        if self.lpips.is_none() && self.caption.is_none() {
            return Err(Error::config("expected `lpips`, `caption` or both, got neither"));
        }
        if self.batch == 0 {
            return Err(Error::config("expected batch of 1 or more, got 0"));
        }
        let device = device::named_or(self.device.as_deref(), default)?;
        let distance = self.lpips.as_ref().map(|part| Distance::load(part, &device)).transpose()?;
        let caption = match &self.caption {
            Some(part) => Some(Caption {
                captions: Captions::load(part, self.dtype, &device)?,
                score: BertScore::load(part, self.dtype, &device)?,
            }),
            None => None,
        };
        Ok(Cycle { distance, caption, concept_noun: self.concept_noun, batch: self.batch, device })
    }
}

/// The sum of the parts: 1 - LPIPS, at most 1 and negative for images that have nothing in common, and BERTScore-F1, at most 1.
///
/// A sample without an image, without a prompt where a caption is asked for, or without a reference where LPIPS is, is abstained from as a
/// whole: half a sum is on another scale.
#[derive(Debug)]
pub struct Cycle {
    distance: Option<Distance>,
    caption: Option<Caption>,
    concept_noun: bool,
    batch: usize,
    device: Device,
}

#[derive(Debug)]
struct Caption {
    captions: Captions,
    score: BertScore,
}

/// What is compared of a sample.
struct Usable<'a> {
    image: &'a RgbImage,
    references: &'a [Arc<RgbImage>],
    prompt: Cow<'a, str>,
}

impl Cycle {
    /// What `sample` has to be compared, or why it cannot be.
    fn usable<'a>(&self, sample: &'a Sample) -> Result<Usable<'a>, Score> {
        let image = sample.image.as_deref().ok_or_else(|| Score::Abstain("no image to compare".into()))?;
        let references = if self.distance.is_some() { &sample.references[..] } else { &[] };
        if std::iter::once(image).chain(references.iter().map(Arc::as_ref)).any(|i| i.width() == 0 || i.height() == 0) {
            return Err(Score::Fail("expected images, got one without pixels".into()));
        }
        if self.distance.is_some() && references.is_empty() {
            return Err(Score::Abstain("no reference image".into()));
        }
        let prompt = if self.concept_noun { by_noun(sample) } else { Cow::from(&sample.prompt) };
        if self.caption.is_some() && prompt.trim().is_empty() {
            return Err(Score::Abstain("no prompt to compare".into()));
        }
        Ok(Usable { image, references, prompt })
    }

    /// BERTScore-F1 of each sample's caption and prompt, 0 where no caption is asked for.
    fn texts(&mut self, samples: &[&Usable<'_>]) -> Result<Vec<f64>> {
        let Some(Caption { captions, score }) = &mut self.caption else { return Ok(vec![0.0; samples.len()]) };
        let images: Vec<&RgbImage> = samples.iter().map(|sample| sample.image).collect();
        let mut written = Vec::with_capacity(images.len());
        for images in images.chunks(self.batch) {
            written.extend(captions.of(images)?);
        }
        let pairs: Vec<_> = written.iter().map(String::as_str).zip(samples.iter().map(|s| &*s.prompt)).collect();
        score.f1(&pairs)
    }

    /// 1 - LPIPS of each sample's image and its references, 0 where it is not asked for.
    fn images(&self, samples: &[&Usable<'_>]) -> Result<Vec<f64>> {
        let Some(distance) = &self.distance else { return Ok(vec![0.0; samples.len()]) };
        let pairs = samples.iter().flat_map(|s| s.references.iter().map(|reference| (s.image, reference.as_ref())));
        let mut distances = Vec::new();
        for pairs in pairs.collect::<Vec<_>>().chunks(self.batch) {
            distances.extend(distance.between(pairs)?);
        }
        let mut distances = distances.into_iter();
        let mean = |n: usize| distances.by_ref().take(n).sum::<f64>() / n as f64;
        let means: Vec<f64> = samples.iter().map(|sample| sample.references.len()).map(mean).collect();
        Ok(means.into_iter().map(|mean| 1.0 - mean).collect())
    }
}

impl Reward for Cycle {
    fn name(&self) -> &str {
        "cycle"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let usable: Vec<_> = samples.iter().map(|sample| self.usable(sample)).collect();
        let used: Vec<&Usable<'_>> = usable.iter().filter_map(|usable| usable.as_ref().ok()).collect();
        let (texts, images) = (self.texts(&used)?, self.images(&used)?);
        let mut sums = texts.iter().zip(&images).map(|(text, image)| text + image);
        let score = |usable: Result<_, Score>| match usable.map(|_| sums.next().unwrap_or(f64::NAN)) {
            Ok(sum) if sum.is_finite() => Score::Value(sum),
            Ok(sum) => Score::Fail(format!("expected a finite score, got {sum}")),
            Err(score) => score,
        };
        Ok(usable.iter().map(|usable| usable.as_ref().map_err(Score::clone)).map(score).collect())
    }

    /// With a caption both: the compound prompt that it is compared with has the answer in it.
    fn judges(&self) -> Judges {
        if self.caption.is_some() { Judges::Both } else { Judges::Generation }
    }

    fn device(&self) -> Option<String> {
        Some(device::name(&self.device))
    }
}
