//! Rewards of answers that can be checked, without any model: `accuracy`, whether an answer is right, and `format`, whether it is
//! `<think>..</think><answer>..</answer>`.
//!
//! What was asked is in a task's parameters, under the names of CoRL's data: `qa_problem`, `qa_solution` and `qa_type`.

mod accuracy;
mod choice;
mod format;
mod similar;
mod tags;
mod value;

pub use accuracy::{Accuracy, AccuracyConfig, OpenEnded};
pub use choice::{choices, inferred};
pub use format::{Format, FormatConfig};
pub use similar::soft_jaccard;
pub use tags::{Tagged, final_answer};
pub use value::same_value;
