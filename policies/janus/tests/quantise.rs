//! The quantiser under training against its definition, number by number.
#![allow(clippy::unwrap_used)]

mod common;

use burn::tensor::{Device, Distribution, Tensor};
use common::config;
use counterpoint_janus::VqTokenizer;

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().unwrap()
}

fn unit(vector: &[f32]) -> Vec<f32> {
    let length = vector.iter().map(|v| v * v).sum::<f32>().sqrt();
    vector.iter().map(|v| v / length).collect()
}

#[test]
fn codes_are_the_nearest_directions_and_losses_their_squared_distance() {
    let device = Device::flex().autodiff();
    device.seed(5);
    let vq = config().vq_config;
    let tokenizer = VqTokenizer::init(&vq, &device);
    let width = vq.embed_dim;
    let latents = Tensor::<4>::random([2, width, 2, 3], Distribution::Normal(0.0, 2.0), &device).require_grad();
    let made = tokenizer.quantise(latents.clone());

    let codebook: Vec<Vec<f32>> = values(tokenizer.codebook()).chunks(width).map(unit).collect();
    let rows: Vec<Vec<f32>> = values(latents.clone().permute([0, 2, 3, 1])).chunks(width).map(unit).collect();
    let chosen = values(made.vectors.clone().permute([0, 2, 3, 1]));
    let mut sum = 0.0;
    for ((row, code), chosen) in rows.iter().zip(made.codes.into_data().iter::<i64>()).zip(chosen.chunks(width)) {
        let distance = |code: &[f32]| row.iter().zip(code).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        let nearest = (0..codebook.len()).min_by(|&a, &b| distance(&codebook[a]).total_cmp(&distance(&codebook[b])));
        assert_eq!(Some(code as usize), nearest);
        assert!(chosen.iter().zip(&codebook[code as usize]).all(|(a, b)| (a - b).abs() < 1e-5));
        sum += distance(&codebook[code as usize]);
    }
    let mean = sum / (rows.len() * width) as f32;
    for loss in [made.codebook.clone(), made.commitment.clone()] {
        assert!((loss.into_scalar::<f32>() - mean).abs() < 1e-5);
    }

    // The codebook's loss moves the codebook alone, the other one the latents alone. A graph goes one way once.
    let again = || tokenizer.quantise(latents.clone());
    let gradients = again().codebook.backward();
    assert!(latents.grad(&gradients).is_none_or(|g| g.abs().sum().into_scalar::<f32>() == 0.0));
    assert!(tokenizer.codebook().grad(&gradients).unwrap().abs().sum().into_scalar::<f32>() > 0.0);
    let gradients = again().commitment.backward();
    assert!(latents.grad(&gradients).unwrap().abs().sum().into_scalar::<f32>() > 0.0);
    assert!(tokenizer.codebook().grad(&gradients).is_none_or(|g| g.abs().sum().into_scalar::<f32>() == 0.0));
    // Straight through: a sum over the vectors is a sum over latents of length 1.
    let through = again().vectors.sum().backward();
    let direct = (latents.clone() / latents.clone().square().sum_dim(1).sqrt()).sum().backward();
    let (a, b) = (latents.grad(&through).unwrap(), latents.grad(&direct).unwrap());
    assert!(values(a).iter().zip(values(b)).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[test]
fn a_codebook_of_length_one_encodes_what_was_trained_and_decodes_the_same() {
    let device = Device::flex();
    device.seed(6);
    let config = config();
    let tokenizer = VqTokenizer::init(&config.vq_config, &device);
    let side = config.vq_config.num_patches * config.vq_config.downsampling();
    let pixels = Tensor::<4>::random([2, 3, side, side], Distribution::Uniform(-1.0, 1.0), &device);
    let codes = tokenizer.quantise(tokenizer.latents(pixels.clone()).unwrap()).codes;
    let unit = tokenizer.clone().with_unit_codebook();
    assert_eq!(unit.encode(pixels).unwrap().into_data(), codes.clone().into_data());
    let (a, b) = (values(unit.decode(codes.clone()).unwrap()), values(tokenizer.decode(codes).unwrap()));
    assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5));
}
