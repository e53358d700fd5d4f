//! Tasks of two halves in the layout of CoRL's data (x2x_rft): a prompt to paint and a question about a real image.
//!
//! A data set is a file of JSON Lines, or with the feature `parquet` a Parquet file, or a folder of such files. A row has
//!
//! | column | what |
//! |---|---|
//! | `prompt` | what to paint |
//! | `real_image` | the image that the question is about, and that the painted one is compared with: a path (JSON Lines: relative to the file), or bytes (Parquet, as `datasets` stores images) |
//! | `qa_problem` | the question |
//! | `qa_solution` | its answer, with or without `<answer>` tags |
//! | `qa_type` | `MC` or `OE`; may be missing |
//!
//! Other names are said in `columns`. In a config: `[data] kind = "corl"`, see [`CorlConfig`].

mod config;
mod rows;
mod tasks;

pub use config::{Columns, CorlConfig, Halves};
pub use rows::{Picture, Row};
pub use tasks::CorlTasks;
