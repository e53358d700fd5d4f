//! DER as a plugin: `cargo build --release -p counterpoint-der --example der` makes `target/release/examples/libder.so`.
//!
//! Its settings are those of [`DerConfig`]; `device = "cuda:0"` wants a build with the feature `cuda`.

use counterpoint_der::{Der, DerConfig};
use counterpoint_encoders::plugin::{device, score, told};
use counterpoint_sdk::{Batch, Description, Error, Expert, Judges, Need, Score, Setup, export_rewards};

struct DerExpert(Der);

impl Expert for DerExpert {
    const NAME: &'static str = "der";

    fn describe() -> Description {
        Description::new("whether the image shows the concept of the reference images: cosine of DINOv2")
            .range(-1.001, 1.001) // up to rounding
            .needs(&[Need::Image, Need::Reference])
            .judges(Judges::Generation)
            .concurrent()
            .deterministic()
    }

    fn create(setup: &Setup<'_>) -> Result<Self, Error> {
        let mut config: DerConfig = setup.settings()?;
        config.weights = setup.resolve(&config.weights);
        config.cache = config.cache.map(|cache| setup.resolve(&cache));
        Ok(Self(config.init(&device()?).map_err(told)?))
    }

    fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error> {
        score(&mut self.0, batch)
    }
}

export_rewards!(DerExpert);
