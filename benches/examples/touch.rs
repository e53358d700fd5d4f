//! A plugin that does next to nothing, for `benches/plugins.rs`: its score is the first red sample of the image.

use counterpoint_sdk::{Batch, Description, Error, Expert, Need, Pixels, Score, Setup, export_rewards};

struct Touch;

impl Expert for Touch {
    const NAME: &'static str = "touch";

    fn describe() -> Description {
        Description::new("the first red sample")
            .range(0.0, 255.0)
            .needs(&[Need::Image])
            .concurrent()
            .deterministic()
            .batch_invariant()
    }

    fn create(_: &Setup<'_>) -> Result<Self, Error> {
        Ok(Self)
    }

    fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error> {
        let score = |pixels| match pixels {
            Some(Pixels::U8(samples)) => Score::Value(f64::from(samples[0])),
            _ => Score::Abstain("no image of bytes".to_owned()),
        };
        Ok(batch.items().iter().map(|item| score(item.image().map(|image| image.pixels()))).collect())
    }
}

export_rewards!(Touch);
