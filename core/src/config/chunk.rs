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
/// ([`Policy::chunk_bytes`](crate::Policy::chunk_bytes)), or of all chunks that are computed at once; one replay is always
/// allowed. Parameters, gradients and optimizer
/// state come on top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemoryBudget {
    /// MiB, 1 or more.
    pub memory_mib: u64,
}

impl Chunk {
    /// What is left for each of `count` chunks that are computed at once.
    pub(crate) fn shared_by(self, count: usize) -> Self {
        match self {
            Self::Memory(budget) if count > 1 => {
                Self::Memory(MemoryBudget { memory_mib: (budget.memory_mib / count as u64).max(1) })
            }
            other => other,
        }
    }

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
