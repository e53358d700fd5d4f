//! Plugins as rewards: from a table of a run's config to a [`Reward`](counterpoint::Reward) that an expert of a plugin gives.
//!
//! ```toml
//! [rewards.brightness]
//! kind = "plugin"                        # what this crate registers
//! path = "plugins/libbrightness.so"      # or a folder of plugins; or command = ["python3", "-m", "counterpoint_reward", "b.py"]
//! settings = { target = 0.5 }            # the expert's own
//! isolation = "process"                  # default: "none"
//! on_failure = "drop"                    # default: "retry"
//! ```
//!
//! A program that links this crate says `use counterpoint_plugins as _;`. With [`replace_rewards`] a run takes the experts of a
//! folder in the place of those that are linked in, settings unchanged.

mod config;
mod failure;
mod make;
mod params;
mod replace;
mod reward;

pub use config::{Isolation, PluginConfig};
pub use counterpoint_bridge::{BridgeOptions, run_if_child};
pub use counterpoint_host::Statistics;
pub use failure::OnFailure;
pub use replace::{experts, replace_rewards};
pub use reward::PluginReward;
