//! Prompts of images, as far as they do not change while the images are denoised.

use burn::tensor::{Bool, Int, Tensor};
use counterpoint::Result;

use crate::scorer::Scorer;
use crate::{Allowed, KvCache, prompting, tokens};

/// The prompts of a batch of images, conditional rows first, then as many unconditional ones if there is guidance.
pub struct ImagePrompts {
    scorer: Scorer,
    texts: Texts,
    /// `[rows, queries, keys]`.
    allowed: Tensor<3, Bool>,
    guidance: f32,
}

/// The text part of every row.
enum Texts {
    /// Its keys and values.
    Cached(KvCache),
    /// Its ids `[rows, P]`, which go through the model again with every image.
    Plain(Tensor<2, Int>),
}

impl ImagePrompts {
    /// Prompts for `contexts`, one image each. Equal contexts are computed once; those of the empty prompt are `empty`,
    /// if the caller has them.
    pub(crate) fn cached(scorer: Scorer, contexts: &[&[u32]], guidance: f32, empty: Option<KvCache>) -> Result<Self> {
        let config = &scorer.config;
        let mut distinct: Vec<&[u32]> = Vec::new();
        let mut order: Vec<usize> = Vec::with_capacity(2 * contexts.len());
        for context in contexts {
            let known = distinct.iter().position(|d| d == context);
            order.push(known.unwrap_or(distinct.len()));
            if known.is_none() {
                distinct.push(context);
            }
        }
        if guidance > 0.0 {
            order.extend(vec![distinct.len(); contexts.len()]);
            distinct.push(&[]);
        }
        let blank = prompting::masked_image(config);
        let rows: Vec<Vec<u32>> = distinct.iter().map(|text| prompting::t2i_sequence(config, text, &blank)).collect();
        let (split, length) = (config.t2i_prompt_length(), config.t2i_length());
        let allowed = Allowed::t2i(config, &rows)?;
        let known = if guidance > 0.0 { empty } else { None };
        let computed = rows.len() - usize::from(known.is_some());
        let texts: Vec<Vec<u32>> = rows[..computed].iter().map(|row| row[..split].to_vec()).collect();
        let among_texts = allowed.queries(0..split).keys_before(split).select(&(0..computed).collect::<Vec<_>>());
        let (_, mut cache) =
            scorer.model.prefill(tokens::to_tensor(&texts, &scorer.device), among_texts.tensor(&scorer.device));
        if let Some(empty) = known {
            cache = KvCache::stack(&[cache, empty]);
        }
        let allowed = allowed.queries(split..length).select(&order).tensor(&scorer.device);
        Ok(Self { texts: Texts::Cached(cache.select(&order)), scorer, allowed, guidance })
    }

    /// The same, computed in full with every image.
    pub(crate) fn plain(scorer: Scorer, contexts: &[&[u32]], guidance: f32) -> Result<Self> {
        let config = &scorer.config;
        let blank = prompting::masked_image(config);
        let empty: &[u32] = &[];
        let unconditional = if guidance > 0.0 { vec![empty; contexts.len()] } else { Vec::new() };
        let rows: Vec<Vec<u32>> =
            contexts.iter().chain(&unconditional).map(|text| prompting::t2i_sequence(config, text, &blank)).collect();
        let allowed = Allowed::t2i(config, &rows)?.tensor(&scorer.device);
        let split = config.t2i_prompt_length();
        let texts: Vec<Vec<u32>> = rows.iter().map(|row| row[..split].to_vec()).collect();
        Ok(Self { texts: Texts::Plain(tokens::to_tensor(&texts, &scorer.device)), scorer, allowed, guidance })
    }

    /// The keys and values of the empty prompt, one row.
    pub(crate) fn empty(scorer: &Scorer) -> Result<KvCache> {
        let config = &scorer.config;
        let row = prompting::t2i_sequence(config, &[], &prompting::masked_image(config));
        let split = config.t2i_prompt_length();
        let allowed = Allowed::t2i(config, std::slice::from_ref(&row))?.queries(0..split).keys_before(split);
        let text = [row[..split].to_vec()];
        let (_, cache) = scorer.model.prefill(tokens::to_tensor(&text, &scorer.device), allowed.tensor(&scorer.device));
        Ok(cache)
    }

