//! What the model makes of an image and a prompt that it reads together.

use std::ops::Range;

use counterpoint::{Error, Result, Sample, TokenStates};
use counterpoint_policy_common::states::states;
use image::RgbImage;

use crate::{Allowed, ShowoPolicy, prompting, tokens};

/// States after the last norm: of the image's tokens, and of all tokens after the one that ends the image.
pub(crate) fn token_states(policy: &ShowoPolicy, samples: &[Sample]) -> Result<Vec<TokenStates>> {
    let image = |sample: &Sample| -> Result<RgbImage> {
        let image = sample.image.as_deref().cloned();
        image.ok_or_else(|| Error::contract("expected samples with an image, got one without"))
    };
    let images = samples.iter().map(image).collect::<Result<Vec<_>>>()?;
    let codes = policy.encode_images(&images)?;
    let config = policy.config();
    let prompt = |(sample, codes): (&Sample, &Vec<u32>)| {
        prompting::mmu_prompt(config, codes, &policy.text_tokenizer()?.encode_question(&sample.prompt)?)
    };
    let rows = samples.iter().zip(&codes).map(prompt).collect::<Result<Vec<_>>>()?;
    let scorer = policy.detached();
    let read = |numbers: &[usize]| {
        let sequences: Vec<Vec<u32>> = numbers.iter().map(|&i| rows[i].clone()).collect();
        let allowed = Allowed::mmu(config, &sequences)?.tensor(&scorer.device);
        Ok(scorer.model.forward(tokens::to_tensor(&sequences, &scorer.device), allowed))
    };
    // mmu soi image eoi bos text
    let image: Range<usize> = 2..2 + config.num_vq_tokens;
    states(&rows, |_| image.clone(), |row| image.end + 1..row.len(), read)
}
