//! AdamW in one pass over the numbers of a parameter, on the CPU.

use burn::optim::{AdamW, AdamWConfig, AdamWState, LearningRate, Optimizer};
use burn::tensor::{DType, Device, Tensor, TensorData};
use pulp::Arch;
use rayon::prelude::{IndexedParallelIterator, ParallelIterator, ParallelSliceMut};

use crate::device::is_cpu;

/// Numbers that one thread works on.
const PART: usize = 1 << 14;

/// Burn's AdamW, to the last bit and with its state. Burn computes it by some sixteen operations, each of which reads and writes all numbers on
/// one core; on other devices than the CPU, and in the first step, these are what is computed.
#[derive(Clone)]
pub(super) struct OnePass {
    burns: AdamW,
    betas: [f32; 2],
    epsilon: f32,
    weight_decay: f32,
}

impl OnePass {
    pub(super) fn new(betas: [f32; 2], epsilon: f32, weight_decay: f32) -> Self {
        let config = AdamWConfig::new().with_beta_1(betas[0]).with_beta_2(betas[1]).with_epsilon(epsilon);
        Self { burns: config.with_weight_decay(weight_decay).build(), betas, epsilon, weight_decay }
    }
}

impl Optimizer for OnePass {
    type State<const D: usize> = AdamWState<D>;

    fn step<const D: usize>(
        &self,
        lr: LearningRate,
        parameter: Tensor<D>,
        gradient: Tensor<D>,
        state: Option<AdamWState<D>>,
    ) -> (Tensor<D>, Option<AdamWState<D>>) {
        let here = |x: &Tensor<D>| x.dtype() == DType::F32 && is_cpu(&x.device()) && !x.device().is_autodiff();
        let mut state = match state {
            Some(state) if here(&parameter) && here(&gradient) => state,
            state => return self.burns.step(lr, parameter, gradient, state),
        };
        let (device, momentum) = (parameter.device(), &mut state.momentum);
        momentum.time += 1;
        let moments = [momentum.moment_1.clone(), momentum.moment_2.clone()];
        // Given up here, so that their numbers are changed where they lie.
        momentum.moment_1 = Tensor::empty([0; D], &device);
        momentum.moment_2 = Tensor::empty([0; D], &device);
        let [mut first, mut second] = moments.map(Tensor::into_data);
        let mut parameter = parameter.into_data();
        let gradient = gradient.into_data();
        self.pass(lr, momentum.time as i32, [&mut parameter, &mut first, &mut second], &gradient);
        let back = |data: TensorData| Tensor::<D>::from_data(data, (&device, DType::F32));
        (momentum.moment_1, momentum.moment_2) = (back(first), back(second));
        (back(parameter), Some(state))
    }

    fn to_device<const D: usize>(state: AdamWState<D>, device: &Device) -> AdamWState<D> {
        AdamW::to_device(state, device)
    }
}

impl OnePass {
    /// Changes parameter and moments, in burn's order of operations.
    fn pass(&self, lr: f64, time: i32, changed: [&mut TensorData; 3], gradient: &TensorData) {
        let [beta_1, beta_2] = self.betas;
        let [new_1, new_2] = self.betas.map(|beta| 1.0 - beta);
        let [bias_1, bias_2] = self.betas.map(|beta| 1.0 - beta.powi(time));
        let decay = lr * f64::from(self.weight_decay);
        let (kept, lr, epsilon) = ((1.0 - decay) as f32, lr as f32, self.epsilon);
        let decays = decay != 0.0;
        let gradient = gradient.as_slice::<f32>().unwrap_or_default();
        let [p, m, v] = changed.map(|data| data.as_mut_slice::<f32>().unwrap_or_default());
        let parts = p.par_chunks_mut(PART).zip(m.par_chunks_mut(PART)).zip(v.par_chunks_mut(PART));
        let arch = Arch::new();
        parts.enumerate().for_each(|(i, ((p, m), v))| {
            let g = &gradient[i * PART..][..p.len()];
            // Inlined into what is compiled for the vectors, which no closure for `for_each` is.
            arch.dispatch(
                #[inline(always)]
                || {
                    for ((p, m), (v, g)) in p.iter_mut().zip(m).zip(v.iter_mut().zip(g)) {
                        *m = *m * beta_1 + g * new_1;
                        *v = *v * beta_2 + g * g * new_2;
                        let delta = (*m / bias_1) / ((*v / bias_2).sqrt() + epsilon);
                        *p = if decays { *p * kept } else { *p } - delta * lr;
                    }
                },
            );
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use burn::tensor::Distribution;

    use super::*;

    #[test]
    fn one_pass_is_burns_adamw_to_the_last_bit() {
        let device = Device::flex();
        device.seed(4);
        for (weight_decay, shape) in [(0.0, [3, 5]), (0.01, [130, 257]), (0.01, [1, 1])] {
            let ours = OnePass::new([0.9, 0.95], 1e-8, weight_decay);
            let draw = |scale: f64| Tensor::<2>::random(shape, Distribution::Normal(0.0, scale), &device);
            let mut a = (draw(1.0), None);
            let mut b = a.clone();
            for step in 0..5 {
                let (gradient, lr) = (draw(if step == 2 { 1e-12 } else { 0.3 }), 1e-3 / f64::from(step + 1));
                a = ours.step(lr, a.0, gradient.clone(), a.1);
                b = ours.burns.step(lr, b.0, gradient, b.1);
                let bits = |x: &Tensor<2>| x.to_data().iter::<f32>().map(f32::to_bits).collect::<Vec<_>>();
                assert_eq!(bits(&a.0), bits(&b.0), "step {step}, weight decay {weight_decay}");
                let (a, b) = (&a.1.as_ref().unwrap().momentum, &b.1.as_ref().unwrap().momentum);
                assert_eq!(
                    (a.time, bits(&a.moment_1), bits(&a.moment_2)),
                    (b.time, bits(&b.moment_1), bits(&b.moment_2))
                );
            }
        }
    }
}
