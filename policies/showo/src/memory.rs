//! How much memory the graph of a chunk takes.

use counterpoint::{Decoding, Replay};
use counterpoint_policy_common::memory::{Decoder, Pass};

use crate::{AnswerIds, FastPaths, Precision, ShowoConfig, Trainable};

/// Values of the MLP's width that a layer keeps for each token.
const MLP: u64 = 4;

/// About how many bytes the differentiable scores of `chunk`, of one decoding, take, with or without gradient checkpointing.
pub(crate) fn chunk_bytes(
    config: &ShowoConfig,
    fast: FastPaths,
    answer_ids: AnswerIds,
    precision: Precision,
    trainable: &Trainable,
    checkpointing: bool,
    chunk: &[Replay<'_>],
) -> u64 {
    let replays = chunk.len() as u64;
    let mut contexts: Vec<&[u32]> = chunk.iter().map(|replay| &replay.segment().context[..]).collect();
    contexts.sort_unstable();
    contexts.dedup();
    let masked = chunk.first().is_some_and(|replay| replay.segment().decoding == Decoding::Masked);
    let (passes, logits) = match masked {
        true => {
            let (prompt, whole) = (config.t2i_prompt_length() as u64, config.t2i_length() as u64);
            let guided = chunk.iter().any(|replay| replay.segment().guidance > 0.0);
            let rows = if guided { 2 * replays } else { replays };
            let passes = match fast.shared_prefix {
                true => vec![
                    Pass { rows: contexts.len() as u64 + u64::from(guided), length: prompt, keys: prompt },
                    Pass { rows, length: whole - prompt, keys: whole },
                ],
                false => vec![Pass { rows, length: whole, keys: whole }],
            };
            let logits = match fast.sliced_head {
                true => (config.num_vq_tokens * config.codebook_size) as u64,
                false => whole * config.vocab_size as u64,
            };
            (passes, rows * logits)
        }
        false => {
            let answer = chunk.iter().map(|replay| replay.steps.end).max().unwrap_or(0) as u64;
            let context = contexts.iter().map(|context| context.len()).max().unwrap_or(0) as u64;
            let passes = match fast.shared_prefix {
                true => vec![
                    Pass { rows: contexts.len() as u64, length: context, keys: context },
                    Pass { rows: replays, length: answer, keys: context + answer },
                ],
                false => vec![Pass { rows: replays, length: context + answer, keys: context + answer }],
            };
            let scored = if fast.sliced_head { answer } else { context + answer };
            let ids = match (fast.sliced_head, answer_ids) {
                (true, AnswerIds::Text) => config.text_vocab_size,
                _ => config.vocab_size,
            };
            (passes, replays * scored * ids as u64)
        }
    };
    let phi = &config.phi;
    let (width, mlp) = (phi.hidden_size as u64, phi.intermediate_size as u64);
    // Every pass casts the weights that are stored in f32.
    let casts = precision != Precision::F32 && !trainable.keeps_base();
    let decoder = Decoder {
        layers: phi.num_hidden_layers as u64,
        width,
        keys: width,
        heads: phi.num_attention_heads as u64,
        feed_forward: MLP * mlp,
        cast: if casts { width * (4 * width + 2 * mlp) } else { 0 },
        precision,
    };
    decoder.bytes(&passes, logits, checkpointing)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use counterpoint::{Segment, Trajectory};

    use super::*;

    /// `trainer.chunk.memory_mib` of `examples/sync_r1_full.toml`.
    const BUDGET: u64 = 16_384 << 20;

    #[test]
    fn at_full_size_one_guided_replay_fits_the_recipes_budget_with_checkpointing_alone() {
        // Show-o 512 x 512: 1.3 billion parameters, 1024 image tokens.
        let config = ShowoConfig::published(1024, false);
        let tokens = config.num_vq_tokens;
        let image = Segment::masked(vec![0; 100], tokens, vec![0; tokens], vec![0.0; tokens], vec![true; tokens]);
        let trajectory = Trajectory::new(0, vec![image.with_guidance(5.0)]);
        let chunk = [Replay { trajectory: &trajectory, segment: 0, steps: 0..1 }];
        let bytes = |checkpointing| {
            let (fast, ids) = (FastPaths::default(), AnswerIds::default());
            chunk_bytes(&config, fast, ids, Precision::Bf16, &Trainable::All, checkpointing, &chunk)
        };
        let (with, without) = (bytes(true), bytes(false));
        assert!(with < BUDGET / 4 && without > BUDGET, "{} and {} MiB", with >> 20, without >> 20);
    }
}
