//! TIER as a plugin: `cargo build --release -p counterpoint-tier --example tier` makes `target/release/examples/libtier.so`.
//!
//! Its settings are those of [`TierConfig`]; `device = "cuda:0"` wants a build with the feature `cuda`.

use counterpoint_encoders::plugin::{Plugin, PluginExpert};
use counterpoint_sdk::{Description, Judges, Need, export_rewards};
use counterpoint_tier::TierConfig;

struct TierPlugin;

impl Plugin for TierPlugin {
    type Config = TierConfig;

    fn describe() -> Description {
        Description::new("how well the reasoning says the fact that fits (params.facts and params.target)")
            .range(0.0, 1.0)
            .needs(&[Need::Text])
            .judges(Judges::Understanding)
            .concurrent()
            .deterministic()
            .batch_invariant()
    }
}

export_rewards!(PluginExpert<TierPlugin>);
