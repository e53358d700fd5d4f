//! Counterpoint: an embeddable reinforcement-learning engine for models that both understand and generate.
//!
//! Data flows one way round the loop, and the modules read in that order:
//!
//! ```text
//! task -> sampler.draft -> filter.admit -> sampler.finish -> reward.score -> advantages -> policy.log_probs (chunks)
//!      -> objective -> gradients -> optimizer -> filter.adapt, events, checkpoint -> next task
//! ```
//!
//! A program that embeds the engine brings a [`TaskSource`], a [`Policy`], a [`Sampler`] and some [`Reward`]s, puts them
//! into a [`Trainer`] and calls [`Trainer::step`] or [`Trainer::run`]. Nothing here prints, installs signal handlers or
//! keeps global state. No model code and no data layout live in this crate.
//!
//! Every trait has an example that can be copied. The crates whose types appear in the API are re-exported, so that a
//! program needs no dependency but this one: [`burn`], [`image`], [`inventory`], [`rand`], [`serde_json`] and [`toml`].
//! Burn's derive macros want the name `burn` in scope: `use counterpoint::burn;`.
//!
//! # Features
//!
//! - `flex` (default): the CPU, `Device::flex()`.
//! - `cuda`: NVIDIA GPUs, `Device::cuda(n)`.
//!
//! Without a backend the crate compiles, and no device can be made.

mod ensemble;
mod error;
mod event;
mod journal;
mod learner;
mod order;
mod policy;
mod reward;
mod sample;
mod sampler;
mod stream;
mod task;
mod trajectory;

pub mod checkpoint;
pub mod config;
pub mod controls;
pub mod device;
pub mod evaluation;
pub mod file;
pub mod filter;
pub mod metrics;
pub mod objective;
pub mod registry;
pub mod rollouts;
pub mod trainer;
pub mod updater;

// The crates whose types appear in the API.
pub use {burn, image, inventory, rand, serde_json, toml};

pub use ensemble::{ClassWeights, RewardEnsemble, RewardStatistics, Scored, Shares};
pub use error::{Error, ErrorKind, Result};
pub use evaluation::{Evaluator, Judged};
pub use event::{Event, StepReport, StopToken, Watch, unwatched};
pub use filter::{
    DropZeroVariance, DynamicGroupScaling, DynamicGroupScalingConfig, GroupFilter, GroupOutcome, KeepAll, TopK,
    TopKConfig,
};
pub use journal::Journal;
pub use learner::{DecayScope, Learner, ModuleLearner, OptimizerConfig, gradients};
pub use objective::{
    Credit, GroupShape, ImagePositions, Loss, LossStats, Objective, Scope, SyncGrpo, SyncGrpoConfig, Terms,
};
pub use order::{FlatTasks, TaskOrder};
pub use policy::{LogProbs, Parameters, Policy, Replay, Replica};
pub use reward::{Judges, Reward, Score};
pub use rollouts::{Drawn, Rollouts};
pub use sample::{Sample, TokenStates};
pub use sampler::{Candidate, Draft, Rollout, Sampler, TypedSampler, one_shot};
pub use stream::{Key, Stream, Streams};
pub use task::{Task, TaskSource};
pub use trainer::{Observer, Parts, Trainer};
pub use trajectory::{Decoding, Segment, SegmentKind, Trajectory};
pub use updater::{BurnSchedule, Group, Schedule, Updater, WarmupCosine};
