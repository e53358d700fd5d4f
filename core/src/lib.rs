//! Counterpoint: an embeddable reinforcement-learning engine for models that both understand and generate.

mod error;
pub mod weights;

pub use error::{Error, ErrorKind, Result};
