//! What the recipes share: command line, components by name, the run's folder, progress, evaluation, sample grids,
//! reports, several runs side by side, and commands that are examples and subcommands of `counterpoint` alike.

mod args;
mod build;
pub mod commands;
mod folder;
mod grid;
mod job;
mod likelihood;
mod log;
#[cfg(feature = "mlflow")]
mod mlflow;
mod parallel;
mod progress;
mod repeat;
mod report;
mod run;
mod signal;
mod start;
#[cfg(feature = "opentelemetry")]
mod telemetry;
mod weights;

pub use args::{Invocation, RecipeArgs};
pub use build::{evaluation_sampler, evaluator, parts};
pub use counterpoint_plugins::run_if_child;
pub use folder::{Resume, RunFolder};
pub use grid::{Cell, save_grid};
pub use job::job;
pub use likelihood::learn;
pub use log::show_warnings;
pub use parallel::{cores, parallel};
pub use progress::{Delay, Look, Memory, OutputMode, Progress, Sink, Stage, sparkline};
pub use repeat::{Planned, Repeat};
pub use report::{report_run, report_runs};
pub use run::{Ended, Recipe, Run, Watch};
pub use signal::stop_on_signals;
pub use start::{Done, start, status, with_progress};
pub use weights::{Loaded, loaded, references};

// A linker drops crates that nothing refers to, and what they register with them.
use counterpoint_answers as _;
use counterpoint_ber as _;
use counterpoint_clip as _;
use counterpoint_corl as _;
use counterpoint_cycle as _;
use counterpoint_der as _;
use counterpoint_fer as _;
use counterpoint_janus as _;
#[cfg(feature = "judge")]
use counterpoint_judge as _;
use counterpoint_matching as _;
use counterpoint_shapes as _;
use counterpoint_showo as _;
use counterpoint_tier as _;
use counterpoint_unictokens as _;
use counterpoint_unifybench as _;
