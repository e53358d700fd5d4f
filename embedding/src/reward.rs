//! What a good melody is.

use counterpoint::{Result, Reward, Sample, Score};

/// The share of a melody's moves that go to a neighbouring note, in [0, 1].
pub struct Stepwise;

impl Reward for Stepwise {
    fn name(&self) -> &str {
        "stepwise"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        Ok(samples.iter().map(score).collect())
    }
}

fn score(sample: &Sample) -> Score {
    let notes: Result<Vec<i64>, _> = sample.response.split_whitespace().map(str::parse).collect();
    match notes {
        Err(e) => Score::Fail(format!("`{}` is not a melody: {e}", sample.response)),
        Ok(notes) if notes.len() < 2 => Score::Abstain("one note does not move".to_owned()),
        Ok(notes) => {
            let moves = notes.windows(2);
            let (all, steps) = (moves.len(), moves.filter(|pair| (pair[0] - pair[1]).abs() == 1).count());
            Score::Value(steps as f64 / all as f64)
        }
    }
}
