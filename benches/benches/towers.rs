//! The engine's half of the comparison of reward towers with PyTorch; `benches/peers/towers.py` runs both halves.
//!
//! `cargo bench -p counterpoint-benches --bench towers -- --tower NAME --folder DIR --batch N` prints one JSON object: seconds
//! and user CPU seconds of each repeat, and numbers that must equal the other half's.
#![allow(missing_docs, clippy::print_stdout)]

use std::path::{Path, PathBuf};

use burn::tensor::{Device, Int, Tensor, TensorData};
use clap::{Parser, ValueEnum};
use counterpoint::{Error, Result, device};
use counterpoint_benches::process::timed;
use counterpoint_encoders::bert::Pooling;
use counterpoint_encoders::face::{FaceEmbedder, MtcnnConfig};
use counterpoint_encoders::{BertConfig, ClipConfig, Dinov2Config};
use counterpoint_kernels::keep_pages;
use counterpoint_weights::{Precision, WeightFiles};
use image::RgbImage;

/// Where in the folder the weights of the towers for faces are, which are whatever weights there are.
const FACES: &str = "weights";
/// How many numbers of the result are compared.
const COMPARED: usize = 200;

#[derive(Parser)]
struct Args {
    #[arg(long, value_enum)]
    tower: Tower,
    /// Folder with weights and inputs.safetensors.
    #[arg(long)]
    folder: PathBuf,
    /// `flex` (CPU), `cuda:N`, `wgpu` or another device by its name.
    #[arg(long, default_value = "flex")]
    device: String,
    #[arg(long, default_value_t)]
    dtype: Precision,
    /// Images or texts of one pass.
    #[arg(long)]
    batch: usize,
    /// Timed repeats, after one that is not timed.
    #[arg(long, default_value_t = 5)]
    repeats: usize,
    /// `cargo bench` says this.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(ValueEnum, Clone, Copy)]
enum Tower {
    /// A BERT as a sentence encoder.
    Minilm,
    Dinov2,
    ClipImage,
    ClipText,
    /// FaceNet on pictures of faces.
    Facenet,
    /// MTCNN on one photograph after the other.
    Mtcnn,
}

fn main() -> Result<()> {
    if std::env::args().skip(1).all(|arg| arg == "--bench") {
        println!("towers: needs PyTorch beside it; run `python3 benches/peers/towers.py`");
        return Ok(());
    }
    keep_pages();
    let args = Args::parse();
    let device = device::named(&args.device)?;
    let inputs = WeightFiles::open(&args.folder.join("inputs.safetensors"))?;
    let embed = tower(&args, &inputs, &device)?;
    let check = numbers(&embed()?)?;
    let mut repeats = Vec::new();
    for _ in 0..args.repeats {
        let (done, seconds, user) = timed(|| numbers(&embed()?));
        done?;
        repeats.push([seconds, user]);
    }
    let step = (check.len() / COMPARED).max(1);
    let check: Vec<f32> = check.into_iter().step_by(step).take(COMPARED).collect();
    println!("{}", serde_json::json!({ "repeats": repeats, "check": check }));
    Ok(())
}

/// The tower of the folder, ready to embed the first `batch` inputs.
fn tower(args: &Args, inputs: &WeightFiles, device: &Device) -> Result<Box<dyn Fn() -> Result<Tensor<2>>>> {
    let (folder, precision, batch): (&Path, _, _) = (&args.folder, args.dtype, args.batch);
    let ids = || -> Result<Tensor<2, Int>> { Ok(Tensor::from_data(data(inputs, "input_ids", batch)?, device)) };
    let pixels = || -> Result<Tensor<4>> { Ok(Tensor::from_data(data(inputs, "pixel_values", batch)?, device)) };
    Ok(match args.tower {
        Tower::Minilm => {
            let tower = BertConfig::load(folder, precision, device)?;
            let ids = ids()?;
            let keep = Tensor::<2, Int>::from_data(data(inputs, "attention_mask", batch)?, device).equal_elem(1);
            Box::new(move || Ok(tower.embed(ids.clone(), &keep, Pooling::Mean)))
        }
        Tower::Dinov2 => {
            let (tower, pixels) = (Dinov2Config::load(folder, precision, device)?, pixels()?);
            Box::new(move || Ok(tower.forward(pixels.clone())?.flatten(1, 2)))
        }
        Tower::ClipImage => {
            let (towers, pixels) = (ClipConfig::load(folder, precision, device)?, pixels()?);
            Box::new(move || towers.embed_images(pixels.clone()))
        }
        Tower::ClipText => {
            let (towers, ids) = (ClipConfig::load(folder, precision, device)?, ids()?);
            Box::new(move || Ok(towers.embed_texts(ids.clone())))
        }
        Tower::Facenet => {
            let (tower, faces) =
                (FaceEmbedder::load(&folder.join(FACES), precision, device)?, pictures(inputs, batch)?);
            Box::new(move || tower.embed(&faces.iter().collect::<Vec<_>>()))
        }
        Tower::Mtcnn => {
            let (detector, photographs) = (MtcnnConfig::load(&folder.join(FACES), device)?, pictures(inputs, batch)?);
            let device = device.clone();
            Box::new(move || {
                let faces = photographs.iter().flat_map(|photograph| detector.detect(photograph));
                let corners: Vec<f32> = faces.flat_map(|face| face.corners).collect();
                let found = corners.len();
                Ok(Tensor::from_data(TensorData::new(corners, [1, found]), &device))
            })
        }
    })
}

/// The first `batch` rows of an input.
fn data(inputs: &WeightFiles, name: &str, batch: usize) -> Result<TensorData> {
    let all = inputs.read(name)?;
    let shape = all.shape().to_vec();
    let per_row: usize = shape[1..].iter().product();
    if batch > shape[0] {
        return Err(Error::config(format!("--batch: expected at most {}, got {batch}", shape[0])));
    }
    let mut cut = shape.clone();
    cut[0] = batch;
    let n = batch * per_row;
    Ok(match all.dtype().is_float() {
        true => TensorData::new(all.iter::<f32>().take(n).collect::<Vec<_>>(), cut),
        false => TensorData::new(all.iter::<i64>().take(n).collect::<Vec<_>>(), cut),
    })
}

/// The first `batch` pictures.
fn pictures(inputs: &WeightFiles, batch: usize) -> Result<Vec<RgbImage>> {
    let data = data(inputs, "pictures", batch)?;
    let [height, width] = [1, 2].map(|axis| data.shape()[axis]);
    let bytes: Vec<u8> = data.iter::<i64>().map(|byte| byte as u8).collect();
    let picture = |bytes: &[u8]| RgbImage::from_raw(width as u32, height as u32, bytes.to_vec());
    let pictures: Option<Vec<RgbImage>> = bytes.chunks(3 * width * height).map(picture).collect();
    pictures.ok_or_else(|| Error::data("pictures: expected [pictures, height, width, 3]"))
}

fn numbers(x: &Tensor<2>) -> Result<Vec<f32>> {
    let read = x.clone().try_into_vec_as::<f32>();
    read.map_err(|e| Error::contract("cannot read the result").with_source(e.to_string()))
}
