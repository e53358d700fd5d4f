//! Checks a reward plugin: a shared library, or a command that speaks the bridge's protocol. Each check runs in a child process
//! of its own with a time limit, so a plugin that hangs, exits, crashes or damages its process fails a check and nothing else.
//!
//! The program `counterpoint-validator` is made of this; [`checks::ALL`] are the rules.
//!
//! This crate is for Unix, and empty elsewhere.
#![cfg(unix)]

mod bridged;
mod callbacks;
mod calls;
pub mod checks;
mod child;
mod cli;
mod install;
mod instance;
mod job;
mod layout;
mod pages;
mod parent;
mod progress;
mod report;
mod samples;
mod session;
mod subject;

pub use child::run_if_child;
pub use cli::{Options, run};
use job::{Job, Outcome};
pub use job::{Target, Verdict};
pub use report::{Finding, Report};
pub use session::check;
