//! The published files of Show-o, Phi-1.5, MAGVIT-v2 and UniCTokens, read and written as they are.

mod config;
mod export;
mod files;
mod load;
mod tokenizer;
mod variant;

pub use files::{ConceptFiles, FreshConcept, ModelFiles};
pub(crate) use tokenizer::{complete as complete_tokenizer, read as read_tokenizer};
pub(crate) use variant::check_variant;
