//! Show-o: one decoder that understands and generates, over text tokens and the codes of an image tokenizer.
//!
//! [`ShowoConfig`] describes a model of any size; [`Showo`] is the decoder, [`MagvitV2`] the image tokenizer,
//! [`TextTokenizer`] the text tokenizer. [`prompting`] lays out token sequences, [`Allowed`] says who may attend whom.

mod answers;
mod cache;
mod check;
mod concept_rows;
mod concept_tokens;
mod concepts;
mod config;
mod fast;
mod image_prompts;
pub mod lfq;
mod magvit;
mod memory;
mod omni;
mod peft;
pub mod personalisation;
mod phi;
pub mod picture;
mod policy;
mod precision;
mod projector;
pub mod prompting;
mod public;
mod register;
mod replay;
mod rollout;
mod rotary;
mod scorer;
mod showo;
mod states;
mod text;
pub mod tokens;
mod trainable;

pub use answers::AnswerIds;
pub use cache::KvCache;
pub use concept_tokens::ConceptTokens;
pub use concepts::{Concept, GENERATION_TOKENS, UNDERSTANDING_TOKENS};
pub use config::{Activation, MagvitConfig, PhiConfig, ShowoConfig, SpecialTokens};
pub use counterpoint_policy_common::lora::LoraConfig;
pub use counterpoint_weights::Precision;
pub use fast::FastPaths;
pub use image_prompts::ImagePrompts;
pub use magvit::MagvitV2;
pub use omni::Allowed;
pub use policy::ShowoPolicy;
pub use public::{ConceptFiles, FreshConcept, ModelFiles};
pub use rollout::TextCache;
pub use showo::Showo;
pub use text::TextTokenizer;
pub use trainable::{TARGETS, Trainable};
