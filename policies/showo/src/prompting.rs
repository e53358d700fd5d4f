//! Token sequences of the two tasks, as the original lays them out.
//!
//! - text-to-image: `pad.. t2i bos text eos soi image eoi`, padded on the left to a constant length;
//! - understanding: `mmu soi image eoi bos question [answer eos]`.

use counterpoint::{Error, Result};

use crate::config::ShowoConfig;

/// The text part of a text-to-image sequence, of length [`ShowoConfig::t2i_prompt_length`].
/// A text that is too long is cut; its end-of-text token stays.
pub fn t2i_prompt(config: &ShowoConfig, text: &[u32]) -> Vec<u32> {
    let length = config.t2i_prompt_length();
    let mut ids = vec![config.special_token_ids.t2i];
    ids.extend(with_bos(config, text));
    ids.truncate(length - 1);
    ids.push(config.eos_id);
    let mut padded = vec![config.special_token_ids.pad; length - ids.len()];
    padded.append(&mut ids);
    padded
}

/// Whether [`t2i_prompt`] keeps all of `text`.
pub fn fits_t2i(config: &ShowoConfig, text: &[u32]) -> bool {
    cut_t2i(config, text) == 0
}

/// How many tokens of `text` [`t2i_prompt`] leaves out.
pub fn cut_t2i(config: &ShowoConfig, text: &[u32]) -> usize {
    (with_bos(config, text).count() + 2).saturating_sub(config.t2i_prompt_length())
}

/// A whole text-to-image sequence; `image` holds vocabulary ids (see [`image_ids`] and [`masked_image`]).
pub fn t2i_sequence(config: &ShowoConfig, text: &[u32], image: &[u32]) -> Vec<u32> {
    let mut ids = t2i_prompt(config, text);
    ids.push(config.special_token_ids.soi);
    ids.extend_from_slice(image);
    ids.push(config.special_token_ids.eoi);
    ids
}

/// The conditional and the unconditional (empty prompt) sequence of one image.
pub fn t2i_pair(config: &ShowoConfig, text: &[u32], image: &[u32]) -> (Vec<u32>, Vec<u32>) {
    (t2i_sequence(config, text, image), t2i_sequence(config, &[], image))
}

/// An image of which nothing is decided yet.
pub fn masked_image(config: &ShowoConfig) -> Vec<u32> {
    vec![config.mask_token_id; config.num_vq_tokens]
}

/// Vocabulary ids of image codes.
///
/// # Errors
/// [`Data`](counterpoint::ErrorKind::Data) when there are not `num_vq_tokens` codes or one is out of the codebook.
pub fn image_ids(config: &ShowoConfig, codes: &[u32]) -> Result<Vec<u32>> {
    if codes.len() != config.num_vq_tokens {
        return Err(Error::data(format!(
            "expected {} image codes, got {}; check that the image has {2} x {2} pixels",
            config.num_vq_tokens,
            codes.len(),
            config.image_size()
        )));
    }
    codes
        .iter()
        .map(|&code| match (code as usize) < config.codebook_size {
            true => Ok(code + config.image_token_offset),
            false => Err(Error::data(format!("expected image codes below {}, got {code}", config.codebook_size))),
        })
        .collect()
}

/// An understanding prompt: the image and the question, ready for the answer to be appended.
///
/// # Errors
/// [`Data`](counterpoint::ErrorKind::Data) when `codes` is not one image, or the prompt leaves no position for an answer.
pub fn mmu_prompt(config: &ShowoConfig, codes: &[u32], question: &[u32]) -> Result<Vec<u32>> {
    let special = config.special_token_ids;
    let mut ids = vec![special.mmu, special.soi];
    ids.extend(image_ids(config, codes)?);
    ids.push(special.eoi);
    ids.extend(with_bos(config, question));
    if ids.len() >= config.phi.max_position_embeddings {
        return Err(Error::data(format!(
            "expected an understanding prompt of fewer than {} tokens (max_position_embeddings), got {}; shorten the \
             question",
            config.phi.max_position_embeddings,
            ids.len()
        )));
    }
    Ok(ids)
}

/// An understanding sequence with its answer and end of text, and the position of the answer's first token.
///
/// # Errors
/// As [`mmu_prompt`], and when the whole is longer than `max_position_embeddings`.
pub fn mmu_sequence(
    config: &ShowoConfig,
    codes: &[u32],
    question: &[u32],
    answer: &[u32],
) -> Result<(Vec<u32>, usize)> {
    let mut ids = mmu_prompt(config, codes, question)?;
    let start = ids.len();
    ids.extend_from_slice(answer);
    ids.push(config.eos_id);
    if ids.len() > config.phi.max_position_embeddings {
        return Err(Error::data(format!(
            "expected at most {} tokens (max_position_embeddings), got {} with the answer",
            config.phi.max_position_embeddings,
            ids.len()
        )));
    }
    Ok((ids, start))
}

/// Pads every sequence on the right to the longest. Only for understanding, where text does not see what follows it.
pub fn pad_right(config: &ShowoConfig, sequences: &mut [Vec<u32>]) {
    let length = sequences.iter().map(Vec::len).max().unwrap_or(0);
    for sequence in sequences {
        sequence.resize(length, config.special_token_ids.pad);
    }
}

/// `text` with exactly one begin-of-text token in front.
fn with_bos<'a>(config: &ShowoConfig, text: &'a [u32]) -> impl Iterator<Item = u32> + 'a {
    let bos = (text.first() != Some(&config.bos_id)).then_some(config.bos_id);
    bos.into_iter().chain(text.iter().copied())
}
