//! BER as a plugin: `cargo build --release -p counterpoint-ber --example ber` makes `target/release/examples/libber.so`.
//!
//! Its settings are those of [`BerConfig`]; `device = "cuda:0"` wants a build with the feature `cuda`.

use counterpoint_ber::{Ber, BerConfig};
use counterpoint_encoders::plugin::{device, score, told};
use counterpoint_sdk::{Batch, Description, Error, Expert, Need, Score, Setup, export_rewards};

struct BerExpert(Ber);

impl Expert for BerExpert {
    const NAME: &'static str = "ber";

    fn describe() -> Description {
        Description::new("whether the image shows what the prompt says: cosine of BLIP-2")
            .range(-1.001, 1.001) // up to rounding
            .needs(&[Need::Text, Need::Image])
            .concurrent()
            .deterministic()
    }

    fn create(setup: &Setup<'_>) -> Result<Self, Error> {
        let mut config: BerConfig = setup.settings()?;
        config.weights = setup.resolve(&config.weights);
        Ok(Self(config.init(&device()?).map_err(told)?))
    }

    fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error> {
        score(&mut self.0, batch)
    }
}

export_rewards!(BerExpert);
