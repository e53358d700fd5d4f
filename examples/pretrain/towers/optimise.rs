//! The training loop and the losses that the towers share.
#![allow(clippy::print_stdout)]

use std::time::Instant;

use burn::grad_clipping::GradientClippingConfig;
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Tensor};
use counterpoint::Result;

use super::Options;

/// AdamW with warm-up over the first twentieth of the steps and a cosine to zero after it.
pub(crate) fn train<M: Module>(
    options: &Options,
    name: &str,
    steps: usize,
    peak: f64,
    mut module: M,
    mut loss: impl FnMut(&M, usize) -> Result<Tensor<1>>,
) -> Result<M> {
    let steps = ((steps as f64 * options.effort) as usize).max(1);
    let clip = Some(GradientClippingConfig::Norm(1.0));
    let mut optimizer = AdamWConfig::new().with_epsilon(1e-8).with_weight_decay(0.01).with_grad_clipping(clip).init();
    let started = Instant::now();
    for step in 0..steps {
        let done = step as f64 / steps as f64;
        let rate = peak * (done / 0.05).clamp(0.02, 1.0) * (0.5 + 0.5 * (std::f64::consts::PI * done).cos());
        let value = loss(&module, step)?;
        if step % (steps / 10).max(1) == 0 || step + 1 == steps {
            let shown = value.clone().into_scalar::<f32>();
            println!("{name}: step {step} of {steps}, loss {shown:.4}, {:.0} s", started.elapsed().as_secs_f64());
        }
        let gradients = GradientsParams::from_grads(value.backward(), &module);
        module = optimizer.step(rate, module, gradients);
    }
    Ok(module.valid())
}

/// Cross-entropy of each row of `logits` with the column of the same number.
///
/// # Shapes
/// - logits: `[n, m]`, m at least n; result: `[1]`
pub(super) fn own_column(logits: Tensor<2>) -> Tensor<1> {
    let [rows, columns] = logits.dims();
    let log_probs = log_softmax(logits, 1).slice([0..rows, 0..rows.min(columns)]);
    let own = Tensor::<2>::eye(rows, &log_probs.device());
    (log_probs * own).sum().neg() / rows as f64
}

/// The device that towers are trained on, its generator seeded.
pub(crate) fn training_device(seed: u64) -> Device {
    let device = Device::flex().autodiff();
    device.seed(seed);
    device
}

/// Probability that a right one scores higher than a wrong one; ties count half.
pub(super) fn auc(right: &[f64], wrong: &[f64]) -> f64 {
    let wins: f64 = right
        .iter()
        .flat_map(|r| {
            wrong.iter().map(move |w| {
                if r > w {
                    1.0
                } else if r == w {
                    0.5
                } else {
                    0.0
                }
            })
        })
        .sum();
    wins / (right.len() * wrong.len()).max(1) as f64
}

pub(super) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
