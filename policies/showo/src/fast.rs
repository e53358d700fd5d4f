//! Which short cuts a policy takes. Each computes the same numbers as the plain way, with less work.

use burn::tensor::Device;
use counterpoint_policy_common::training;
use serde::{Deserialize, Serialize};

/// `[policy.fast]`: every short cut is on unless it is switched off, to check it or to see what it saves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FastPaths {
    /// Rollouts keep the keys and values of a prompt's text over all denoising steps: text never sees the image. Those of
    /// the empty prompt of guidance are computed once for each state of the parameters.
    pub prefix_cache: bool,
    /// Updates run what the replays of a chunk share (a question, a prompt, the empty prompt) once for all of them; its
    /// gradient flows back once.
    pub shared_prefix: bool,
    /// Images are scored at image positions and over image codes alone, answers at the last position alone.
    pub sliced_head: bool,
    /// Answers keep keys and values of the tokens so far; a group shares the question's.
    pub text_cache: bool,
    /// Drafts are finished with the keys and values that they were begun with.
    pub continued_drafts: bool,
    /// Attention is fused: on the CPU its softmax is one pass over the scores, with and without gradients; in half precision elsewhere,
    /// without gradients, it is one operation of the backend (which rounds to half precision, whatever it is given).
    pub fused_attention: bool,
    /// The first denoising step, when nothing is decided yet, is computed once for candidates with equal prompts.
    pub shared_first_step: bool,
    /// On the CPU, parts of a batch are computed side by side, one for each core.
    pub cores: bool,
}

impl Default for FastPaths {
    fn default() -> Self {
        Self::all(true)
    }
}

impl FastPaths {
    /// All on, or all off: the plain way, as the public code goes it.
    pub const fn all(on: bool) -> Self {
        Self {
            prefix_cache: on,
            shared_prefix: on,
            sliced_head: on,
            text_cache: on,
            continued_drafts: on,
            fused_attention: on,
            shared_first_step: on,
            cores: on,
        }
    }

    /// How many threads share the work on `device`.
    pub(crate) fn threads(&self, device: &Device) -> usize {
        if self.cores { training::threads(device) } else { 1 }
    }

    /// Each short cut's name.
    pub const NAMES: [&'static str; 8] = [
        "prefix_cache",
        "shared_prefix",
        "sliced_head",
        "text_cache",
        "continued_drafts",
        "fused_attention",
        "shared_first_step",
        "cores",
    ];

    /// The switch of the short cut `name`.
    pub fn switch(&mut self, name: &str) -> Option<&mut bool> {
        Some(match name {
            "prefix_cache" => &mut self.prefix_cache,
            "shared_prefix" => &mut self.shared_prefix,
            "sliced_head" => &mut self.sliced_head,
            "text_cache" => &mut self.text_cache,
            "continued_drafts" => &mut self.continued_drafts,
            "fused_attention" => &mut self.fused_attention,
            "shared_first_step" => &mut self.shared_first_step,
            "cores" => &mut self.cores,
            _ => return None,
        })
    }
}
