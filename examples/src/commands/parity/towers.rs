//! Reward towers against the originals: what DIR's `expected.safetensors` has under `inputs.` goes in, what it has under
//! `outputs.` has to come out.

use std::path::Path;

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use counterpoint::{Error, Result};
use counterpoint_encoders::bert::{Pooling, TokenTypes};
use counterpoint_encoders::face::{FaceEmbedder, MtcnnConfig};
use counterpoint_encoders::{BertConfig, Blip2, Blip2Config, CaptionerConfig, ClipConfig, Dinov2, Dinov2Config};
use counterpoint_weights::Precision;
use image::RgbImage;

use super::fixture::Expected;
use super::report::{Report, Tolerance};

/// A tower of the reward experts.
#[derive(Debug, Clone, Copy)]
pub enum Tower {
    Bert,
    Ernie,
    Clip,
    Dinov2,
    Blip2,
    Captioner,
    Mtcnn,
    Facenet,
}

pub fn run(tower: Tower, dir: &Path, device: &Device, precision: Precision, report: &mut Report) -> Result<()> {
    let expected = Expected::open(dir)?;
    let limit = if precision == Precision::F32 { 1e-4 } else { 0.1 };
    let mut run = Run { expected, dir, device, precision, limit, report };
    let compared = run.report.lines.len();
    match tower {
        Tower::Bert => run.bert(false)?,
        Tower::Ernie => run.bert(true)?,
        Tower::Clip => run.clip()?,
        Tower::Dinov2 => run.dinov2()?,
        Tower::Blip2 => run.blip2()?,
        Tower::Captioner => run.captioner()?,
        Tower::Mtcnn => run.mtcnn()?,
        Tower::Facenet => run.facenet()?,
    }
    // An output that nobody compared would be a silent success.
    let outputs = run.expected.names("outputs.")?.len();
    match run.report.lines.len() - compared {
        n if n >= outputs => Ok(()),
        n => Err(Error::data(format!("expected to compare all {outputs} outputs of the folder, compared {n}"))),
    }
}

struct Run<'a> {
    expected: Expected,
    dir: &'a Path,
    device: &'a Device,
    precision: Precision,
    /// Largest relative error.
    limit: f64,
    report: &'a mut Report,
}

