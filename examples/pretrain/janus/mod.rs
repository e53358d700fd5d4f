//! A tiny Janus for the world of coloured shapes: image tokenizer and text tokenizer, then the model, by the likelihood of answers and
//! images under its own policy.

mod lessons;
pub mod model;
mod sizes;
mod text;
pub mod tokenizer;
