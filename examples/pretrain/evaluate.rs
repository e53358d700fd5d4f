//! How well the model does on what it was not trained on.

use burn::tensor::{Device, Int, Tensor, TensorData};
use counterpoint::Result;
use counterpoint_showo::{MagvitV2, Showo, ShowoConfig, TextTokenizer, prompting};
use counterpoint_unifybench::language;
use image::RgbImage;

use crate::world::{Rng, World, pixels};
use crate::{generate, questions, world};

/// Shares, each in [0, 1].
pub struct Scores {
    /// Exact answers to textual questions over the held-out facts' lists.
    pub textual: f64,
    /// Exact answers to questions about images of held-out scenes.
    pub visual: f64,
    /// Attributes of images made from the true compound prompt: place, accessory, colour, concept, all of them.
    pub image: [f64; 5],
}

/// What is needed to look at a model's work.
pub struct Judge<'a> {
    pub world: &'a World,
    pub config: &'a ShowoConfig,
    pub text: &'a TextTokenizer,
    pub tokenizer: &'a MagvitV2,
}

impl Judge<'_> {
    /// Scores over the 24 held-out scenes, each `rounds` times with other wordings and jitter.
    pub fn scores(&self, model: &Showo, rounds: usize) -> Result<Scores> {
        let mut rng = Rng(77);
        let scenes = self.world.held_out.repeat(rounds);
        let black = codes(self.tokenizer, &[RgbImage::new(64, 64)])?.remove(0);
        let (mut textual, mut visual, mut image) = (0, 0, [0_usize; 5]);
        for part in scenes.chunks(24) {
            let (mut prompts, mut expected) = (Vec::new(), Vec::new());
            for scene in part {
                let facts: Vec<String> = scene.concept.facts().iter().map(language::fact).collect();
                let prompt = language::reasoning_prompt(scene.concept, scene.place, rng.below(3));
                let question = self.text.encode(&language::textual_question(scene.concept, &facts, &prompt))?;
                prompts.push(prompting::mmu_prompt(self.config, &black, &question)?);
                expected.push(language::fact(scene));
            }
            textual += self.exact(model, &prompts, &expected)?;

            let shown: Vec<RgbImage> = part.iter().map(|scene| self.world.image(scene, &mut rng)).collect();
            prompts.clear();
            for (scene, codes) in part.iter().zip(codes(self.tokenizer, &shown)?) {
                let question = questions::visual(scene, self.text, &mut rng)?.question;
                prompts.push(prompting::mmu_prompt(self.config, &codes, &question)?);
            }
            visual += self.exact(model, &prompts, &expected)?;

            let mut texts = Vec::new();
            for (scene, fact) in part.iter().zip(&expected) {
                let prompt = language::reasoning_prompt(scene.concept, scene.place, rng.below(3));
                texts.push(self.text.encode(&questions::compound(&prompt, fact))?);
            }
            let made = generate::images(model, self.config, &texts, &mut rng)?;
            for (scene, picture) in part.iter().zip(self.pictures(&made)?) {
                let seen = self.world.truth.check(scene, &picture)?;
                for (sum, right) in
                    image.iter_mut().zip([seen.place, seen.accessory, seen.colour, seen.concept, seen.all()])
                {
                    *sum += usize::from(right);
                }
            }
        }
        let share = |right: usize| right as f64 / scenes.len() as f64;
        Ok(Scores { textual: share(textual), visual: share(visual), image: image.map(share) })
    }

    fn exact(&self, model: &Showo, prompts: &[Vec<u32>], expected: &[String]) -> Result<usize> {
        let mut right = 0;
        for (answer, expected) in generate::answers(model, self.config, prompts)?.iter().zip(expected) {
            right += usize::from(&self.text.decode(answer)? == expected);
        }
        Ok(right)
    }

    fn pictures(&self, codes: &[Vec<u32>]) -> Result<Vec<RgbImage>> {
        let flat: Vec<i32> = codes.iter().flatten().map(|&code| code as i32).collect();
        let codes = TensorData::new(flat, [codes.len(), self.config.num_vq_tokens]);
        world::images(self.tokenizer.decode(Tensor::<2, Int>::from_data(codes, &Device::flex()))?)
    }
}

/// The image codes of pictures.
pub fn codes(tokenizer: &MagvitV2, pictures: &[RgbImage]) -> Result<Vec<Vec<u32>>> {
    let codes = tokenizer.encode(pixels(pictures, &Device::flex()))?;
    let count = codes.dims()[1];
    let flat: Vec<u32> = codes.into_data().iter::<i64>().map(|code| code as u32).collect();
    Ok(flat.chunks(count).map(<[u32]>::to_vec).collect())
}
