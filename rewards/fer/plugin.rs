//! FER as a plugin: `cargo build --release -p counterpoint-fer --example fer` makes `target/release/examples/libfer.so`.
//!
//! Its settings are those of [`FerConfig`]; `device = "cuda:0"` wants a build with the feature `cuda`.

use counterpoint_encoders::plugin::{Plugin, PluginExpert};
use counterpoint_fer::FerConfig;
use counterpoint_sdk::{Description, Judges, Need, export_rewards};

struct FerPlugin;

impl Plugin for FerPlugin {
    type Config = FerConfig;

    fn describe() -> Description {
        Description::new(
            "whether the image shows the person of the reference images: cosine of FaceNet on faces that MTCNN finds",
        )
        .range(-1.001, 1.001) // up to rounding
        .needs(&[Need::Image, Need::Reference])
        .judges(Judges::Generation)
        .concurrent()
        .deterministic()
    }
}

export_rewards!(PluginExpert<FerPlugin>);
