//! `cycle`, CoRL's bidirectional cycle consistency: do image and prompt come back from each other?
//!
//! ```text
//! R = (1 - LPIPS(real image, image)) + BERTScore-F1(caption of the image, prompt)
//! ```
//!
//! 1. The image is compared with the real one, which is the sample's reference, by LPIPS: burn's own network, equal to the package `lpips`.
//!    Of several references the mean distance counts. Needs the feature `lpips`.
//! 2. BLIP writes a caption of the image, which BERTScore compares with the prompt that the image was painted for.
//!
//! The parts are added as they are, as in the public code (`mm-vl/ULM-R1`, `corl/open_r1/rewards/r_t2i.py`), whose settings are the
//! defaults: LPIPS of VGG16 at 224 x 224 (torchmetrics, images in 0..=1), BLIP base, which writes 50 tokens at most, greedily and without a
//! prompt, BERTScore of bert-base-uncased by its last layer, without weights by frequency and without a baseline (torchmetrics). There
//! are two differences. torchmetrics sorts the texts of a call by length and puts their scores back wrongly, so that a caption may get
//! that of another; here every caption has its own. And torchmetrics' LPIPS adds 1e-8 to the squares of a pixel's features, `lpips` and burn
//! next to nothing.
//!
//! Another reward of that code compares captions by SPICE, which parses sentences by a Java program. There is no maintained parser in Rust:
//! what is here is BERTScore, under its own name.
//!
//! # Features
//!
//! - `cuda`: NVIDIA GPUs.
//! - `lpips`: the image's part.

mod bert_score;
mod caption;
mod config;
#[cfg(feature = "lpips")]
mod distance;
#[cfg(not(feature = "lpips"))]
#[path = "without.rs"]
mod distance;
mod files;
mod reward;
mod words;

pub use bert_score::BertScore;
pub use caption::Captions;
pub use config::{CaptionPart, CycleConfig, LpipsPart, Net};
pub use distance::Distance;
pub use files::{BERT_FILES, CAPTIONER_FILES, LPIPS_FILES};
pub use reward::Cycle;

use counterpoint::inventory;
use counterpoint::registry::{RewardEntry, settings};
use counterpoint_weights::hub::Locate as _;

inventory::submit! {
    RewardEntry::new(
        "cycle",
        |table, context| {
            let mut config: CycleConfig = settings("cycle", table)?;
            if let Some(part) = &mut config.lpips {
                part.weights = context.locate(&part.weights, &LPIPS_FILES)?;
            }
            if let Some(part) = &mut config.caption {
                part.captioner = context.locate(&part.captioner, &CAPTIONER_FILES)?;
                part.bert = context.locate(&part.bert, &BERT_FILES)?;
            }
            Ok(Box::new(config.init(&context.device)?))
        },
    )
}
