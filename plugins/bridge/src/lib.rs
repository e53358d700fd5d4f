//! Runs the experts of reward plugins in a child process: Python, untrusted or crash-prone ones, or any library with
//! `isolation = "process"`.
//!
//! [`Bridged`] is an [`Expert`](counterpoint_host::Expert) like one in this process, with the same scores to the last bit.
//! What happens to its process costs a call: the plugin may exit, crash, hang, or write nonsense, and no score is invented.
//! The two processes speak frames over standard input and output, `PROTOCOL.md` says which; the Python package
//! `counterpoint_reward` and the program `counterpoint-plugin-child` speak them too.
//!
//! This crate is for Unix, and empty elsewhere.
#![cfg(unix)]

mod bridged;
mod child;
mod confine;
mod forward;
pub mod frame;
#[cfg(test)]
mod fuzz;
mod message;
mod options;
mod process;
mod running;
mod stderr;
mod wire;

pub use bridged::Bridged;
pub use child::run_if_child;
pub use options::{BridgeOptions, Sandbox};
