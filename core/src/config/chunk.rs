//! How much of an update is computed at once.

use serde::{Deserialize, Serialize};

/// How many replays make a chunk: what the memory of an update grows with. On the CPU an update computes as many chunks at
/// once as there are cores, where the policy can.
///
/// In a config, `chunk = 8` or `chunk = { memory_mib = 4096 }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a number of sequences or { memory_mib = N }")]
pub enum Chunk {
    /// At most this many sequences, 1 or more.
    Sequences(usize),
    /// As many as fit into a budget.
    Memory(MemoryBudget),
}

/// What the activations of a chunk may take, by the policy's estimate
/// ([`Policy::chunk_bytes`](crate::Policy::chunk_bytes)), or on the CPU those of all chunks that are computed at once: eight at most, each
/// with an eighth, however many cores there are, so that a chunk holds the same on every machine. One replay is always
/// allowed. Parameters, gradients and optimizer state come on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryBudget {
    /// MiB, 1 or more.
    pub memory_mib: u64,
}

impl Chunk {
    /// The number that has to be 1 or more.
    pub(crate) fn amount(self) -> u64 {
        match self {
            Self::Sequences(count) => count as u64,
            Self::Memory(budget) => budget.memory_mib,
        }
    }
}

impl From<usize> for Chunk {
    fn from(sequences: usize) -> Self {
        Self::Sequences(sequences)
    }
}
