//! Trains the image tokenizer: reconstruction, commitment and entropy losses, gradients straight through the signs.

use std::path::Path;
use std::time::Instant;

use burn::grad_clipping::GradientClippingConfig;
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::Device;
use counterpoint::Result;
use counterpoint_showo::{MagvitV2, lfq, picture};
use counterpoint_unifybench::SIZE;

use crate::world::{Rng, World};
use crate::{sizes, vocabulary};

const STEPS: usize = 3000;
const BATCH: usize = 8;
const LEARNING_RATE: f64 = 4e-3;
/// Steps with `tanh` in place of the signs, so that the codes mean something before they are cut.
const SOFT: usize = 600;
const COMMITMENT: f64 = 0.05;
const ENTROPY: f64 = 0.05;

/// Writes `tokenizer.json`, `config.json` and `magvitv2.safetensors` into `out`.
pub fn run(out: &Path, seed: u64) -> Result<()> {
    vocabulary::run(out)?;
    let (world, mut rng) = (World::new()?, Rng(seed));
    let device = Device::flex().autodiff();
    device.seed(seed);
    let mut model = sizes::magvit().init(&device);
    let mut optimizer =
        AdamWConfig::new().with_weight_decay(1e-4).with_grad_clipping(Some(GradientClippingConfig::Norm(1.0))).init();
    let start = Instant::now();
    for step in 0..STEPS {
        let batch: Vec<_> = (0..BATCH)
            .map(|_| {
                let scene = rng.pick(&world.training);
                world.image(&scene, &mut rng)
            })
            .collect();
        let real = picture::pixels(&batch, SIZE as usize, &device)?;
        let latents = model.latents(real.clone())?;
        let quantiser = lfq::losses(latents.clone());
        let bits = if step < SOFT { latents.tanh() } else { lfq::straight_through(latents) };
        let made = model.decode_bits(bits);
        let error = made - real;
        let reconstruction = error.clone().abs().mean() + error.square().mean();
        let loss = reconstruction.clone() + quantiser.commitment * COMMITMENT + quantiser.entropy * ENTROPY;
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(sizes::cosine(step, STEPS, 50, LEARNING_RATE), model, gradients);
        if (step + 1) % 200 == 0 {
            let last = step + 1 == STEPS;
            let count = if last { 480 } else { 96 };
            let (right, codes) = read_back(&model.valid(), &world, count)?;
            println!(
                "tokenizer step {:>5}  {:>4.0} s  {:.1} images/s  reconstruction {:.4}  read back {:.1} % of attributes, \
                 {codes} codes used",
                step + 1,
                start.elapsed().as_secs_f64(),
                ((step + 1) * BATCH) as f64 / start.elapsed().as_secs_f64(),
                reconstruction.into_scalar::<f32>(),
                100.0 * right,
            );
        }
    }
    model.valid().save(&out.join("magvitv2.safetensors"))
}

/// The share of attributes that can be read from reconstructions, held-out scenes among them, and the codes in use.
fn read_back(model: &MagvitV2, world: &World, count: usize) -> Result<(f64, usize)> {
    let mut rng = Rng(count as u64);
    let mut scenes = world.held_out.clone();
    while scenes.len() < count {
        scenes.push(rng.pick(&world.training));
    }
    let (mut right, mut used) = (0, std::collections::BTreeSet::new());
    for part in scenes.chunks(24) {
        let batch: Vec<_> = part.iter().map(|scene| world.image(scene, &mut rng)).collect();
        let codes = model.encode(picture::pixels(&batch, SIZE as usize, &Device::flex())?)?;
        used.extend(codes.clone().into_data().iter::<i64>());
        for (scene, image) in part.iter().zip(picture::images(model.decode(codes)?)?) {
            let verdict = world.truth.check(scene, &image)?;
            right +=
                [verdict.place, verdict.accessory, verdict.colour, verdict.concept].into_iter().filter(|&r| r).count();
        }
    }
    Ok((right as f64 / (4 * scenes.len()) as f64, used.len()))
}
