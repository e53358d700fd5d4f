//! How much memory the graph of a chunk takes, counted from what its operations keep for the way back. The counts of values
//! were fitted to the peak of an update (`cargo bench -p counterpoint-benches --bench update_memory`).

use counterpoint::{Decoding, Replay};

use crate::{AnswerIds, FastPaths, Precision, ShowoConfig, Trainable};

/// Values that a layer keeps for each token, of the width of the residual stream, in f32 and in the type of computation:
/// norms keep their input and what they divide by, products their factors.
const WIDE_F32: u64 = 9;
const WIDE: u64 = 8;
/// Values of the MLP's width for each token.
const MLP: u64 = 4;
/// Values for each query and key of each head, f32.
const SCORES: u64 = 2;
/// Values for each score over the vocabulary, f32.
const LOGITS: u64 = 4;

/// One pass over some rows: each of `length` tokens, which see `keys` keys.
struct Pass {
    rows: u64,
    length: u64,
    keys: u64,
}

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
    let layers = config.phi.num_hidden_layers as u64;
    let cast = match precision != Precision::F32 && !trainable.keeps_base() {
        true => layer_weights(config) * precision.dtype().size() as u64,
        false => 0,
    };
    // Every pass casts the weights that are stored in f32; layers that are computed again do it one at a time.
    let (passes, casts) = match checkpointing {
        true => {
            let kept: u64 = passes.iter().map(|pass| layers * pass.kept(config, precision)).sum();
            (kept + passes.iter().map(|pass| pass.layer(config, precision)).max().unwrap_or(0), cast)
        }
        false => (
            passes.iter().map(|pass| layers * pass.layer(config, precision)).sum(),
            passes.len() as u64 * layers * cast,
        ),
    };
    passes + 4 * LOGITS * logits + casts
}

/// Numbers in the matrices of a layer.
fn layer_weights(config: &ShowoConfig) -> u64 {
    let (width, mlp) = (config.phi.hidden_size as u64, config.phi.intermediate_size as u64);
    width * (4 * width + 2 * mlp)
}

impl Pass {
    /// What a layer needs until it is computed again: its input, and keys and values of the prefix and for what follows.
    fn kept(&self, config: &ShowoConfig, precision: Precision) -> u64 {
        let values = (self.length + 2 * self.keys) * config.phi.hidden_size as u64;
        self.rows * values * precision.dtype().size() as u64
    }

    /// What a layer keeps for the way back through it.
    fn layer(&self, config: &ShowoConfig, precision: Precision) -> u64 {
        let phi = &config.phi;
        let (width, mlp) = (phi.hidden_size as u64, phi.intermediate_size as u64);
        let size = precision.dtype().size() as u64;
        let tokens = self.length * (4 * WIDE_F32 * width + size * (WIDE * width + MLP * mlp));
        // Keys and values of the prefix are copied to every row.
        let keys = self.keys * 2 * size * width;
        let scores = 4 * SCORES * phi.num_attention_heads as u64 * self.length * self.keys;
        self.rows * (tokens + keys + scores)
    }
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
