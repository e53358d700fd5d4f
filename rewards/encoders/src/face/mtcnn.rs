//! MTCNN: three small networks in a row find the faces of an image, each sees what the one before it let through.

use burn::tensor::{DType, Device, Tensor, TensorData};
use counterpoint::{Error, Result};
use counterpoint_pictures::within;
use image::RgbImage;
use rayon::iter::{IntoParallelIterator, ParallelIterator};
use rayon::slice::ParallelSlice;

use crate::preprocess::{ImageProcessorConfig, Size};

mod area;
mod boxes;
mod config;
mod nets;

use area::resample;
use boxes::{Candidate, Overlap, suppress};
use nets::{Nets, ONet, RNet};

pub use config::MtcnnConfig;

/// Side of the smallest face that the first network can see, in pixels.
const CELL: f64 = 12.0;
/// Most candidates of one forward pass.
const BATCH: usize = 64;

/// A face in an image.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Face {
    /// Left, top, right and bottom in pixels; may reach beyond the image.
    pub corners: [f32; 4],
    /// Probability that it is one.
    pub probability: f32,
    /// Eyes, nose and corners of the mouth, those on the left of the image first: x and y in pixels.
    pub landmarks: [[f32; 2]; 5],
}

impl Face {
    /// The same in an image so many times as wide and as high.
    fn scaled(self, x: f32, y: f32) -> Self {
        let [left, top, right, bottom] = self.corners;
        Self {
            corners: [left * x, top * y, right * x, bottom * y],
            landmarks: self.landmarks.map(|[a, b]| [a * x, b * y]),
            ..self
        }
    }

    fn area(&self) -> f32 {
        let [left, top, right, bottom] = self.corners;
        (right - left) * (bottom - top)
    }
}

/// The face detector.
#[derive(Debug)]
pub struct Mtcnn {
    nets: Nets,
    config: MtcnnConfig,
    device: Device,
}

impl Mtcnn {
    /// Settings of the detector.
    pub fn config(&self) -> &MtcnnConfig {
        &self.config
    }

    /// The same detector, whose crops reach `margin` pixels beyond a face's box, both sides together, of the
    /// [`image_size`](MtcnnConfig::image_size) that a crop has.
    ///
    /// # Errors
    /// When the margin leaves no pixel for the face.
    pub fn with_margin(mut self, margin: usize) -> Result<Self> {
        let size = self.config.image_size;
        if margin >= size {
            return Err(Error::config(format!(
                "mtcnn: expected a margin below the {size} pixels of a crop (image_size), got {margin}"
            )));
        }
        self.config.margin = margin;
        Ok(self)
    }

    /// The same detector, which looks for faces in at most `max_side` pixels ([`MtcnnConfig::max_side`]).
    ///
    /// # Errors
    /// When no face would fit in.
    pub fn with_max_side(mut self, max_side: usize) -> Result<Self> {
        let least = self.config.min_face_size;
        if max_side < least {
            return Err(Error::config(format!(
                "mtcnn: expected a max_side of at least the {least} pixels of a face (min_face_size), got {max_side}"
            )));
        }
        self.config.max_side = max_side;
        Ok(self)
    }

    /// All faces of `image`, in the order that the settings ask for. What comes out depends on this image alone.
    pub fn detect(&self, image: &RgbImage) -> Vec<Face> {
        let smaller = within(image, u32::try_from(self.config.max_side).unwrap_or(u32::MAX));
        let faces = self.detect_in(&smaller);
        if smaller.dimensions() == image.dimensions() {
            return faces;
        }
        let times = |whole: u32, part: u32| (f64::from(whole) / f64::from(part)) as f32;
        let [x, y] = [times(image.width(), smaller.width()), times(image.height(), smaller.height())];
        faces.into_iter().map(|face| face.scaled(x, y)).collect()
    }

    fn detect_in(&self, image: &RgbImage) -> Vec<Face> {
        let proposed = self.propose(image);
        let refined = self.refine(image, proposed);
        let mut faces: Vec<Face> = self
            .output(image, refined)
            .into_iter()
            .map(|c| Face { corners: c.corners, probability: c.score, landmarks: c.landmarks })
            .collect();
        if self.config.select_largest {
            faces.sort_by(|a, b| b.area().total_cmp(&a.area()));
        }
        faces
    }

