//! Personalisation: what a concept's tokens stand for, learned from photographs and conversations before any reinforcement
//! learning (UniCTokens, arXiv 2505.14671, stages 1 to 3, and the single stage `joint`).
//!
//! ```text
//! lessons    photographs with captions and with questions
//! start      rows to begin from: clusters of the photographs' codes, or the stage before
//! masking    which image tokens are hidden
//! loss       Show-o's two losses
//! perception images that the third stage begins from
//! stage      the settings of a stage
//! training   epochs over lessons; nothing but the concept's rows moves
//! ```

mod lessons;
mod loss;
mod masking;
mod perception;
mod stage;
mod start;
mod training;

pub use lessons::{Asked, Captioned, Lessons};
pub use loss::{MaskedImage, answer_loss, image_loss};
pub use masking::{mask, masked_count};
pub use perception::perceived;
pub use stage::{Stage, StageConfig};
pub use training::{Base, EpochLosses, Personalisation};
