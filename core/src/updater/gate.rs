//! Before the first update: do the log-probabilities recorded while sampling equal those of the replay?

use super::chunk_loss::release;
use super::chunks::chunks;
use super::layout::read;
use super::replay::Batch;
use super::{Group, Updater};
use crate::{Error, Parameters, Replay, Result};

impl Updater {
    /// Refuses to train when sampling and replay disagree by more than `gate_tolerance` nats anywhere.
    ///
    /// This catches off-by-one scoring, wrong masks, forgotten guidance or temperature: mistakes that train, badly.
    pub(super) fn gate(&self, groups: &[Group]) -> Result<()> {
        let batch = Batch::new(self.objective.as_ref(), groups, None)?;
        for chunk in chunks(&batch.items, self.config.chunk, self.policy.as_ref())? {
            let replays: Vec<Replay<'_>> = chunk.iter().map(|item| item.replay.clone()).collect();
            // What is trained is what is checked: the differentiable scores, not the detached ones.
            let scores = self.policy.log_probs(&replays, Parameters::Current)?;
            let replayed = read(&scores, &replays);
            release(scores.log_probs);
            let replayed = replayed?;
            for (replay, replayed) in replays.iter().zip(replayed) {
                let recorded = &replay.segment().log_probs[replay.decisions()];
                for (i, (&was, is)) in recorded.iter().zip(replayed).enumerate() {
                    let apart = (f64::from(was) - f64::from(is)).abs();
                    if apart.is_nan() || apart > self.config.gate_tolerance {
                        return Err(self.disagreement(replay, i, was, is));
                    }
                }
            }
        }
        Ok(())
    }

    fn disagreement(&self, replay: &Replay<'_>, decision: usize, was: f32, is: f32) -> Error {
        let segment = replay.segment();
        Error::contract(format!(
            "sampling and replay disagree: candidate {}, {:?} segment, step {}, position {}: sampled at log-probability \
             {was}, replayed at {is} (tolerance {}); the policy's log_probs must score exactly the distribution that the \
             sampler drew from: check the positions, masks, guidance and temperature (in half precision the two \
             round differently: trainer.gate_tolerance needs some tenths there)",
            replay.trajectory.candidate,
            segment.kind,
            replay.steps.start + decision / segment.per_step.max(1),
            decision % segment.per_step.max(1),
            self.config.gate_tolerance,
        ))
    }
}
