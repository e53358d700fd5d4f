//! Which rewards a decision is credited with.

use serde::{Deserialize, Serialize};

use crate::{Judges, SegmentKind};

/// Which rewards a decision is credited with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Credit {
    /// With all of them, as in the paper.
    #[default]
    Joint,
    /// With those that it can have influenced: a reward that judges only a half that was over before the decision was made
    /// is none of its doing. The expected gradient is that of `joint`, for such a reward does not depend on the decision; only
    /// the noise that it adds is gone.
    Causal,
}

impl Credit {
    /// Whether a decision of a segment is credited with a reward that `judges` this, `rest` being the kinds of the segment
    /// itself and of those after it.
    pub fn counts(self, judges: Judges, rest: &[SegmentKind]) -> bool {
        match (self, judges) {
            (Self::Joint, _) | (_, Judges::Both) => true,
            (Self::Causal, Judges::Understanding) => rest.contains(&SegmentKind::Understanding),
            (Self::Causal, Judges::Generation) => rest.contains(&SegmentKind::Generation),
        }
    }
}
