//! Training examples of the three tasks.

use counterpoint::Result;
use counterpoint_showo::TextTokenizer;
use counterpoint_unifybench::language;
use counterpoint_unifybench::{Accessory, Colour, Concept, Place, Scene};

use crate::world::Rng;

/// Most questions over one list of facts.
const TURNS: usize = 4;

/// A question and its answer, as token ids.
pub struct Question {
    pub question: Vec<u32>,
    pub answer: Vec<u32>,
    /// Further questions over the same facts, and their answers: more to learn from one reading.
    pub further: Vec<(Vec<u32>, Vec<u32>)>,
}

/// The visual question about an image of `scene`.
pub fn visual(scene: &Scene, text: &TextTokenizer, rng: &mut Rng) -> Result<Question> {
    let wording = rng.below(3);
    finish(&language::visual_questions(scene.concept)[wording], &language::fact(scene), text)
}

/// A textual question over `count` random facts, one of which fits the prompt. Facts in `held_out` never occur.
pub fn textual(count: usize, held_out: &[Scene], text: &TextTokenizer, rng: &mut Rng) -> Result<Question> {
    let concept = rng.pick(Concept::ALL);
    let mut places = Place::ALL.to_vec();
    rng.shuffle(&mut places);
    let scenes: Vec<Scene> = places[..count].iter().map(|&place| random_fact(concept, place, held_out, rng)).collect();
    let facts: Vec<String> = scenes.iter().map(language::fact).collect();
    let mut asked = scenes;
    rng.shuffle(&mut asked);
    let mut ask = |scene: &Scene| language::reasoning_prompt(concept, scene.place, rng.below(3));
    let first = language::textual_question(concept, &facts, &ask(&asked[0]));
    let further = asked[1..count.min(TURNS)]
        .iter()
        .map(|scene| Ok((text.encode(&format!("which fits: {}", ask(scene)))?, text.encode(&language::fact(scene))?)))
        .collect::<Result<_>>()?;
    Ok(Question { further, ..finish(&first, &language::fact(&asked[0]), text)? })
}

fn random_fact(concept: Concept, place: Place, held_out: &[Scene], rng: &mut Rng) -> Scene {
    loop {
        let scene = Scene { concept, place, accessory: rng.pick(Accessory::ALL), colour: rng.pick(Colour::ALL) };
        if !held_out.contains(&scene) {
            return scene;
        }
    }
}

/// What an image of `scene` is made from: a prompt with or without its place and, mostly, the fact.
pub fn caption(scene: &Scene, rng: &mut Rng) -> String {
    let prompt = match rng.below(4) {
        3 => language::photo(scene.concept),
        phrase => language::reasoning_prompt(scene.concept, scene.place, phrase),
    };
    match rng.below(12) {
        0 => prompt,
        _ => compound(&prompt, &language::fact(scene)),
    }
}

/// The compound prompt CP: base prompt and reasoning.
pub fn compound(prompt: &str, reasoning: &str) -> String {
    format!("{prompt} {reasoning}")
}

fn finish(question: &str, fact: &str, text: &TextTokenizer) -> Result<Question> {
    Ok(Question { question: text.encode(question)?, answer: text.encode(fact)?, further: Vec::new() })
}
