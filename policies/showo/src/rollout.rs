//! Show-o as the samplers see it: text continuation and masked image prediction on the current parameters.

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use counterpoint::{Result, Task};
use counterpoint_samplers::{ImageModel, TextModel, UnifiedModel};
use image::RgbImage;

use crate::policy::{ShowoPolicy, guide};
use crate::{Allowed, KvCache, Showo, picture, prompting, tokens};

/// A group's sequences while text is being written.
pub struct TextCache {
    model: Showo,
    cache: KvCache,
}

/// Prompts of a batch whose keys and values are kept over all denoising steps: text never sees the image.
pub struct ImagePrompts {
    model: Showo,
    prefix: KvCache,
    allowed: Tensor<3, Bool>,
    guidance: f32,
}

impl TextModel for ShowoPolicy {
    type Cache = TextCache;

    fn prefill(&self, context: &[u32], copies: usize) -> Result<(TextCache, Tensor<2>)> {
        let device = ShowoPolicy::device(self);
        let model = self.frozen();
        let rows = [context.to_vec()];
        let allowed = Allowed::mmu(self.config(), &rows)?.tensor(device);
        let (hidden, cache) = model.prefill(tokens::to_tensor(&rows, device), allowed);
        let length = context.len();
        let logits = model.logits(hidden.narrow(1, length - 1, 1)).squeeze_dim::<2>(1);
        let cache = cache.select(&vec![0; copies]);
        Ok((TextCache { model, cache }, logits.repeat_dim(0, copies)))
    }

    fn advance(&self, text: &mut TextCache, tokens: Tensor<2, Int>) -> Tensor<2> {
        let keys = text.cache.len() + 1;
        let allowed =
            Tensor::<3, Bool>::from_data(TensorData::new(vec![true; keys], [1, 1, keys]), ShowoPolicy::device(self));
        let hidden = text.model.forward_cached(tokens, &mut text.cache, allowed);
        text.model.logits(hidden).squeeze_dim::<2>(1)
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
        let (config, device) = (self.config(), ShowoPolicy::device(self));
        let model = self.frozen();
        let blank = prompting::masked_image(config);
        let mut rows: Vec<Vec<u32>> =
            prompts.iter().map(|prompt| prompting::t2i_sequence(config, prompt, &blank)).collect();
        // The unconditional prompt is the same for all: it is read once and its keys are copied.
        let mut order: Vec<usize> = (0..prompts.len()).collect();
        if guidance > 0.0 {
            order.extend(vec![prompts.len(); prompts.len()]);
            rows.push(prompting::t2i_sequence(config, &[], &blank));
        }
        let length = config.t2i_prompt_length();
        let all = Allowed::t2i(config, &rows)?;
        let texts: Vec<Vec<u32>> = rows.iter().map(|row| row[..length].to_vec()).collect();
        let text_allowed = all.queries(0..length).keys_before(length).tensor(device);
        let (_, prefix) = model.prefill(tokens::to_tensor(&texts, device), text_allowed);
        let allowed = all.queries(length..config.t2i_length()).select(&order).tensor(device);
        Ok(ImagePrompts { model, prefix: prefix.select(&order), allowed, guidance })
    }

    fn image_logits(&self, prompts: &ImagePrompts, codes: Tensor<2, Int>) -> Tensor<3> {
        let config = self.config();
        let special = config.special_token_ids;
        let [batch, tokens] = codes.dims();
        // Code c is id offset + c; the mask stands after the last code in both numberings.
        let masked = codes.clone().equal_scalar(config.codebook_size as i64);
        let ids = (codes + i64::from(config.image_token_offset)).mask_fill(masked, i64::from(config.mask_token_id));
        let column = |id: u32| Tensor::<2, Int>::full([batch, 1], i64::from(id), ShowoPolicy::device(self));
        let mut ids = Tensor::cat(vec![column(special.soi), ids, column(special.eoi)], 1);
        if prompts.guidance > 0.0 {
            ids = ids.repeat_dim(0, 2);
        }
        let hidden = prompts.model.forward_with_prefix(ids, &prompts.prefix, prompts.allowed.clone());
        guide(prompts.model.image_logits(hidden.narrow(1, 1, tokens)), prompts.guidance)
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
        self.text_tokenizer()?.encode(prompt)
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
    /// Image codes of sRGB images of the model's size.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when an image has another size.
    pub fn encode_images(&self, images: &[RgbImage]) -> Result<Vec<Vec<u32>>> {
        let pixels = picture::pixels(images, self.config().image_size(), ShowoPolicy::device(self))?;
        tokens::to_rows(self.image_tokenizer().encode(pixels)?)
    }
}
