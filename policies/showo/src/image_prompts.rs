//! Prompts of images, as far as they do not change while the images are denoised.

use burn::tensor::{Bool, Int, Tensor};
use counterpoint::Result;
use counterpoint_policy_common::replay::distinct;
use counterpoint_samplers::ImageScores;
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::scorer::Scorer;
use crate::{Allowed, KvCache, prompting, tokens};

/// The prompts of a batch of images: conditional rows first, then as many unconditional ones if there is guidance.
pub struct ImagePrompts {
    scorer: Scorer,
    guidance: f32,
    /// Consecutive rows, computed side by side. More than one part on the CPU, where many operations use one core.
    parts: Vec<Part>,
    /// While every token is masked, rows with equal prompts are equal.
    distinct: Option<Distinct>,
}

/// The prompts without repetition.
struct Distinct {
    cache: KvCache,
    allowed: Allowed,
    /// Which of them each row has.
    order: Vec<usize>,
}

/// The prompts of some rows.
struct Part {
    texts: Texts,
    /// `[rows, queries, keys]`.
    allowed: Tensor<3, Bool>,
}

/// The text part of every row.
#[allow(clippy::large_enum_variant)] // There are a few of them.
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
        let (mut distinct, mut order) = distinct(contexts.iter().copied());
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
        let mut cache = prefill(&scorer, &rows[..computed])?;
        if let Some(empty) = known {
            cache = KvCache::stack(&[cache, empty]);
        }
        let allowed = allowed.queries(split..length);
        let whole = Part::cached(cache.select(&order), &allowed.select(&order), &scorer);
        let distinct = (scorer.fast.shared_first_step && distinct.len() < order.len()).then_some(Distinct {
            cache,
            allowed,
            order,
        });
        Ok(Self { distinct, ..Self::split(scorer.clone(), guidance, whole) })
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
        let texts = Texts::Plain(tokens::to_tensor(&texts, &scorer.device));
        Ok(Self::split(scorer, guidance, Part { texts, allowed }))
    }

    /// The keys and values of the empty prompt, one row.
    pub(crate) fn empty(scorer: &Scorer) -> Result<KvCache> {
        let row = prompting::t2i_sequence(&scorer.config, &[], &prompting::masked_image(&scorer.config));
        prefill(scorer, &[row])
    }

    /// Prompts of the images `picked`, each the batch and the image's number in it. All batches are of one policy with
    /// one set of parameters and one guidance.
    pub(crate) fn gather(batches: &[&Self], picked: &[(usize, usize)]) -> Self {
        let ImagePrompts { scorer, guidance, .. } = batches[0];
        let parts: Vec<&Part> = batches.iter().flat_map(|batch| &batch.parts).collect();
        let rows: Vec<usize> = batches.iter().map(|batch| batch.parts.iter().map(Part::rows).sum()).collect();
        let start = |batch: usize| rows[..batch].iter().sum::<usize>();
        let conditional = picked.iter().map(|&(batch, image)| start(batch) + image);
        let unconditional = picked.iter().map(|&(batch, image)| start(batch) + rows[batch] / 2 + image);
        let rows: Vec<usize> = match *guidance > 0.0 {
            true => conditional.chain(unconditional).collect(),
            false => conditional.collect(),
        };
        Self::split(scorer.clone(), *guidance, Part::pick(&parts, &rows, scorer))
    }

    /// As many parts as are best computed side by side.
    fn split(scorer: Scorer, guidance: f32, whole: Part) -> Self {
        let rows: Vec<usize> = (0..whole.rows()).collect();
        let count = scorer.side_by_side(rows.len());
        let parts = match count {
            0 | 1 => vec![whole],
            _ => rows.chunks(rows.len().div_ceil(count)).map(|rows| Part::pick(&[&whole], rows, &scorer)).collect(),
        };
        Self { scorer, guidance, parts, distinct: None }
    }

    /// Scores of all codes at all image positions.
    ///
    /// # Shapes
    /// `codes` `[images, N]`, in `0..=K` with K for a masked token; output `[images, N, K]`, f32.
    pub(crate) fn scores(&self, codes: Tensor<2, Int>) -> ImageScores {
        let ids = self.ids(codes);
        let logits = match self.parts.as_slice() {
            [part] => part.logits(&self.scorer, ids),
            parts => {
                let mut start = 0;
                let mut work = Vec::with_capacity(parts.len());
                for part in parts {
                    work.push((part, ids.clone().narrow(0, start, part.rows())));
                    start += part.rows();
                }
                let logits = work.into_par_iter().map(|(part, ids)| part.logits(&self.scorer, ids));
                Tensor::cat(logits.collect(), 0)
            }
        };
        guide(logits, self.guidance)
    }

    /// The same while every code is K.
    ///
    /// # Shapes
    /// As [`scores`](Self::scores).
    pub(crate) fn first_scores(&self, codes: Tensor<2, Int>) -> ImageScores {
        let Some(Distinct { cache, allowed, order }) = &self.distinct else { return self.scores(codes) };
        let prompts = Part::cached(cache.clone(), allowed, &self.scorer);
        let ids = self.ids(codes).narrow(0, 0, 1).repeat_dim(0, prompts.rows());
        let logits = prompts.logits(&self.scorer, ids);
        guide(logits.select(0, tokens::index(order, &self.scorer.device)), self.guidance)
    }

    /// The ids of every row from soi on.
    fn ids(&self, codes: Tensor<2, Int>) -> Tensor<2, Int> {
        let config = &self.scorer.config;
        let special = config.special_token_ids;
        let batch = codes.dims()[0];
        // Code c is id offset + c; the mask stands after the last code in both numberings.
        let masked = codes.clone().equal_scalar(config.codebook_size as i64);
        let ids = (codes + i64::from(config.image_token_offset)).mask_fill(masked, i64::from(config.mask_token_id));
        let column = |id: u32| Tensor::<2, Int>::full([batch, 1], i64::from(id), &self.scorer.device);
        let ids = Tensor::cat(vec![column(special.soi), ids, column(special.eoi)], 1);
        if self.guidance > 0.0 { ids.repeat_dim(0, 2) } else { ids }
    }
}

