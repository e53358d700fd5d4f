//! What the model learns from: questions about images and their answers, prompts and their images.

use counterpoint::{Result, Segment, Stream, Task};
use counterpoint_janus::JanusPolicy;
use counterpoint_shapes::{Colour, Prompt, Scene, Shape, language, question, render};
use image::RgbImage;

use crate::prompts::Prompts;

/// Draws lessons, some of them careless, as people are: of answers a share is wrong and as many are not in the form that is asked for, and as
/// many images are those of another prompt. So the model knows better than it does, which is the room that reinforcement learning has.
pub struct Lessons<'a> {
    policy: &'a JanusPolicy,
    careless: f32,
    prompts: Prompts,
}

impl<'a> Lessons<'a> {
    pub fn new(policy: &'a JanusPolicy, careless: f32) -> Self {
        Self { policy, careless, prompts: Prompts::known() }
    }

    /// A question about an image and what is said to it.
    pub fn answer(&self, stream: &mut Stream) -> Result<Segment> {
        let prompt = self.prompts.draw(stream);
        let scene = prompt.scene(stream);
        let asked = question(&scene, stream);
        let answer = match stream.uniform() < self.careless {
            true => &asked.wrong[stream.below(asked.wrong.len())],
            false => &asked.solution,
        };
        let text = match stream.uniform() < self.careless {
            true => answer.clone(),
            false => language::tagged(&prompt.to_string(), answer),
        };
        let mut task = Task::new(0, asked.problem.clone());
        task.image = Some(render(&scene, stream).into());
        self.policy.answered(&task, &text)
    }

    /// `count` prompts and what is painted for them.
    pub fn images(&self, count: usize, stream: &mut Stream) -> Result<Vec<Segment>> {
        let (mut prompts, mut pictures): (Vec<String>, Vec<RgbImage>) = Default::default();
        for _ in 0..count {
            let prompt = self.prompts.draw(stream);
            prompts.push(prompt.to_string());
            let painted = match stream.uniform() < self.careless {
                true => another(&prompt, stream),
                false => prompt.scene(stream),
            };
            pictures.push(render(&painted, stream));
        }
        self.policy.painted(&prompts, &pictures.iter().collect::<Vec<_>>())
    }
}

/// A scene of `prompt` with one thing in another shape or colour.
fn another(prompt: &Prompt, stream: &mut Stream) -> Scene {
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
