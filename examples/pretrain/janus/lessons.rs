//! What the model learns from: questions about images and their answers, prompts and their images.

use counterpoint::{Result, Segment, SegmentKind, Stream, Task, Trajectory};
use counterpoint_janus::{JanusPolicy, VqTokenizer};
use counterpoint_policy_common::picture::pixels;
use counterpoint_samplers::UnifiedModel;
use counterpoint_shapes::{Category, Prompt, SIZE, Scene, language, question, render};
use image::RgbImage;

/// Share of answers that are wrong, of answers that are not in the form that is asked for, and of images of another prompt: people are
/// careless too. So the model knows better than it does, which is the room that reinforcement learning has.
const WRONG: f32 = 0.3;
const FORMLESS: f32 = 0.3;
const OTHER: f32 = 0.3;

/// The prompts that may be trained on.
pub fn prompts() -> Vec<Prompt> {
    Prompt::all().into_iter().filter(|prompt| !prompt.is_held_out()).collect()
}

/// Draws lessons.
pub struct Lessons<'a> {
    policy: &'a JanusPolicy,
    tokenizer: &'a VqTokenizer,
    /// Of each category.
    prompts: Vec<Vec<Prompt>>,
}

impl<'a> Lessons<'a> {
    pub fn new(policy: &'a JanusPolicy, tokenizer: &'a VqTokenizer) -> Self {
        let of = |category| prompts().into_iter().filter(|prompt| prompt.category() == category).collect();
        Self { policy, tokenizer, prompts: Category::ALL.map(of).to_vec() }
    }

    /// A prompt that may be trained on, each category as often as the others.
    fn prompt(&self, stream: &mut Stream) -> Prompt {
        let prompts = &self.prompts[stream.below(self.prompts.len())];
        prompts[stream.below(prompts.len())]
    }

    /// A question about an image and what is said to it.
    pub fn answer(&self, stream: &mut Stream) -> Result<Trajectory> {
        let prompt = self.prompt(stream);
        let scene = prompt.scene(stream);
        let asked = question(&scene, stream);
        let answer = match stream.uniform() < WRONG {
            true => &asked.wrong[stream.below(asked.wrong.len())],
            false => &asked.solution,
        };
        let text = match stream.uniform() < FORMLESS {
            true => answer.clone(),
            false => language::tagged(&prompt.to_string(), answer),
        };
        let mut task = Task::new(0, asked.problem.clone());
        task.image = Some(render(&scene, stream).into());
        let chosen = self.policy.text_tokenizer()?.answer(&text)?;
        let zeros = vec![0.0; chosen.len()];
        Ok(Trajectory::new(0, vec![Segment::text(self.policy.question(&task)?, chosen, zeros)]))
    }

    /// `count` prompts and the codes of what is painted for them.
    pub fn images(&self, count: usize, stream: &mut Stream) -> Result<Vec<Trajectory>> {
        let (mut contexts, mut pictures): (Vec<Vec<u32>>, Vec<RgbImage>) = Default::default();
        for _ in 0..count {
            let prompt = self.prompt(stream);
            contexts.push(self.policy.generation_prompt(&prompt.to_string())?);
            let painted = match stream.uniform() < OTHER {
                true => another(&prompt, stream),
                false => prompt.scene(stream),
            };
            pictures.push(render(&painted, stream));
        }
        let device = self.tokenizer.codebook().device();
        let codes = self.tokenizer.encode(pixels(&pictures, SIZE as usize, &device)?)?;
        let length = codes.dims()[1];
        let codes: Vec<u32> = codes.into_data().iter::<i64>().map(|code| code as u32).collect();
        let segment = |(context, codes): (Vec<u32>, &[u32])| {
            let written = Segment::text(context, codes.to_vec(), vec![0.0; length]);
            Trajectory::new(0, vec![written.with_kind(SegmentKind::Generation)])
        };
        Ok(contexts.into_iter().zip(codes.chunks(length)).map(segment).collect())
    }
}

/// A scene of `prompt` with one thing in another shape or colour.
fn another(prompt: &Prompt, stream: &mut Stream) -> Scene {
    use counterpoint_shapes::{Colour, Shape};

    let mut scene = prompt.scene(stream);
    let at = stream.below(scene.things.len());
    let thing = &mut scene.things[at].0;
    let step = 1 + stream.below(3);
    match stream.below(2) {
        0 => thing.shape = Shape::ALL[(thing.shape as usize + step) % 4],
        _ => thing.colour = Colour::ALL[(thing.colour as usize + step) % 4],
    }
    scene
}