impl Run<'_> {
    fn floats<const D: usize>(&self, name: &str) -> Result<Tensor<D>> {
        let golden = self.expected.get(&format!("inputs.{name}"))?;
        Ok(Tensor::from_data(TensorData::new(golden.floats(), golden.shape), self.device))
    }

    fn ints(&self, name: &str) -> Result<Tensor<2, Int>> {
        let golden = self.expected.get(&format!("inputs.{name}"))?;
        let values: Vec<i64> = golden.values.iter().map(|&v| v as i64).collect();
        Ok(Tensor::from_data(TensorData::new(values, golden.shape), self.device))
    }

    fn mask(&self) -> Result<Tensor<2, Bool>> {
        Ok(self.ints("attention_mask")?.equal_elem(1))
    }

    fn has(&self, name: &str) -> Result<bool> {
        Ok(self.expected.names("")?.iter().any(|known| known == name))
    }

    fn compare<const D: usize>(&mut self, name: &str, got: Tensor<D>) -> Result<()> {
        self.compare_to(name, got, Tolerance::Relative(self.limit))
    }

    fn compare_to<const D: usize>(&mut self, name: &str, got: Tensor<D>, tolerance: Tolerance) -> Result<()> {
        let expected = self.expected.get(&format!("outputs.{name}"))?;
        if got.dims()[..] != expected.shape[..] {
            let message = format!("{name}: expected shape {:?}, got {:?}", expected.shape, got.dims());
            return Err(Error::data(message));
        }
        let got: Vec<f64> = got.into_data().iter::<f64>().collect();
        self.report.compare(name, &expected.values, &got, tolerance);
        Ok(())
    }

    fn bert(&mut self, task_types: bool) -> Result<()> {
        let tower = BertConfig::load(self.dir, self.precision, self.device)?;
        let keep = self.mask()?;
        let task = task_types.then(|| self.ints("task_type_ids")).transpose()?;
        let types = TokenTypes { segment: Some(self.ints("token_type_ids")?), task };
        let hidden = tower.forward(self.ints("input_ids")?, &keep, types);
        self.compare("last_hidden_state", hidden.clone())?;
        self.compare("mean_pooled", Pooling::Mean.pool(hidden, &keep))
    }

    fn clip(&mut self) -> Result<()> {
        let towers = ClipConfig::load(self.dir, self.precision, self.device)?;
        let images = towers.embed_images(self.floats("pixel_values")?)?;
        let texts = towers.embed_texts(self.ints("input_ids")?);
        self.compare("image_embeds", images.clone())?;
        self.compare("text_embeds", texts.clone())?;
        self.compare("logits_per_image", towers.logits(images, texts))
    }

    fn dinov2(&mut self) -> Result<()> {
        let tower = Dinov2Config::load(self.dir, self.precision, self.device)?;
        let tokens = tower.forward(self.floats("pixel_values")?)?;
        self.compare("last_hidden_state", tokens.clone())?;
        self.compare("pooled", Dinov2::pooled(tokens))?;
        if self.has("inputs.pixel_values_other_size")? {
            let tokens = tower.forward(self.floats("pixel_values_other_size")?)?;
            self.compare("last_hidden_state_other_size", tokens)?;
        }
        Ok(())
    }

    fn blip2(&mut self) -> Result<()> {
        let tower = Blip2Config::load(self.dir, self.precision, self.device)?;
        let (pixels, ids, keep) = (self.floats::<4>("pixel_values")?, self.ints("input_ids")?, self.mask()?);
        let images = tower.embed_images(pixels.clone())?;
        let texts = tower.embed_texts(ids.clone(), &keep);
        self.compare("image_embeds", images.clone())?;
        self.compare("text_embeds", texts.clone())?;
        self.compare("itc_logits_per_image", Blip2::itc(images, texts))?;
        self.compare("itm_logits", tower.itm(pixels, ids, &keep)?)
    }

    fn captioner(&mut self) -> Result<()> {
        let config = CaptionerConfig::read(self.dir)?.text_config;
        let captioner = CaptionerConfig::load(self.dir, self.precision, self.device)?;
        let (pixels, ids) = (self.floats::<4>("pixel_values")?, self.ints("input_ids")?);
        self.compare("logits", captioner.logits(pixels.clone(), ids.clone())?)?;
        // The prompt of the second caption: the input without its first and last two tokens.
        let first: Vec<u32> = ids.narrow(0, 0, 1).into_data().iter::<u32>().collect();
        for (name, prompt) in [("greedy_ids", &[][..]), ("prompted_ids", &first[1..first.len() - 2])] {
            let expected = self.expected.get(&format!("outputs.{name}"))?;
            let width = expected.shape[1];
            let captions = captioner.caption(pixels.clone(), prompt, width - 1 - prompt.len())?;
            // The original's rows: begin, prompt, caption, end, padding.
            let mut rows = Vec::new();
            for caption in captions {
                let begin = config.bos_token_id as u32;
                let mut row: Vec<u32> = [&[begin], prompt, caption.as_slice()].concat();
                if row.len() < width {
                    row.push(config.sep_token_id as u32);
                }
                row.resize(width, 0);
                rows.extend(row.into_iter().map(f64::from));
            }
            let tolerance = if self.precision == Precision::F32 { Tolerance::Exact } else { Tolerance::Unequal(0.5) };
            self.report.compare(name, &expected.values, &rows, tolerance);
        }
        Ok(())
    }

    fn mtcnn(&mut self) -> Result<()> {
        let detector = MtcnnConfig::load(self.dir, self.device)?;
        let golden = self.expected.get("inputs.image")?;
        let bytes: Vec<u8> = golden.values.iter().map(|&v| v as u8).collect();
        let image = match golden.shape[..] {
            [height, width, 3] => RgbImage::from_raw(width as u32, height as u32, bytes),
            _ => None,
        };
        let wrong = || Error::data(format!("inputs.image: expected shape [height, width, 3], got {:?}", golden.shape));
        let image = image.ok_or_else(wrong)?;
        let faces = detector.detect(&image);
        let n = faces.len();
        let flat = |values: Vec<f32>, shape: Vec<usize>| TensorData::new(values, shape);
        let boxes = flat(faces.iter().flat_map(|f| f.corners).collect(), vec![n, 4]);
        let marks = flat(faces.iter().flat_map(|f| f.landmarks.into_iter().flatten()).collect(), vec![n, 5, 2]);
        let probabilities = flat(faces.iter().map(|f| f.probability).collect(), vec![n]);
        self.compare("boxes", Tensor::<2>::from_data(boxes, self.device))?;
        self.compare("landmarks", Tensor::<3>::from_data(marks, self.device))?;
        self.compare("probs", Tensor::<1>::from_data(probabilities, self.device))?;
        self.compare("crops", detector.crops(&image, &faces)?)
    }

    fn facenet(&mut self) -> Result<()> {
        let tower = FaceEmbedder::load(self.dir, self.precision, self.device)?;
        let embedded = tower.forward(self.floats("pixel_values")?)?;
        self.compare("embeddings", embedded)?;
        if self.has("inputs.pixel_values_other_size")? {
            let embedded = tower.forward(self.floats("pixel_values_other_size")?)?;
            self.compare("embeddings_other_size", embedded)?;
        }
        Ok(())
    }
}
