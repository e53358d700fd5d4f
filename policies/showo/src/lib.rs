//! Show-o: one decoder that understands and generates, over text tokens and the codes of an image tokenizer.
//!
//! [`ShowoConfig`] describes a model of any size; [`Showo`] is the decoder, [`MagvitV2`] the image tokenizer,
//! [`TextTokenizer`] the text tokenizer. [`prompting`] lays out token sequences, [`Allowed`] says who may attend whom.

mod blocks;
mod cache;
mod concept_tokens;
mod concepts;
mod config;
pub mod lfq;
mod magvit;
mod omni;
mod phi;
pub mod picture;
mod policy;
mod projector;
pub mod prompting;
mod public;
mod register;
mod rollout;
mod rotary;
mod showo;
mod text;
pub mod tokens;

pub use cache::KvCache;
pub use concept_tokens::ConceptTokens;
pub use concepts::{Concept, GENERATION_TOKENS, UNDERSTANDING_TOKENS};
pub use config::{Activation, MagvitConfig, PhiConfig, ShowoConfig, SpecialTokens};
pub use magvit::MagvitV2;
pub use omni::Allowed;
pub use policy::ShowoPolicy;
pub use public::{ConceptFiles, FreshConcept, ModelFiles};
pub use rollout::{ImagePrompts, TextCache};
pub use showo::Showo;
pub use text::TextTokenizer;
