//! How much memory the graph of a chunk takes, counted from what its operations keep for the way back. The counts of values
//! were fitted to the peak of an update of Show-o (`cargo bench -p counterpoint-benches --bench update_memory`) by burn's operations; the
//! passes of `counterpoint-kernels` keep about half of it on the CPU.

use counterpoint_weights::Precision;

/// Values that a layer keeps for each token, of the width of the residual stream, in f32 and in the type of computation:
/// norms keep their input and what they divide by, products their factors.
const WIDE_F32: u64 = 9;
const WIDE: u64 = 8;
/// Values for each query and key of each head, f32.
const SCORES: u64 = 2;
/// Values for each score over the vocabulary, f32.
const LOGITS: u64 = 4;

/// A decoder's sizes.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    /// Layers.
    pub layers: u64,
    /// Width of the residual stream.
    pub width: u64,
    /// Width of all keys of a token, and of all its values.
    pub keys: u64,
    /// Heads of queries.
    pub heads: u64,
    /// Values of the feed-forward block that a layer keeps for each token.
    pub feed_forward: u64,
    /// Numbers in the matrices of a layer, where every pass casts them to the type of computation, else 0.
    pub cast: u64,
    /// What it computes in.
    pub precision: Precision,
}

/// One pass over some rows: each of `length` tokens, which see `keys` keys.
#[derive(Debug, Clone, Copy)]
pub struct Pass {
    /// Sequences.
    pub rows: u64,
    /// New tokens of each.
    pub length: u64,
    /// Tokens that these see, themselves among them.
    pub keys: u64,
}

impl Decoder {
    /// About how many bytes these passes and `logits` scores over a vocabulary keep for the way back; with `checkpointing` a layer
    /// keeps its input alone and is computed again.
    pub fn bytes(&self, passes: &[Pass], logits: u64, checkpointing: bool) -> u64 {
        let cast = self.cast * self.precision.dtype().size() as u64;
        // Layers that are computed again cast one at a time.
        let (kept, casts) = match checkpointing {
            true => {
                let kept: u64 = passes.iter().map(|pass| self.layers * self.input(pass)).sum();
                (kept + passes.iter().map(|pass| self.layer(pass)).max().unwrap_or(0), cast)
            }
            false => (
                passes.iter().map(|pass| self.layers * self.layer(pass)).sum(),
                passes.len() as u64 * self.layers * cast,
            ),
        };
        kept + 4 * LOGITS * logits + casts
    }

    /// What a layer needs until it is computed again: its input, and keys and values of the prefix and for what follows.
    fn input(&self, pass: &Pass) -> u64 {
        let values = pass.length * self.width + 2 * pass.keys * self.keys;
        pass.rows * values * self.precision.dtype().size() as u64
    }

    /// What a layer keeps for the way back through it.
    fn layer(&self, pass: &Pass) -> u64 {
        let size = self.precision.dtype().size() as u64;
        let tokens = pass.length * (4 * WIDE_F32 * self.width + size * (WIDE * self.width + self.feed_forward));
        // Keys and values of the prefix are copied to every row.
        let keys = pass.keys * 2 * size * self.keys;
        let scores = 4 * SCORES * self.heads * pass.length * pass.keys;
        pass.rows * (tokens + keys + scores)
    }
}
