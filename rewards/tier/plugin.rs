//! TIER as a plugin: `cargo build --release -p counterpoint-tier --example tier` makes `target/release/examples/libtier.so`.
//!
//! Its settings are those of [`TierConfig`]; `device = "cuda:0"` wants a build with the feature `cuda`.

use counterpoint_encoders::plugin::{device, score, told};
use counterpoint_sdk::{Batch, Description, Error, Expert, Judges, Need, Score, Setup, export_rewards};
use counterpoint_tier::{Tier, TierConfig};

struct TierExpert(Tier);

impl Expert for TierExpert {
    const NAME: &'static str = "tier";

    fn describe() -> Description {
        Description::new("how well the reasoning says the fact that fits (params.facts and params.target)")
            .range(0.0, 1.0)
            .needs(&[Need::Text])
            .judges(Judges::Understanding)
            .concurrent()
            .deterministic()
            .batch_invariant()
    }

    fn create(setup: &Setup<'_>) -> Result<Self, Error> {
        let mut config: TierConfig = setup.settings()?;
        config.weights = setup.resolve(&config.weights);
        Ok(Self(config.init(&device()?).map_err(told)?))
    }

    fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error> {
        score(&mut self.0, batch)
    }
}

export_rewards!(TierExpert);
