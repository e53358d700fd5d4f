//! Commands: examples and subcommands of the program `counterpoint` alike, or of the program alone.

pub mod ablate;
pub mod evaluate;
pub mod generate;
pub mod parity;
pub mod plugins;
pub mod report;
pub mod weights;
