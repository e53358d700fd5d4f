//! What the model makes of an image and a prompt that it reads together.

use burn::tensor::Tensor;
use counterpoint::{Error, Result, Sample, TokenStates};
use counterpoint_policy_common::states::states;

use crate::picture::seen;
use crate::{JanusPolicy, KvCache};

/// States after the last norm: of the image's tokens, and of all tokens after the one that ends the image, which are the prompt and
/// what the chat puts after it.
pub(crate) fn token_states(policy: &JanusPolicy, samples: &[Sample]) -> Result<Vec<TokenStates>> {
    let (text, ids) = (policy.text_tokenizer()?, policy.ids);
    let rows = samples.iter().map(|sample| text.question(&sample.prompt, true)).collect::<Result<Vec<_>>>()?;
    let side = policy.config().vision_config.image_size;
    let pixels = samples
        .iter()
        .map(|sample| match &sample.image {
            Some(image) => seen(image, side, policy.own_device()),
            None => Err(Error::contract("expected samples with an image, got one without")),
        })
        .collect::<Result<Vec<_>>>()?;
    let (model, embeddings) = (policy.detached().model, policy.config().image_embeddings());
    let end = |row: &[u32]| row.iter().position(|id| *id == ids.eoi).unwrap_or(row.len());
    let read = |numbers: &[usize]| {
        let sequences: Vec<Vec<u32>> = numbers.iter().map(|&i| rows[i].clone()).collect();
        let images = numbers.iter().map(|&i| pixels[i].clone()).collect();
        let features = model.read(Tensor::cat(images, 0))?;
        let of: Vec<usize> = (0..numbers.len()).collect();
        let embedded = model.embed_text(&sequences, Some((features, &of)))?;
        let attended = vec![vec![true; sequences[0].len()]; sequences.len()];
        Ok(model.states(embedded, &attended, &KvCache::default()))
    };
    let image = |row: &[u32]| end(row) - embeddings..end(row);
    states(&rows, image, |row| end(row) + 1..row.len(), read)
}
