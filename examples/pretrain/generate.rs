//! Answers and images of the model being trained: greedy text, MaskGIT images with guidance.

use burn::tensor::activation::softmax;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use counterpoint::{Error, Result};
use counterpoint_showo::{Allowed, KvCache, Showo, ShowoConfig, prompting};

use crate::world::Rng;

/// Longest answer.
const ANSWER: usize = 12;

/// Token ids as a tensor.
pub fn ids(rows: &[Vec<u32>], device: &Device) -> Tensor<2, Int> {
    let flat: Vec<i32> = rows.iter().flatten().map(|&id| id as i32).collect();
    Tensor::from_data(TensorData::new(flat, [rows.len(), rows.first().map_or(0, Vec::len)]), device)
}

/// The most likely answers to understanding prompts, end of text excluded.
pub fn answers(model: &Showo, config: &ShowoConfig, prompts: &[Vec<u32>]) -> Result<Vec<Vec<u32>>> {
    let device = Device::flex();
    let lengths: Vec<usize> = prompts.iter().map(Vec::len).collect();
    let mut padded = prompts.to_vec();
    prompting::pad_right(config, &mut padded);
    let width = padded.first().map_or(0, Vec::len);
    let (hidden, cache) = model.prefill(ids(&padded, &device), Allowed::mmu(config, &padded)?.tensor(&device));
    let mut cache: KvCache = cache.with_next(lengths.clone());
    let last: Vec<i32> = lengths.iter().map(|&n| n as i32 - 1).collect();
    let size = hidden.dims()[2];
    let last = Tensor::<3, Int>::from_data(TensorData::new(last, [lengths.len(), 1, 1]), &device);
    let mut hidden = hidden.gather(1, last.expand([lengths.len(), 1, size]));
    let mut answers = vec![Vec::new(); prompts.len()];
    let mut open = vec![true; prompts.len()];
    for _ in 0..ANSWER {
        let best = model.logits(hidden).argmax(2).into_data();
        let best: Vec<u32> = best.iter::<i64>().map(|id| id as u32).collect();
        for (row, &id) in best.iter().enumerate() {
            open[row] &= id != config.eos_id;
            if open[row] {
                answers[row].push(id);
            }
        }
        if !open.contains(&true) {
            break;
        }
        let keys = cache.len() + 1;
        let seen: Vec<bool> = lengths.iter().flat_map(|&n| (0..keys).map(move |key| key < n || key >= width)).collect();
        let seen = Tensor::<3, Bool>::from_data(TensorData::new(seen, [lengths.len(), 1, keys]), &device);
        let step: Vec<Vec<u32>> = best.into_iter().map(|id| vec![id]).collect();
        hidden = model.forward_cached(ids(&step, &device), &mut cache, seen);
    }
    Ok(answers)
}

/// Image codes for prompts: `timesteps` of parallel decoding with classifier-free guidance, cosine schedule.
pub fn images(model: &Showo, config: &ShowoConfig, texts: &[Vec<u32>], rng: &mut Rng) -> Result<Vec<Vec<u32>>> {
    let device = Device::flex();
    let (split, length, count) = (config.t2i_prompt_length(), config.t2i_length(), config.num_vq_tokens);
    let blank = prompting::masked_image(config);
    let rows: Vec<Vec<u32>> =
        texts.iter().map(|text| prompting::t2i_sequence(config, text, &blank)).collect::<Vec<_>>();
    let empty = vec![prompting::t2i_sequence(config, &[], &blank); rows.len()];
    let both = [rows, empty].concat();
    let allowed = Allowed::t2i(config, &both)?;
    let heads: Vec<Vec<u32>> = both.iter().map(|row| row[..split].to_vec()).collect();
    let (_, prefix) = model.prefill(ids(&heads, &device), allowed.queries(0..split).keys_before(split).tensor(&device));
    let allowed = allowed.queries(split..length).tensor(&device);
    let mut standing: Vec<Vec<Option<u32>>> = vec![vec![None; count]; texts.len()];
    for step in 0..config.timesteps {
        let tails: Vec<Vec<u32>> = (0..2 * texts.len())
            .map(|row| {
                let image = standing[row % texts.len()]
                    .iter()
                    .map(|code| code.map_or(config.mask_token_id, |code| code + config.image_token_offset));
                let special = config.special_token_ids;
                std::iter::once(special.soi).chain(image).chain([special.eoi]).collect()
            })
            .collect();
        let hidden = model.forward_with_prefix(ids(&tails, &device), &prefix, allowed.clone());
        let logits = model.image_logits(hidden.narrow(1, 1, count));
        let (cond, uncond) = (logits.clone().narrow(0, 0, texts.len()), logits.narrow(0, texts.len(), texts.len()));
        let guided = cond.clone() + (cond - uncond) * config.guidance_scale;
        let probs = softmax(guided, 2).into_data().try_to_vec::<f32>().map_err(|e| Error::data(e.to_string()))?;
        let ratio = (step + 1) as f64 / config.timesteps as f64;
        let keep_masked = (count as f64 * (ratio * std::f64::consts::FRAC_PI_2).cos()).floor() as usize;
        for (row, standing) in standing.iter_mut().enumerate() {
            let probs = &probs[row * count * config.codebook_size..][..count * config.codebook_size];
            decide(standing, probs, config.codebook_size, keep_masked, 1.0 - ratio, rng);
        }
    }
    Ok(standing.into_iter().map(|row| row.into_iter().map(|code| code.unwrap_or(0)).collect()).collect())
}

/// Draws every undecided token and masks the `keep_masked` least confident of them again.
fn decide(
    standing: &mut [Option<u32>],
    probs: &[f32],
    codebook: usize,
    keep_masked: usize,
    temperature: f64,
    rng: &mut Rng,
) {
    let mut drawn: Vec<(f64, usize)> = Vec::new();
    for (at, code) in standing.iter_mut().enumerate().filter(|(_, code)| code.is_none()) {
        let row = &probs[at * codebook..(at + 1) * codebook];
        let mut left = rng.uniform() as f32 * row.iter().sum::<f32>();
        let chosen = row.iter().position(|p| {
            left -= p;
            left < 0.0
        });
        let chosen = chosen.unwrap_or(codebook - 1);
        *code = Some(chosen as u32);
        let gumbel = -(-(rng.uniform().max(1e-12)).ln()).ln();
        drawn.push((f64::from(row[chosen].max(1e-20)).ln() + temperature * gumbel, at));
    }
    drawn.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (_, at) in drawn.iter().take(keep_masked) {
        standing[*at] = None;
    }
}
