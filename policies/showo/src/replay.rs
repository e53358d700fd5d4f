//! Recorded decisions scored again.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use counterpoint::{Error, LogProbs, Replay, Result};
use counterpoint_policy_common::replay::{common, score};

use crate::image_prompts::ImagePrompts;
use crate::scorer::Scorer;
use crate::{Allowed, KvCache, prompting, tokens};

/// Reasoning: logits only where an answer token is predicted.
pub(crate) fn text_log_probs(scorer: &Scorer, chunk: &[Replay<'_>]) -> Result<LogProbs> {
    let temperature = common(chunk, "temperature", |s| s.temperature)?;
    scorer.answer_ids.check(&scorer.config, chunk)?;
    let longest = longest(chunk);
    let logits = match scorer.fast.shared_prefix {
        true => shared_text_logits(scorer, chunk, longest),
        false => plain_text_logits(scorer, chunk, longest),
    }?;
    Ok(score(logits / temperature, chunk))
}

/// One pass over each context of the chunk, then one over its answers.
fn shared_text_logits(scorer: &Scorer, chunk: &[Replay<'_>], longest: usize) -> Result<Tensor<3>> {
    let mut contexts: Vec<&[u32]> = Vec::new();
    for replay in chunk {
        let context = &replay.segment().context[..];
        if context.is_empty() {
            return Err(Error::contract("expected a context of one token or more before an answer, got none"));
        }
        if !contexts.contains(&context) {
            contexts.push(context);
        }
    }
    let mut parts = Vec::with_capacity(contexts.len());
    let mut order = Vec::with_capacity(chunk.len());
    for context in contexts {
        let members: Vec<usize> = (0..chunk.len()).filter(|&i| chunk[i].segment().context == context).collect();
        let (last, before) = (context[context.len() - 1], &context[..context.len() - 1]);
        let mut rows: Vec<Vec<u32>> =
            members.iter().map(|&i| [&[last], &chunk[i].segment().chosen[..chunk[i].steps.end - 1]].concat()).collect();
        prompting::pad_right(&scorer.config, &mut rows);
        let prefix = [before.to_vec()];
        let allowed = Allowed::mmu(&scorer.config, &prefix)?.tensor(&scorer.device);
        let (_, cache) = scorer.model.prefill(tokens::to_tensor(&prefix, &scorer.device), allowed);
        let hidden = scorer.model.forward_with_prefix(
            tokens::to_tensor(&rows, &scorer.device),
            &cache.select(&vec![0; rows.len()]),
            causal_after(&cache, rows[0].len(), &scorer.device),
        );
        // Token j of the answer is predicted at position j of the row.
        parts.push(predictions(scorer, hidden, members.iter().map(|&i| (&chunk[i], 0)), longest));
        order.extend(members);
    }
    let logits = Tensor::cat(parts, 0);
    if order.is_sorted() {
        return Ok(logits);
    }
    let mut place = vec![0; order.len()];
    order.iter().enumerate().for_each(|(at, &i)| place[i] = at);
    Ok(logits.select(0, tokens::index(&place, &scorer.device)))
}

/// Every context with its answer, in one batch.
fn plain_text_logits(scorer: &Scorer, chunk: &[Replay<'_>], longest: usize) -> Result<Tensor<3>> {
    let mut rows: Vec<Vec<u32>> =
        chunk.iter().map(|r| [&r.segment().context[..], &r.segment().chosen[..r.steps.end - 1]].concat()).collect();
    prompting::pad_right(&scorer.config, &mut rows);
    let allowed = Allowed::mmu(&scorer.config, &rows)?.tensor(&scorer.device);
    let hidden = scorer.model.forward(tokens::to_tensor(&rows, &scorer.device), allowed);
    // Token j of the answer is predicted at the position before it.
    let starts = chunk.iter().map(|r| (r, r.segment().context.len() - 1));
    Ok(predictions(scorer, hidden, starts, longest))
}

/// Logits `[B, longest, ids]` at the positions that predict the decisions of each replay, the first of its segment's
/// being predicted at the position that comes with it.
fn predictions<'a>(
    scorer: &Scorer,
    hidden: Tensor<3>,
    rows: impl ExactSizeIterator<Item = (&'a Replay<'a>, usize)>,
    longest: usize,
) -> Tensor<3> {
    let batch = rows.len();
    let positions: Vec<i32> = rows
        .flat_map(|(replay, start)| {
            let first = start + replay.steps.start;
            let last = first + replay.steps.len() - 1;
            (0..longest).map(move |j| (first + j).min(last) as i32)
        })
        .collect();
    let positions = Tensor::<2, Int>::from_data(TensorData::new(positions, [batch, longest]), &scorer.device);
    let at = |states: Tensor<3>| {
        let width = states.dims()[2];
        states.gather(1, positions.clone().unsqueeze_dim::<3>(2).expand([batch, longest, width]))
    };
    match scorer.fast.sliced_head {
        true => scorer.answer_logits(at(hidden)),
        false => at(scorer.answer_logits(hidden)),
    }
}

/// `[1, length, P + length]`: all of the prefix, and causally what follows it.
fn causal_after(prefix: &KvCache, length: usize, device: &Device) -> Tensor<3, Bool> {
    let keys = prefix.len() + length;
    let flags = (0..length).flat_map(|query| (0..keys).map(move |key| key <= keys - length + query)).collect();
    Tensor::from_data(TensorData::new::<bool, _>(flags, [1, length, keys]), device)
}

/// Denoising: each replay is one step; conditional and unconditional rows in one batch, guided as when sampling.
pub(crate) fn image_log_probs(scorer: &Scorer, chunk: &[Replay<'_>]) -> Result<LogProbs> {
    let guidance = common(chunk, "guidance", |s| s.guidance)?;
    let temperature = common(chunk, "temperature", |s| s.temperature)?;
    let (tokens, mask) = (scorer.config.num_vq_tokens, scorer.config.codebook_size as u32);
    let mut codes = Vec::with_capacity(chunk.len());
    for replay in chunk {
        let (segment, range) = (replay.segment(), replay.decisions());
        if range.len() != tokens {
            return Err(Error::contract(format!(
                "expected one denoising step of {tokens} image tokens per replay, got {} decisions",
                range.len()
            )));
        }
        codes.push(range.map(|i| if segment.undecided[i] { mask } else { segment.chosen[i] }).collect());
    }
    let contexts: Vec<&[u32]> = chunk.iter().map(|r| &r.segment().context[..]).collect();
    let prompts = match scorer.fast.shared_prefix {
        true => ImagePrompts::cached(scorer.clone(), &contexts, guidance, None),
        false => ImagePrompts::plain(scorer.clone(), &contexts, guidance),
    }?;
    let logits = prompts.scores(tokens::to_tensor(&codes, &scorer.device)).guided;
    let logits = if temperature == 1.0 { logits } else { logits / temperature };
    Ok(score(logits, chunk))
}

fn longest(chunk: &[Replay<'_>]) -> usize {
    chunk.iter().map(|r| r.decisions().len()).max().unwrap_or(0)
}
