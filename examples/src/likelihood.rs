//! Learning from examples: up the likelihood of what somebody else decided (supervised fine-tuning).

use burn::optim::GradientsParams;
use burn::tensor::{Tensor, TensorData};
use counterpoint::{Error, LogProbs, Policy, Replay, Replica, Result, Segment, Stream, Trajectory};

/// One optimizer step at rate `rate` on the mean negative log-likelihood of a token, of `answers` and of `images` by itself and then added; the
/// gradient is cut to a norm of `clip`. The losses before it, 0 for a half that is empty.
///
/// A policy with two replicas or more works on both halves side by side.
///
/// # Errors
/// What the policy returns; [`Contract`](counterpoint::ErrorKind::Contract) when there is nothing to learn from.
pub fn learn(
    policy: &mut dyn Policy,
    [answers, images]: [&[Segment]; 2],
    rate: f64,
    clip: f64,
    noise: &Stream,
) -> Result<[f32; 2]> {
    let halves = [trajectories(answers), trajectories(images)];
    let mut replicas = policy.replicas();
    let mut losses = [0.0; 2];
    if let (Some(first), Some(second)) = (replicas.pop(), replicas.pop()) {
        let [answers, images] = &halves;
        let (first, second) = std::thread::scope(|scope| {
            let first = scope.spawn(move || gradients(first.as_ref(), answers, noise));
            let second = gradients(second.as_ref(), images, noise);
            (first.join(), second)
        });
        let first = first.map_err(|_| Error::contract("a training thread panicked"))??;
        for (i, (loss, gradients)) in [first, second?].into_iter().enumerate() {
            losses[i] = loss;
            gradients.map_or(Ok(()), |gradients| policy.learner().add(gradients))?;
        }
    } else {
        for (half, value) in halves.iter().zip(&mut losses).filter(|(half, _)| !half.is_empty()) {
            let loss = loss(half, |chunk| policy.training_log_probs(chunk, noise.clone()))?;
            *value = loss.clone().into_scalar::<f32>();
            policy.learner().accumulate(loss)?;
        }
    }
    let learner = policy.learner();
    let norm = learner.gradient_norms()?.iter().map(|(_, norm)| norm * norm).sum::<f64>().sqrt();
    learner.apply(rate, (clip / norm.max(1e-12)).min(1.0))?;
    Ok(losses)
}

fn trajectories(segments: &[Segment]) -> Vec<Trajectory> {
    segments.iter().map(|segment| Trajectory::new(0, vec![segment.clone()])).collect()
}

fn gradients(replica: &dyn Replica, half: &[Trajectory], noise: &Stream) -> Result<(f32, Option<GradientsParams>)> {
    if half.is_empty() {
        return Ok((0.0, None));
    }
    let loss = loss(half, |chunk| replica.training_log_probs(chunk, noise.clone()))?;
    Ok((loss.clone().into_scalar::<f32>(), Some(replica.gradients(loss)?)))
}

/// Mean negative log-likelihood of a token.
fn loss(half: &[Trajectory], score: impl FnOnce(&[Replay<'_>]) -> Result<LogProbs>) -> Result<Tensor<1>> {
    let chunk: Vec<Replay<'_>> =
        half.iter().map(|trajectory| Replay { trajectory, segment: 0, steps: 0..trajectory.len() }).collect();
    let scores = score(&chunk)?.log_probs;
    let [rows, longest] = scores.dims();
    let weight = |one: &Trajectory| (0..longest).map(|i| f32::from(u8::from(i < one.len()))).collect::<Vec<_>>();
    let weights = TensorData::new(half.iter().flat_map(weight).collect::<Vec<f32>>(), [rows, longest]);
    let total: usize = half.iter().map(Trajectory::len).sum();
    let weights = Tensor::<2>::from_data(weights, &scores.device());
    Ok((scores * weights).sum() / -(total as f64))
}
