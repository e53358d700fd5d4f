//! What somebody else wrote or painted, as decisions of the policy: what it learns from by their likelihood.

use counterpoint::{Result, Segment, SegmentKind, Task};
use counterpoint_pictures::fit;
use counterpoint_policy_common::picture::pixels;
use counterpoint_samplers::UnifiedModel;
use image::RgbImage;

use crate::JanusPolicy;

impl JanusPolicy {
    /// `answer` to the task's question, about its image where it has one, and the end of text after it.
    ///
    /// # Errors
    /// [`Contract`](counterpoint::ErrorKind::Contract) without a text tokenizer, [`Data`](counterpoint::ErrorKind::Data) for a text that it refuses
    /// or an image without pixels.
    pub fn answered(&self, task: &Task, answer: &str) -> Result<Segment> {
        let chosen = self.text_tokenizer()?.answer(answer)?;
        let unscored = vec![0.0; chosen.len()];
        Ok(Segment::text(self.question(task)?, chosen, unscored))
    }

    /// An image for each prompt, as the codes of its tokenizer; the middle of images that are no squares, of any size.
    ///
    /// # Errors
    /// As [`answered`](Self::answered).
    pub fn painted(&self, prompts: &[String], images: &[&RgbImage]) -> Result<Vec<Segment>> {
        let vq = &self.config().vq_config;
        let side = vq.num_patches * vq.downsampling();
        let squares: Vec<RgbImage> = images.iter().map(|image| fit(image, side as u32)).collect();
        let codes = self.image_tokenizer().encode(pixels(&squares, side, self.own_device())?)?;
        let codes: Vec<u32> = codes.into_data().iter::<i64>().map(|code| code as u32).collect();
        let segment = |(prompt, codes): (&String, &[u32])| {
            let unscored = vec![0.0; codes.len()];
            let written = Segment::text(self.generation_prompt(prompt)?, codes.to_vec(), unscored);
            Ok(written.with_kind(SegmentKind::Generation))
        };
        prompts.iter().zip(codes.chunks(self.config().image_tokens())).map(segment).collect()
    }
}
