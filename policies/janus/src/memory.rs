//! How much memory the graph of a chunk takes.

use counterpoint::{Replay, SegmentKind};
use counterpoint_policy_common::memory::{Decoder, Pass};
use counterpoint_policy_common::replay::distinct;
use counterpoint_weights::Precision;

use crate::{JanusConfig, Trainable};

/// Values of the inner width that SwiGLU keeps for each token.
const SWIGLU: u64 = 6;

/// About how many bytes the differentiable scores of `chunk`, of one kind of segment, take, with or without gradient
/// checkpointing; without those of the vision tower where it is trained.
pub(crate) fn chunk_bytes(
    config: &JanusConfig,
    precision: Precision,
    trainable: &Trainable,
    checkpointing: bool,
    chunk: &[Replay<'_>],
) -> u64 {
    let text = &config.text_config;
    let replays = chunk.len() as u64;
    let longest = |of: &dyn Fn(&Replay<'_>) -> usize| chunk.iter().map(of).max().unwrap_or(0) as u64;
    let (prompt, length) = (longest(&|replay| replay.segment().context.len()), longest(&|replay| replay.steps.end - 1));
    let (prompts, _) = distinct(chunk.iter().map(|replay| &replay.segment().context[..]));
    let images = chunk.first().is_some_and(|replay| replay.segment().kind == SegmentKind::Generation);
    let guided = images && chunk.iter().any(|replay| replay.segment().guidance > 0.0);
    let times = if guided { 2 } else { 1 };
    let (rows, prompts) = (times * replays, times * prompts.len() as u64);
    let ids = if images { config.vq_config.num_embeddings } else { text.vocab_size } as u64;
    let logits = rows * longest(&|replay| replay.steps.len()) * ids;
    let (width, inner) = (text.hidden_size as u64, text.intermediate_size as u64);
    let (heads, keys) = (text.num_attention_heads, (text.key_heads() * text.head_width()) as u64);
    let queries = (heads * text.head_width()) as u64;
    let casts = precision != Precision::F32 && !trainable.keeps_base();
    let decoder = Decoder {
        layers: text.num_hidden_layers as u64,
        width,
        keys,
        heads: heads as u64,
        feed_forward: SWIGLU * inner,
        cast: if casts { width * (2 * queries + 2 * keys + 3 * inner) } else { 0 },
        precision,
    };
    let read = Pass { rows: prompts, length: prompt, keys: prompt };
    let written = Pass { rows, length, keys: prompt + length };
    decoder.bytes(&[read, written], logits, checkpointing)
}