    /// The largest face of `image`, whatever order the settings ask for.
    pub fn largest(&self, image: &RgbImage) -> Option<Face> {
        self.detect(image).into_iter().max_by(|a, b| a.area().total_cmp(&b.area()))
    }

    /// The picture of `face` alone, at the size it has in `image`, with the margin that the settings ask for.
    ///
    /// # Errors
    /// When the image has no pixels.
    pub fn cut(&self, image: &RgbImage, face: &Face) -> Result<RgbImage> {
        let (width, height) = image.dimensions();
        if width == 0 || height == 0 {
            return Err(Error::data(format!("mtcnn: expected an image, got one of {width}x{height} pixels")));
        }
        let [left, top, right, bottom] = face.corners;
        let (margin, inner) = (self.config.margin as f32, (self.config.image_size - self.config.margin) as f32);
        let (beside, above) = (margin * (right - left) / inner / 2.0, margin * (bottom - top) / inner / 2.0);
        // At least one pixel, wherever the box lies.
        let x = ((left - beside).max(0.0) as u32).min(width - 1);
        let y = ((top - above).max(0.0) as u32).min(height - 1);
        let end_x = ((right + beside).min(width as f32) as u32).max(x + 1);
        let end_y = ((bottom + above).min(height as f32) as u32).max(y + 1);
        Ok(image::imageops::crop_imm(image, x, y, end_x - x, end_y - y).to_image())
    }

    /// Crops of faces of `image`, resized as Pillow does it (bilinear).
    ///
    /// # Shapes
    /// - result: `[faces, 3, image_size, image_size]`; standardised, or bytes 0 to 255, as the settings ask for
    ///
    /// # Errors
    /// When there is no face or the image has no pixels.
    pub fn crops(&self, image: &RgbImage, faces: &[Face]) -> Result<Tensor<4>> {
        let cut: Vec<RgbImage> = faces.iter().map(|face| self.cut(image, face)).collect::<Result<_>>()?;
        let side = self.config.image_size as u32;
        let processor = ImageProcessorConfig {
            size: Size::Exact { height: side, width: side },
            resample: 2,
            do_rescale: false,
            do_normalize: self.config.post_process,
            image_mean: [127.5; 3],
            image_std: [128.0; 3],
            ..ImageProcessorConfig::default()
        };
        processor.init()?.forward(&cut.iter().collect::<Vec<_>>(), &self.device)
    }

    /// The crops of the faces of `image`: of all if the settings say `keep_all`, of the first otherwise; `None` if there
    /// is no face.
    ///
    /// # Shapes
    /// - result: as [`crops`](Self::crops)
    ///
    /// # Errors
    /// As [`crops`](Self::crops).
    pub fn forward(&self, image: &RgbImage) -> Result<Option<Tensor<4>>> {
        let mut faces = self.detect(image);
        if !self.config.keep_all {
            faces.truncate(1);
        }
        if faces.is_empty() { Ok(None) } else { self.crops(image, &faces).map(Some) }
    }

    /// First stage: the fully convolutional network over a pyramid of the image.
    fn propose(&self, image: &RgbImage) -> Vec<Candidate> {
        let size = [image.width() as usize, image.height() as usize];
        let mut scale = CELL / self.config.min_face_size as f64;
        let mut shorter = size[0].min(size[1]) as f64 * scale;
        let mut levels = Vec::new();
        while shorter >= CELL {
            levels.push((size.map(|side| (side as f64 * scale + 1.0) as usize), scale as f32));
            scale *= self.config.factor;
            shorter *= self.config.factor;
        }
        // Each level is about half of the one before it: on two cores they take as long as the first.
        let all = levels
            .into_par_iter()
            .flat_map_iter(|(level, scale)| suppress(self.propose_at(image, level, scale), 0.5, Overlap::Union))
            .collect();
        let mut kept = suppress(all, 0.7, Overlap::Union);
        for candidate in &mut kept {
            candidate.regress(0.0);
            candidate.square();
        }
        kept
    }

