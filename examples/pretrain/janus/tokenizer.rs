//! Trains the image tokenizer: reconstruction, codebook and commitment losses; codes that no image uses move to where images are. Then its
//! decoder alone, for codes that no longer move.

use std::path::Path;
use std::time::Instant;

use burn::grad_clipping::GradientClippingConfig;
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor};
use counterpoint::{Key, Result, Stream, Streams};
use counterpoint_janus::VqTokenizer;
use counterpoint_policy_common::picture::{images, pixels};
use counterpoint_shapes::{Prompt, SIZE, observe, render};
use counterpoint_weights::{LoadOptions, WeightFiles, load, save_safetensors};
use image::RgbImage;

use super::sizes;
use crate::sizes::cosine;

const STEPS: usize = 1600;
const BATCH: usize = 8;
const RATE: f64 = 2e-3;
/// Steps without codes, so that latents mean something before they are cut.
const WITHOUT_CODES: usize = 150;
/// How often unused codes are moved, until when.
const MOVE_EVERY: usize = 50;
const MOVE_UNTIL: usize = 1200;
const COMMITMENT: f64 = 0.25;
/// Steps of the decoder alone.
const DECODER_STEPS: usize = 1600;

/// The file in which the image tokenizer is until it is a part of the model's.
pub const FILE: &str = "vqmodel.safetensors";

/// Trains all of it and writes it into `out`.
pub fn run(out: &Path, seed: u64) -> Result<()> {
    let config = sizes::vq();
    let mut stream = Streams::new(seed).stream(Key::task(0, 0), "vq", 0);
    let device = Device::flex().autodiff();
    device.seed(seed);
    let mut model = VqTokenizer::init(&config, &device);
    let mut optimizer = optimizer();
    let (start, mut used) = (Instant::now(), vec![0_usize; config.num_embeddings]);
    for step in 0..STEPS {
        let real = batch(&mut stream, &device)?;
        let latents = model.latents(real.clone())?;
        let quantised = model.quantise(latents.clone());
        let vectors = match step < WITHOUT_CODES {
            true => latents.clone() / latents.clone().square().sum_dim(1).sqrt().clamp_min(1e-6),
            false => quantised.vectors,
        };
        let reconstruction = error(&model, vectors, real);
        let loss = match step < WITHOUT_CODES {
            true => reconstruction.clone(),
            false => reconstruction.clone() + quantised.codebook + quantised.commitment * COMMITMENT,
        };
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(cosine(step, STEPS, 50, RATE), model, gradients);
        quantised.codes.into_data().iter::<i64>().for_each(|code| used[code as usize] += 1);
        if (WITHOUT_CODES..MOVE_UNTIL).contains(&(step + 1)) && (step + 1 - WITHOUT_CODES).is_multiple_of(MOVE_EVERY) {
            // At first none has found its place.
            let unused: Vec<usize> =
                (0..used.len()).filter(|&code| step + 1 == WITHOUT_CODES || used[code] == 0).collect();
            model = moved(model, &unused, latents, &mut stream);
            used.fill(0);
        }
        report("vq", step, start, &model, reconstruction, &mut stream)?;
    }
    save(&model, out)
}

/// Trains the decoder of what [`run`] left, and nothing else: the codes of images stay what they are.
pub fn decoder(out: &Path, seed: u64) -> Result<()> {
    let mut stream = Streams::new(seed).stream(Key::task(0, 1), "vq decoder", 0);
    let device = Device::flex().autodiff();
    let mut model = VqTokenizer::init(&sizes::vq(), &device);
    load(&mut model, &WeightFiles::open(&out.join(FILE))?, &LoadOptions::default())?;
    let (start, mut optimizer) = (Instant::now(), optimizer());
    for step in 0..DECODER_STEPS {
        let real = batch(&mut stream, &device)?;
        let codes = model.valid().encode(real.clone().inner())?;
        let vectors = model.valid().vectors(codes)?;
        let reconstruction = error(&model, Tensor::from_inner(vectors).to_device(&device), real);
        let gradients = GradientsParams::from_grads(reconstruction.clone().backward(), &model);
        model = optimizer.step(cosine(step, DECODER_STEPS, 50, RATE), model, gradients);
        report("vq decoder", step, start, &model, reconstruction, &mut stream)?;
    }
    save(&model, out)
}