impl Part {
    fn cached(cache: KvCache, allowed: &Allowed, scorer: &Scorer) -> Self {
        Self { texts: Texts::Cached(cache), allowed: allowed.tensor(&scorer.device) }
    }

    fn rows(&self) -> usize {
        self.allowed.dims()[0]
    }

    /// The rows `picked` of all `parts`, counted through.
    fn pick(parts: &[&Self], picked: &[usize], scorer: &Scorer) -> Self {
        let owner = |mut row: usize| {
            let part = parts
                .iter()
                .take_while(|part| {
                    row >= part.rows() && {
                        row -= part.rows();
                        true
                    }
                })
                .count();
            (part, row)
        };
        let places: Vec<(usize, usize)> = picked.iter().map(|&row| owner(row)).collect();
        let (mut allowed, mut caches, mut ids) = (Vec::new(), Vec::new(), Vec::new());
        // What is wanted of one part at a time, so that no more than that is copied.
        for run in places.chunk_by(|a, b| a.0 == b.0) {
            let part = parts[run[0].0];
            let rows: Vec<usize> = run.iter().map(|&(_, row)| row).collect();
            let index = tokens::index(&rows, &scorer.device);
            // Through integers: burn's CPU backend loses the type of a selection of flags.
            allowed.push(part.allowed.clone().int().select(0, index.clone()));
            match &part.texts {
                Texts::Cached(cache) => caches.push(cache.select(&rows)),
                Texts::Plain(texts) => ids.push(texts.clone().select(0, index)),
            }
        }
        let texts = match ids.is_empty() {
            true => Texts::Cached(KvCache::stack(&caches)),
            false => Texts::Plain(Tensor::cat(ids, 0)),
        };
        Self { texts, allowed: Tensor::cat(allowed, 0).not_equal_scalar(0) }
    }

    /// Scores of all codes at all image positions, not guided.
    fn logits(&self, scorer: &Scorer, ids: Tensor<2, Int>) -> Tensor<3> {
        let allowed = self.allowed.clone();
        match &self.texts {
            Texts::Cached(prefix) => scorer.image_logits(scorer.model.forward_with_prefix(ids, prefix, allowed), 1),
            Texts::Plain(texts) => {
                let hidden = scorer.model.forward(Tensor::cat(vec![texts.clone(), ids], 1), allowed);
                scorer.image_logits(hidden, scorer.config.t2i_image_span().start)
            }
        }
    }
}

/// Keys and values of the text part of text-to-image sequences.
fn prefill(scorer: &Scorer, rows: &[Vec<u32>]) -> Result<KvCache> {
    let split = scorer.config.t2i_prompt_length();
    let allowed = Allowed::t2i(&scorer.config, rows)?.queries(0..split).keys_before(split);
    let texts: Vec<Vec<u32>> = rows.iter().map(|row| row[..split].to_vec()).collect();
    let (_, cache) = scorer.model.prefill(tokens::to_tensor(&texts, &scorer.device), allowed.tensor(&scorer.device));
    Ok(cache)
}

/// `(1 + g) conditional - g unconditional`, the first half of the batch being conditional; as it is when g is 0.
fn guide(logits: Tensor<3>, guidance: f32) -> ImageScores {
    if guidance == 0.0 {
        return logits.into();
    }
    let half = logits.dims()[0] / 2;
    let (conditional, unconditional) = (logits.clone().narrow(0, 0, half), logits.narrow(0, half, half));
    ImageScores { guided: conditional.clone() * (1.0 + guidance) - unconditional * guidance, conditional }
}
