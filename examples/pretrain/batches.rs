//! Token sequences that the decoder learns from.

use std::ops::Range;

use counterpoint::Result;
use counterpoint_showo::{MagvitV2, ShowoConfig, TextTokenizer, prompting};
use counterpoint_unifybench::SIZE;
use image::RgbImage;

use crate::questions::{self, Question};
use crate::world::{Rng, World, codes};

/// Tokens of a language batch.
const LANGUAGE_TOKENS: usize = 1000;
/// After how many steps the longest list of a language batch grows by a fact.
const GROWTH: usize = 125;
/// Most facts that a list has; the benchmark's have as many.
const FACTS: usize = 8;
const IMAGES: usize = 6;
const VISUAL: usize = 4;
const TEXTUAL: usize = 6;
const CONDITION_DROPOUT: f64 = 0.1;
/// Images of each training scene that are tokenised beforehand.
const VIEWS: usize = 2;

/// Draws batches.
pub struct Batches<'a> {
    world: &'a World,
    config: &'a ShowoConfig,
    text: &'a TextTokenizer,
    /// Codes of `VIEWS` images of each training scene.
    views: Vec<Vec<Vec<u32>>>,
    black: Vec<u32>,
}

/// Text-to-image sequences with masked tokens, what the tokens are, and which of them count.
#[derive(Default)]
pub struct Images {
    pub rows: Vec<Vec<u32>>,
    pub targets: Vec<Vec<u32>>,
    pub weights: Vec<f32>,
}

/// Understanding sequences of one length, and where in each of them the answers are.
#[derive(Default)]
pub struct Conversations {
    pub rows: Vec<Vec<u32>>,
    pub answers: Vec<Vec<Range<usize>>>,
}

impl<'a> Batches<'a> {
    /// Renders and tokenises the training scenes.
    pub fn new(
        world: &'a World,
        config: &'a ShowoConfig,
        text: &'a TextTokenizer,
        tokenizer: &MagvitV2,
        rng: &mut Rng,
    ) -> Result<Self> {
        let mut views = Vec::new();
        for part in world.training.chunks(32) {
            let pictures: Vec<RgbImage> =
                part.iter().flat_map(|scene| [scene; VIEWS]).map(|scene| world.image(scene, rng)).collect();
            views.extend(codes(tokenizer, &pictures)?.chunks(VIEWS).map(<[Vec<u32>]>::to_vec));
        }
        let black = codes(tokenizer, &[RgbImage::new(SIZE, SIZE)])?.remove(0);
        Ok(Self { world, config, text, views, black })
    }

    /// Captioned images of which some tokens are masked, their share drawn through a cosine.
    pub fn images(&self, rng: &mut Rng) -> Result<Images> {
        let config = self.config;
        let mut batch = Images::default();
        for _ in 0..IMAGES {
            let (scene, codes) = self.view(rng);
            let caption = questions::caption(&self.world.training[scene], rng);
            let text = if rng.uniform() < CONDITION_DROPOUT { Vec::new() } else { self.text.encode(&caption)? };
            let share = (rng.uniform() * std::f64::consts::FRAC_PI_2).cos();
            let masked = ((config.num_vq_tokens as f64 * share).round() as usize).max(1);
            let mut order: Vec<usize> = (0..config.num_vq_tokens).collect();
            rng.shuffle(&mut order);
            let mut image = prompting::image_ids(config, codes)?;
            let mut weight = vec![0.0_f32; image.len()];
            for &position in &order[..masked] {
                image[position] = config.mask_token_id;
                weight[position] = 1.0;
            }
            batch.rows.push(prompting::t2i_sequence(config, &text, &image));
            batch.targets.push(codes.to_vec());
            batch.weights.extend(weight);
        }
        Ok(batch)
    }

    /// Questions about images.
    pub fn visual(&self, rng: &mut Rng) -> Result<Conversations> {
        let mut batch = Conversations::default();
        for _ in 0..VISUAL {
            let (scene, codes) = self.view(rng);
            let question = questions::visual(&self.world.training[scene], self.text, rng)?;
            batch.push(self.config, &prompting::mmu_prompt(self.config, codes, &question.question)?, &question);
        }
        prompting::pad_right(self.config, &mut batch.rows);
        Ok(batch)
    }

    /// Questions about lists of facts, after a black image.
    pub fn textual(&self, rng: &mut Rng) -> Result<Conversations> {
        let mut batch = Conversations::default();
        for _ in 0..TEXTUAL {
            let question = questions::textual(FACTS, &self.world.held_out, self.text, rng)?;
            batch.push(self.config, &prompting::mmu_prompt(self.config, &self.black, &question.question)?, &question);
        }
        prompting::pad_right(self.config, &mut batch.rows);
        Ok(batch)
    }

    /// Lists of one length, to be told again: plain text, as if after an image without tokens. The longest grow with the
    /// steps, for short ones are learned first.
    pub fn lists(&self, step: usize, rng: &mut Rng) -> Result<Conversations> {
        let special = self.config.special_token_ids;
        let count = 2 + rng.below((1 + step / GROWTH).min(FACTS - 1));
        let mut batch = Conversations::default();
        for _ in 0..LANGUAGE_TOKENS / (10 + 8 * count) {
            let list = questions::recall(count, &self.world.held_out, self.text, rng)?;
            let start = [special.mmu, special.soi, special.eoi, self.config.bos_id];
            batch.push(self.config, &[&start, &list.question[..]].concat(), &list);
        }
        Ok(batch)
    }

    /// A training scene's number and the codes of one of its images.
    fn view(&self, rng: &mut Rng) -> (usize, &[u32]) {
        let scene = rng.below(self.views.len());
        (scene, &self.views[scene][rng.below(VIEWS)])
    }
}

impl Conversations {
    /// Adds `prompt`, the answer, and further questions and answers, each answer closed by the end of text.
    fn push(&mut self, config: &ShowoConfig, prompt: &[u32], question: &Question) {
        let (mut row, mut answers) = (prompt.to_vec(), Vec::new());
        let mut answer = |row: &mut Vec<u32>, answer: &[u32]| {
            let start = row.len();
            row.extend(answer);
            row.push(config.eos_id);
            answers.push(start..row.len());
        };
        answer(&mut row, &question.answer);
        for (asked, answered) in &question.further {
            row.extend(asked);
            answer(&mut row, answered);
        }
        self.rows.push(row);
        self.answers.push(answers);
    }
}