fn optimizer() -> ModuleOptimizer {
    AdamWConfig::new()
        .with_beta_2(0.99)
        .with_weight_decay(1e-4)
        .with_grad_clipping(Some(GradientClippingConfig::Norm(1.0)))
        .init()
}

fn batch(stream: &mut Stream, device: &Device) -> Result<Tensor<4>> {
    let batch: Vec<RgbImage> = (0..BATCH).map(|_| drawn(stream)).collect();
    pixels(&batch, SIZE as usize, device)
}

/// How far the images of code vectors are from the real ones.
fn error(model: &VqTokenizer, vectors: Tensor<4>, real: Tensor<4>) -> Tensor<1> {
    let error = model.decode_vectors(vectors) - real;
    error.clone().abs().mean() + error.square().mean()
}

fn report(
    name: &str,
    step: usize,
    start: Instant,
    model: &VqTokenizer,
    error: Tensor<1>,
    stream: &mut Stream,
) -> Result<()> {
    if !(step + 1).is_multiple_of(200) {
        return Ok(());
    }
    let (right, codes) = read_back(&model.valid().with_unit_codebook(), stream)?;
    println!(
        "{name} step {:>5}  {:>4.0} s  reconstruction {:.4}  read back {:.1} % of images, {codes} codes used",
        step + 1,
        start.elapsed().as_secs_f64(),
        error.into_scalar::<f32>(),
        100.0 * right
    );
    Ok(())
}

fn save(model: &VqTokenizer, out: &Path) -> Result<()> {
    save_safetensors(&model.valid().with_unit_codebook(), &out.join(FILE), &Default::default(), None)
}

/// An image of a prompt that may be trained on.
fn drawn(stream: &mut Stream) -> RgbImage {
    let prompts: Vec<Prompt> = Prompt::all().into_iter().filter(|prompt| !prompt.is_held_out()).collect();
    let prompt = prompts[stream.below(prompts.len())];
    render(&prompt.scene(stream), stream)
}

/// The same tokenizer with latents of this batch in place of the codes `unused`.
fn moved(model: VqTokenizer, unused: &[usize], latents: Tensor<4>, stream: &mut Stream) -> VqTokenizer {
    if unused.is_empty() {
        return model;
    }
    let [batch, width, rows, columns] = latents.dims();
    let count = batch * rows * columns;
    let vectors: Tensor<2> = latents.detach().inner().permute([0, 2, 3, 1]).reshape([count, width]);
    let device = vectors.device();
    let drawn: Vec<i32> = unused.iter().map(|_| stream.below(count) as i32).collect();
    let places: Vec<i32> = unused.iter().map(|&code| code as i32).collect();
    let (drawn, places) =
        (Tensor::<1, Int>::from_ints(&drawn[..], &device), Tensor::<1, Int>::from_ints(&places[..], &device));
    let codebook = model.codebook().inner();
    let values = vectors.select(0, drawn);
    let difference = values - codebook.clone().select(0, places.clone());
    let codebook = codebook.select_assign(0, places, difference, burn::tensor::IndexingUpdateOp::Add);
    let training = model.codebook().device();
    model.with_codebook(Tensor::from_inner(codebook).to_device(&training))
}

/// The share of images, all prompts alike, whose reconstructions show what they do, and how many codes they use.
fn read_back(model: &VqTokenizer, stream: &mut Stream) -> Result<(f64, usize)> {
    let (mut right, mut used) = (0, std::collections::BTreeSet::new());
    let prompts: Vec<Prompt> = Prompt::all().into_iter().step_by(7).collect();
    for part in prompts.chunks(28) {
        let batch: Vec<RgbImage> = part.iter().map(|prompt| render(&prompt.scene(stream), stream)).collect();
        let codes = model.encode(pixels(&batch, SIZE as usize, &Device::flex())?)?;
        used.extend(codes.clone().into_data().iter::<i64>());
        for (prompt, image) in part.iter().zip(images(model.decode(codes)?)?) {
            right += usize::from(prompt.verdict(&observe(&image)?).image);
        }
    }
    Ok((right as f64 / prompts.len() as f64, used.len()))
}
