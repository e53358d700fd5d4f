//! Everything a candidate decided, with the log-probabilities at which it was sampled.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Which half of the loop a segment belongs to. The objective weighs them with `a_und` and `a_gen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SegmentKind {
    /// Reasoning text.
    Understanding,
    /// Image tokens.
    Generation,
}

impl SegmentKind {
    /// `/understanding` or `/generation`: the end of the names of metrics about this half.
    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Understanding => "/understanding",
            Self::Generation => "/generation",
        }
    }
}

/// How the decisions of a segment depend on each other, which settles how they are replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decoding {
    /// One decision per step, each conditioned on those before it: a single forward pass scores all steps.
    Autoregressive,
    /// All positions are predicted at every step (MaskGIT): each step is scored by a forward pass of its own.
    Masked,
}

/// One half of a trajectory: `steps` steps of `per_step` decisions each, stored step-major.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Segment {
    /// Which half this is.
    pub kind: SegmentKind,
    /// How its decisions depend on each other.
    pub decoding: Decoding,
    /// The tokens that the decisions are conditioned on; its meaning is the policy's.
    pub context: Vec<u32>,
    /// Decisions per step: 1 for text, the number of image positions for MaskGIT.
    pub per_step: usize,
    /// Chosen ids, `[steps * per_step]`. For masked decoding a position that was decided earlier repeats its standing id.
    pub chosen: Vec<u32>,
    /// Log-probabilities of `chosen` at sampling time, same length, natural logarithm.
    pub log_probs: Vec<f32>,
    /// Whether a position was still undecided at that step, same length. All true for text.
    pub undecided: Vec<bool>,
    /// Classifier-free guidance scale g: `(1 + g) * conditional - g * unconditional` logits were sampled. 0 is none.
    pub guidance: f32,
    /// Temperature that the logits were divided by.
    pub temperature: f32,
    /// Whether it ended at the sampler's limit and not by itself, as a text without its stop token does.
    pub truncated: bool,
}

impl Segment {
    /// Tokens written one by one after `context`, at temperature 1 and without guidance: understanding, unless
    /// [`with_kind`](Segment::with_kind) says otherwise.
    pub fn text(context: Vec<u32>, chosen: Vec<u32>, log_probs: Vec<f32>) -> Self {
        Self {
            kind: SegmentKind::Understanding,
            decoding: Decoding::Autoregressive,
            context,
            per_step: 1,
            undecided: vec![true; chosen.len()],
            chosen,
            log_probs,
            guidance: 0.0,
            temperature: 1.0,
            truncated: false,
        }
    }

    /// `per_step` positions predicted together at every step after `context` (MaskGIT), at temperature 1 and without guidance:
    /// generation. `undecided` says which positions were still open at their step.
    pub fn masked(
        context: Vec<u32>,
        per_step: usize,
        chosen: Vec<u32>,
        log_probs: Vec<f32>,
        undecided: Vec<bool>,
    ) -> Self {
        Self {
            kind: SegmentKind::Generation,
            decoding: Decoding::Masked,
            context,
            per_step,
            chosen,
            log_probs,
            undecided,
            guidance: 0.0,
            temperature: 1.0,
            truncated: false,
        }
    }

    /// The same as a part of the other half.
    pub fn with_kind(mut self, kind: SegmentKind) -> Self {
        self.kind = kind;
        self
    }

    /// The same, sampled at this guidance scale.
    pub fn with_guidance(mut self, guidance: f32) -> Self {
        self.guidance = guidance;
        self
    }

    /// The same, sampled at this temperature.
    pub fn with_temperature(mut self, temperature: f32) -> Self {
        self.temperature = temperature;
        self
    }

    /// The same, ended at the sampler's limit or not.
    pub fn with_truncated(mut self, truncated: bool) -> Self {
        self.truncated = truncated;
        self
    }

    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.chosen.len().checked_div(self.per_step).unwrap_or(0)
    }

    /// Number of recorded decisions.
    pub fn len(&self) -> usize {
        self.chosen.len()
    }

    /// Whether nothing was decided.
    pub fn is_empty(&self) -> bool {
        self.chosen.is_empty()
    }

    /// Range of the decisions of `steps` within the flat vectors.
    pub fn decisions(&self, steps: &std::ops::Range<usize>) -> std::ops::Range<usize> {
        steps.start * self.per_step..steps.end * self.per_step
    }
}

/// The recorded decisions of one candidate: o_i = (IR_i, I_{i,0..T}).
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Trajectory {
    /// The candidate's number within its group.
    pub candidate: u64,
    /// Number of its answer within the group: candidates with equal numbers share their segments of understanding, token by
    /// token. Its own number where each has an answer of its own.
    pub answer: u64,
    /// The segments in the order in which they were decided.
    pub segments: Vec<Segment>,
}

impl Trajectory {
    /// What `candidate` decided, in order.
    pub fn new(candidate: u64, segments: Vec<Segment>) -> Self {
        Self { candidate, answer: candidate, segments }
    }

    /// The same as one of those that share answer number `answer`.
    pub fn with_answer(mut self, answer: u64) -> Self {
        self.answer = answer;
        self
    }

    /// Number of recorded decisions over all segments, |o_i|.
    pub fn len(&self) -> usize {
        self.segments.iter().map(Segment::len).sum()
    }

    /// Whether nothing was decided.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks that the vectors of every segment fit together.
    ///
    /// # Errors
    /// [`ErrorKind::Contract`](crate::ErrorKind::Contract) naming the candidate, the segment and the lengths.
    pub fn validate(&self) -> Result<()> {
        let lengths = |s: &Segment| [s.chosen.len(), s.log_probs.len(), s.undecided.len()];
        let fits = |s: &Segment| lengths(s) == [s.len(); 3] && s.steps() * s.per_step == s.len();
        match self.segments.iter().position(|s| !fits(s)) {
            None => Ok(()),
            Some(i) => {
                let segment = &self.segments[i];
                let [chosen, log_probs, undecided] = lengths(segment);
                Err(Error::contract(format!(
                    "candidate {}, segment {i} ({:?}): expected equally many chosen ids, log-probabilities and undecided \
                     flags, a multiple of {} per step, got {chosen}, {log_probs} and {undecided}; the sampler must record \
                     all three for every decision",
                    self.candidate, segment.kind, segment.per_step
                )))
            }
        }
    }
}