    fn propose_at(&self, image: &RgbImage, [width, height]: [usize; 2], scale: f32) -> Vec<Candidate> {
        let mut pixels = Vec::new();
        let whole = [0, 0, image.width() as usize, image.height() as usize];
        resample(image, whole, [width, height], &mut pixels);
        let pixels = Tensor::from_data(TensorData::new(pixels, [1, height, width, 3]), (&self.device, DType::F32));
        let (scores, offsets) = self.nets.pnet.forward(pixels);
        let columns = scores.dims()[2];
        let (scores, offsets) = (values(scores), values(offsets));
        let likely = scores.iter().enumerate().filter(|(_, score)| **score >= self.config.thresholds[0]);
        likely
            .map(|(i, &score)| {
                let corner = |cell: usize, inside: usize| ((2 * cell + inside) as f32 / scale).floor();
                let (x, y) = (i % columns, i / columns);
                Candidate {
                    corners: [corner(x, 1), corner(y, 1), corner(x, 12), corner(y, 12)],
                    score,
                    offsets: std::array::from_fn(|k| offsets[4 * i + k]),
                    landmarks: [[0.0; 2]; 5],
                }
            })
            .collect()
    }

    /// Second stage: rejects most candidates and moves the rest.
    fn refine(&self, image: &RgbImage, candidates: Vec<Candidate>) -> Vec<Candidate> {
        let kept = self.batches(image, candidates, RNet::SIDE, |batch, pixels| {
            let (scores, offsets) = self.nets.rnet.forward(pixels);
            let (scores, offsets) = (values(scores), values(offsets));
            let judged = batch.into_iter().enumerate().map(|(i, candidate)| Candidate {
                score: scores[i],
                offsets: std::array::from_fn(|k| offsets[4 * i + k]),
                ..candidate
            });
            judged.filter(|candidate| candidate.score > self.config.thresholds[1]).collect()
        });
        let mut kept = suppress(kept, 0.7, Overlap::Union);
        for candidate in &mut kept {
            candidate.regress(1.0);
            candidate.square();
        }
        kept
    }

    /// Third stage: rejects more, moves the rest and finds their landmarks.
    fn output(&self, image: &RgbImage, candidates: Vec<Candidate>) -> Vec<Candidate> {
        let kept = self.batches(image, candidates, ONet::SIDE, |batch, pixels| {
            let (scores, offsets, points) = self.nets.onet.forward(pixels);
            let (scores, offsets, points) = (values(scores), values(offsets), values(points));
            let judged = batch.into_iter().enumerate().map(|(i, candidate)| {
                let [left, top, right, bottom] = candidate.corners;
                let (width, height) = (right - left + 1.0, bottom - top + 1.0);
                let point =
                    |k: usize| [width * points[10 * i + k] + left - 1.0, height * points[10 * i + 5 + k] + top - 1.0];
                let mut candidate = Candidate {
                    score: scores[i],
                    offsets: std::array::from_fn(|k| offsets[4 * i + k]),
                    landmarks: std::array::from_fn(point),
                    ..candidate
                };
                candidate.regress(1.0);
                candidate
            });
            judged.filter(|candidate| candidate.score > self.config.thresholds[2]).collect()
        });
        suppress(kept, 0.7, Overlap::Smaller)
    }

    /// What `judge` keeps of the candidates that cover pixels of the image, given those pixels at `side` x `side`.
    fn batches(
        &self,
        image: &RgbImage,
        candidates: Vec<Candidate>,
        side: usize,
        judge: impl Fn(Vec<Candidate>, Tensor<4>) -> Vec<Candidate> + Sync,
    ) -> Vec<Candidate> {
        let size = [image.width() as usize, image.height() as usize];
        let inside: Vec<(Candidate, [usize; 4])> =
            candidates.into_iter().filter_map(|c| c.pixels(size).map(|part| (c, part))).collect();
        let batch = |chunk: &[(Candidate, [usize; 4])]| {
            let mut pixels = Vec::with_capacity(chunk.len() * side * side * 3);
            for (_, part) in chunk {
                resample(image, *part, [side, side], &mut pixels);
            }
            let data = TensorData::new(pixels, [chunk.len(), side, side, 3]);
            let pixels = Tensor::from_data(data, (&self.device, DType::F32));
            judge(chunk.iter().map(|(candidate, _)| *candidate).collect(), pixels)
        };
        inside.par_chunks(BATCH).flat_map_iter(batch).collect()
    }
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().iter::<f32>().collect()
}
