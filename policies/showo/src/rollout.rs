//! Show-o as the samplers see it: text continuation and masked image prediction on the current parameters.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use counterpoint::{Result, Task};
use counterpoint_samplers::{ImageModel, ImageScores, TextModel, UnifiedModel};
use image::RgbImage;

use crate::image_prompts::ImagePrompts;
use crate::policy::ShowoPolicy;
use crate::scorer::Scorer;
use crate::{Allowed, KvCache, picture, prompting, tokens};

/// A group's sequences while text is being written.
pub struct TextCache {
    scorer: Scorer,
    past: Past,
}

/// What was read and written so far.
#[allow(clippy::large_enum_variant)] // There is one of them.
enum Past {
    /// Its keys and values.
    Cached(KvCache),
    /// Its ids `[B, L]`, which go through the model again with every token.
    Plain(Tensor<2, Int>),
}

impl TextModel for ShowoPolicy {
    type Cache = TextCache;

    fn prefill(&self, context: &[u32], copies: usize) -> Result<(TextCache, Tensor<2>)> {
        let scorer = self.detached();
        let rows = [context.to_vec()];
        let allowed = Allowed::mmu(&scorer.config, &rows)?.tensor(&scorer.device);
        let ids = tokens::to_tensor(&rows, &scorer.device);
        let (hidden, cache) = scorer.model.prefill(ids.clone(), allowed);
        let logits = scorer.next_logits(hidden).repeat_dim(0, copies);
        let past = match scorer.fast.text_cache {
            true => Past::Cached(cache.select(&vec![0; copies])),
            false => Past::Plain(ids.repeat_dim(0, copies)),
        };
        Ok((TextCache { scorer, past }, logits))
    }

    fn advance(&self, text: &mut TextCache, tokens: Tensor<2, Int>) -> Tensor<2> {
        let TextCache { scorer, past } = text;
        let hidden = match past {
            Past::Cached(cache) => {
                let keys = cache.len() + 1;
                let open = TensorData::new(vec![true; keys], [1, 1, keys]);
                let open = Tensor::<3, Bool>::from_data(open, &scorer.device);
                scorer.model.forward_cached(tokens, cache, open)
            }
            Past::Plain(ids) => {
                *ids = Tensor::cat(vec![ids.clone(), tokens], 1);
                // What was allowed up to the image's end holds for every row, whatever its text.
                let length = ids.dims()[1];
                let allowed = Allowed::text_after_image(&scorer.config, length).tensor(&scorer.device);
                scorer.model.forward(ids.clone(), allowed)
            }
        };
        scorer.next_logits(hidden)
    }

    fn keep(&self, text: &mut TextCache, rows: &[usize]) {
        match &mut text.past {
            Past::Cached(cache) => *cache = cache.select(rows),
            Past::Plain(ids) => *ids = ids.clone().select(0, tokens::index(rows, &text.scorer.device)),
        }
    }

    fn text_device(&self) -> Device {
        ShowoPolicy::device(self).clone()
    }

    fn stop_tokens(&self) -> &[u32] {
        std::slice::from_ref(&self.config().eos_id)
    }
}

impl ImageModel for ShowoPolicy {
    type Prompts = ImagePrompts;

    fn image_tokens(&self) -> usize {
        self.config().num_vq_tokens
    }

    fn codebook_size(&self) -> usize {
        self.config().codebook_size
    }

    fn device(&self) -> Device {
        ShowoPolicy::device(self).clone()
    }

    fn prepare(&self, prompts: &[&[u32]], guidance: f32) -> Result<ImagePrompts> {
        let scorer = self.detached();
        match scorer.fast.prefix_cache {
            true => ImagePrompts::cached(scorer, prompts, guidance, Some(self.empty_prompt()?)),
            false => ImagePrompts::plain(scorer, prompts, guidance),
        }
    }

    fn gather(&self, batches: &[&ImagePrompts], picked: &[(usize, usize)]) -> Option<ImagePrompts> {
        self.fast().continued_drafts.then(|| ImagePrompts::gather(batches, picked))
    }

    fn first_scores(&self, prompts: &ImagePrompts, codes: Tensor<2, Int>) -> ImageScores {
        prompts.first_scores(codes)
    }

    fn image_scores(&self, prompts: &ImagePrompts, codes: Tensor<2, Int>) -> ImageScores {
        prompts.scores(codes)
    }
}

impl UnifiedModel for ShowoPolicy {
    fn question(&self, task: &Task) -> Result<Vec<u32>> {
        let codes = match &task.image {
            Some(image) => self.encode_images(std::slice::from_ref(image.as_ref()))?.remove(0),
            None => self.blank()?.to_vec(),
        };
        let question = self.text_tokenizer()?.encode_question(&task.question)?;
        prompting::mmu_prompt(self.config(), &codes, &question)
    }

    fn generation_prompt(&self, prompt: &str) -> Result<Vec<u32>> {
        self.text_tokenizer()?.encode_prompt(prompt)
    }

    fn cut(&self, prompt: &[u32]) -> usize {
        prompting::cut_t2i(self.config(), prompt)
    }

    fn text(&self, ids: &[u32]) -> Result<String> {
        self.text_tokenizer()?.decode(ids)
    }

    fn images(&self, codes: &[&[u32]]) -> Result<Vec<RgbImage>> {
        let rows: Vec<Vec<u32>> = codes.iter().map(|row| row.to_vec()).collect();
        picture::images(self.image_tokenizer().decode(tokens::to_tensor(&rows, ShowoPolicy::device(self)))?)
    }
}

impl ShowoPolicy {
    /// Image codes of sRGB images of any size: short side resized, middle cut out, as the originals do ([`picture::codes`]).
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when an image has no pixels.
    pub fn encode_images(&self, images: &[RgbImage]) -> Result<Vec<Vec<u32>>> {
        picture::codes(self.image_tokenizer(), images, self.config().image_size(), ShowoPolicy::device(self))
    }
}
