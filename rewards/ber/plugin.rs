//! BER as a plugin: `cargo build --release -p counterpoint-ber --example ber` makes `target/release/examples/libber.so`.
//!
//! Its settings are those of [`BerConfig`]; `device = "cuda:0"` wants a build with the feature `cuda`.

use counterpoint_ber::BerConfig;
use counterpoint_encoders::plugin::{Plugin, PluginExpert};
use counterpoint_sdk::{Description, Need, export_rewards};

struct BerPlugin;

impl Plugin for BerPlugin {
    type Config = BerConfig;

    fn describe() -> Description {
        Description::new("whether the image shows what the prompt says: cosine of BLIP-2")
            .range(-1.001, 1.001) // up to rounding
            .needs(&[Need::Text, Need::Image])
            .concurrent()
            .deterministic()
    }
}

export_rewards!(PluginExpert<BerPlugin>);