    /// Prompts of the images `picked`, each the batch and the image's number in it. All batches are of one policy with
    /// one set of parameters and one guidance.
    pub(crate) fn gather(batches: &[&Self], picked: &[(usize, usize)]) -> Self {
        let images: Vec<usize> = batches.iter().map(|batch| batch.images()).collect();
        // Row of each image when all batches are stacked, conditional and unconditional.
        let start = |batch: usize| batches[..batch].iter().map(|b| b.allowed.dims()[0]).sum::<usize>();
        let conditional = picked.iter().map(|&(batch, image)| start(batch) + image);
        let unconditional = picked.iter().map(|&(batch, image)| start(batch) + images[batch] + image);
        let guided = batches.iter().any(|batch| batch.guidance > 0.0);
        let rows: Vec<usize> = match guided {
            true => conditional.chain(unconditional).collect(),
            false => conditional.collect(),
        };
        let index = tokens::index(&rows, &batches[0].scorer.device);
        // Through integers: burn's CPU backend loses the type of a selection of flags.
        let allowed = Tensor::cat(batches.iter().map(|b| b.allowed.clone().int()).collect(), 0);
        let allowed = allowed.select(0, index.clone()).not_equal_scalar(0);
        let texts = match &batches[0].texts {
            Texts::Cached(_) => Texts::Cached(
                KvCache::stack(&batches.iter().filter_map(|b| b.cache()).cloned().collect::<Vec<_>>()).select(&rows),
            ),
            Texts::Plain(_) => {
                Texts::Plain(Tensor::cat(batches.iter().filter_map(|b| b.ids()).cloned().collect(), 0).select(0, index))
            }
        };
        Self { scorer: batches[0].scorer.clone(), texts, allowed, guidance: batches[0].guidance }
    }

    /// Guided scores of all codes at all image positions.
    ///
    /// # Shapes
    /// `codes` `[images, N]`, in `0..=K` with K for a masked token; output `[images, N, K]`, f32.
    pub(crate) fn logits(&self, codes: Tensor<2, Int>) -> Tensor<3> {
        let config = &self.scorer.config;
        let special = config.special_token_ids;
        let batch = codes.dims()[0];
        // Code c is id offset + c; the mask stands after the last code in both numberings.
        let masked = codes.clone().equal_scalar(config.codebook_size as i64);
        let ids = (codes + i64::from(config.image_token_offset)).mask_fill(masked, i64::from(config.mask_token_id));
        let column = |id: u32| Tensor::<2, Int>::full([batch, 1], i64::from(id), &self.scorer.device);
        let mut ids = Tensor::cat(vec![column(special.soi), ids, column(special.eoi)], 1);
        if self.guidance > 0.0 {
            ids = ids.repeat_dim(0, 2);
        }
        let allowed = self.allowed.clone();
        let logits = match &self.texts {
            Texts::Cached(prefix) => {
                let hidden = self.scorer.model.forward_with_prefix(ids, prefix, allowed);
                self.scorer.image_logits(hidden, 1)
            }
            Texts::Plain(texts) => {
                let hidden = self.scorer.model.forward(Tensor::cat(vec![texts.clone(), ids], 1), allowed);
                self.scorer.image_logits(hidden, config.t2i_image_span().start)
            }
        };
        guide(logits, self.guidance)
    }

    fn images(&self) -> usize {
        self.allowed.dims()[0] / if self.guidance > 0.0 { 2 } else { 1 }
    }

    fn cache(&self) -> Option<&KvCache> {
        match &self.texts {
            Texts::Cached(cache) => Some(cache),
            Texts::Plain(_) => None,
        }
    }

    fn ids(&self) -> Option<&Tensor<2, Int>> {
        match &self.texts {
            Texts::Cached(_) => None,
            Texts::Plain(ids) => Some(ids),
        }
    }
}

/// `(1 + g) conditional - g unconditional`, the first half of the batch being conditional; as it is when g is 0.
fn guide(logits: Tensor<3>, guidance: f32) -> Tensor<3> {
    if guidance == 0.0 {
        return logits;
    }
    let half = logits.dims()[0] / 2;
    let (conditional, unconditional) = (logits.clone().narrow(0, 0, half), logits.narrow(0, half, half));
    conditional * (1.0 + guidance) - unconditional * guidance
}
