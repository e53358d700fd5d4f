//! The tokens that lay out a sequence.

use serde::{Deserialize, Serialize};

/// Ids of special tokens. Defaults: those of Janus-Pro.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpecialIds {
    /// Begins a sequence.
    pub bos: u32,
    /// Ends an answer.
    pub eos: u32,
    /// Fills a sequence up.
    pub pad: u32,
    /// Begins an image.
    pub boi: u32,
    /// Ends an image.
    pub eoi: u32,
}

impl Default for SpecialIds {
    fn default() -> Self {
        Self { bos: 100_000, eos: 100_001, pad: 100_002, boi: 100_016, eoi: 100_593 }
    }
}
