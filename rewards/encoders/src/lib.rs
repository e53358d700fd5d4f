//! Text and image towers shared by the reward experts.
//!
//! Each tower is a port of a public model: its config is read from the original's `config.json`, its weights from
//! the original's files (safetensors or `torch.save`, sharded or not) under the original's tensor names.

pub mod bert;
pub mod blip2;
pub mod cache;
pub mod captioner;
pub mod clip;
pub mod dinov2;
pub mod expert;
pub mod face;
mod files;
pub mod memo;
mod noun;
mod ops;
pub mod plugin;
pub mod preprocess;
mod residual;
pub mod text;
pub mod tokenizer;
mod transformer;
mod vit;

pub use bert::{BertConfig, BertEncoder};
pub use blip2::{Blip2, Blip2Config};
pub use cache::EmbeddingCache;
pub use captioner::{Captioner, CaptionerConfig};
pub use clip::{Clip, ClipConfig};
pub use dinov2::{Dinov2, Dinov2Config};
pub use expert::ExpertConfig;
pub use memo::TextMemo;
pub use noun::by_noun;
pub use ops::{cosine, dot, l2_normalise};
pub use preprocess::{ImageProcessor, ImageProcessorConfig};
pub use tokenizer::{TextBatch, TextTokenizer};
