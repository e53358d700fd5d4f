//! `tim`, text-image matching: how well an image matches its prompt by the hidden states of the policy that painted it (CoRL, eq. 4).
//!
//! The policy reads the image and the prompt together ([`Sample::states`]). Every token of the image looks for the token of the text
//! that is most like it, and the other way round:
//!
//! ```text
//! R = 1/2 (mean over image tokens i of max over text tokens t of cos(h_i, h_t)
//!        + mean over text tokens t of max over image tokens i of cos(h_t, h_i))
//! ```

use counterpoint::registry::{RewardEntry, settings};
use counterpoint::{Result, Reward, Sample, Score, TokenStates, inventory};
use serde::{Deserialize, Serialize};

/// Settings of [`Tim`]: there are none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimConfig {}

inventory::submit! {
    RewardEntry::new("tim", |table, _| {
        let TimConfig {} = settings("tim", table)?;
        Ok(Box::new(Tim))
    })
}

/// Text-image matching, in -1..=1.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tim;

impl Reward for Tim {
    fn name(&self) -> &str {
        "tim"
    }

    fn score(&mut self, samples: &[Sample]) -> Result<Vec<Score>> {
        let score = |sample: &Sample| match (&sample.image, &sample.states) {
            (None, _) => Score::Abstain("no image to compare".to_owned()),
            (Some(_), None) => Score::Abstain("the policy's states of image and prompt are not there".to_owned()),
            (Some(_), Some(states)) => match matching(states) {
                Some(score) => Score::Value(score),
                None => Score::Abstain("no tokens of an image or of a prompt to compare".to_owned()),
            },
        };
        Ok(samples.iter().map(score).collect())
    }

    fn needs_states(&self) -> bool {
        true
    }
}

/// The score of one image and prompt; none where either has no tokens.
pub fn matching(states: &TokenStates) -> Option<f64> {
    let rows = |values: &[f32]| -> Vec<Vec<f32>> { values.chunks(states.width.max(1)).map(unit).collect() };
    let (image, text) = (rows(&states.image), rows(&states.text));
    if image.is_empty() || text.is_empty() {
        return None;
    }
    let mut of_image = vec![f32::NEG_INFINITY; image.len()];
    let mut of_text = vec![f32::NEG_INFINITY; text.len()];
    for (i, a) in image.iter().enumerate() {
        for (t, b) in text.iter().enumerate() {
            let cosine: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
            of_image[i] = of_image[i].max(cosine);
            of_text[t] = of_text[t].max(cosine);
        }
    }
    let mean = |values: &[f32]| values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
    Some((mean(&of_image) + mean(&of_text)) / 2.0)
}

/// The same direction, of length 1; zeros stay zeros.
fn unit(row: &[f32]) -> Vec<f32> {
    let length = row.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt().max(1e-12);
    row.iter().map(|x| (f64::from(*x) / length) as f32).collect()
}
