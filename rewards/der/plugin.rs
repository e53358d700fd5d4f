//! DER as a plugin: `cargo build --release -p counterpoint-der --example der` makes `target/release/examples/libder.so`.
//!
//! Its settings are those of [`DerConfig`]; `device = "cuda:0"` wants a build with the feature `cuda`.

use counterpoint_der::DerConfig;
use counterpoint_encoders::plugin::{Plugin, PluginExpert};
use counterpoint_sdk::{Description, Judges, Need, export_rewards};

struct DerPlugin;

impl Plugin for DerPlugin {
    type Config = DerConfig;

    fn describe() -> Description {
        Description::new("whether the image shows the concept of the reference images: cosine of DINOv2")
            .range(-1.001, 1.001) // up to rounding
            .needs(&[Need::Image, Need::Reference])
            .judges(Judges::Generation)
            .concurrent()
            .deterministic()
    }
}

export_rewards!(PluginExpert<DerPlugin>);
