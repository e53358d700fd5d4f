//! FER as a plugin: `cargo build --release -p counterpoint-fer --example fer` makes `target/release/examples/libfer.so`.
//!
//! Its settings are those of [`FerConfig`]; `device = "cuda:0"` wants a build with the feature `cuda`.

use counterpoint_encoders::plugin::{device, score, told};
use counterpoint_fer::{Fer, FerConfig};
use counterpoint_sdk::{Batch, Description, Error, Expert, Judges, Need, Score, Setup, export_rewards};

struct FerExpert(Fer);

impl Expert for FerExpert {
    const NAME: &'static str = "fer";

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

    fn create(setup: &Setup<'_>) -> Result<Self, Error> {
        let mut config: FerConfig = setup.settings()?;
        config.detector = setup.resolve(&config.detector);
        config.weights = setup.resolve(&config.weights);
        config.cache = config.cache.map(|cache| setup.resolve(&cache));
        Ok(Self(config.init(&device()?).map_err(told)?))
    }

    fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error> {
        score(&mut self.0, batch)
    }
}

export_rewards!(FerExpert);
