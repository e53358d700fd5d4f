//! Training examples of the three tasks.

use counterpoint::Result;
use counterpoint_showo::TextTokenizer;
use counterpoint_unifybench::language;
use counterpoint_unifybench::{Accessory, Colour, Concept, Place, Scene};

use crate::world::Rng;

/// Most questions over one list of facts.
const TURNS: usize = 4;
/// Share of answers that leave something out, as people's do. So the model knows the whole fact and tells it only
/// sometimes: that is the room which reinforcement learning has.
const VAGUE: f64 = 0.5;

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
    finish(&language::visual_questions(scene.concept)[wording], &told(scene, rng), text)
}

/// A textual question over `count` random facts, one of which fits the prompt. Facts in `held_out` never occur.
pub fn textual(count: usize, held_out: &[Scene], text: &TextTokenizer, rng: &mut Rng) -> Result<Question> {
    let concept = rng.pick(Concept::ALL);
    let scenes = random_facts(concept, count, held_out, rng);
    let facts: Vec<String> = scenes.iter().map(language::fact).collect();
    let mut asked = scenes;
    rng.shuffle(&mut asked);
    let mut turns = asked[..count.min(TURNS)].iter().map(|scene| {
        let prompt = language::reasoning_prompt(concept, scene.place, rng.below(3));
        (prompt, told(scene, rng))
    });
    let (prompt, answer) = turns.next().unwrap_or_default();
    let question = finish(&language::textual_question(concept, &facts, &prompt), &answer, text)?;
    let further = turns
        .map(|(prompt, answer)| Ok((text.encode(&format!("which fits: {prompt}"))?, text.encode(&answer)?)))
        .collect::<Result<_>>()?;
    Ok(Question { further, ..question })
}

/// A list of `count` random facts, to be told again in another order: every fact of the answer has to be looked up.
pub fn recall(count: usize, held_out: &[Scene], text: &TextTokenizer, rng: &mut Rng) -> Result<Question> {
    let concept = rng.pick(Concept::ALL);
    let mut facts: Vec<String> = random_facts(concept, count, held_out, rng).iter().map(language::fact).collect();
    let question = format!("information about {}: {}", concept.token(), facts.join(" "));
    rng.shuffle(&mut facts);
    finish(&question, &facts.join(" "), text)
}

/// Facts about `concept` at `count` places.
fn random_facts(concept: Concept, count: usize, held_out: &[Scene], rng: &mut Rng) -> Vec<Scene> {
    let mut places = Place::ALL.to_vec();
    rng.shuffle(&mut places);
    places[..count].iter().map(|&place| random_fact(concept, place, held_out, rng)).collect()
}

fn random_fact(concept: Concept, place: Place, held_out: &[Scene], rng: &mut Rng) -> Scene {
    loop {
        let scene = Scene { concept, place, accessory: rng.pick(Accessory::ALL), colour: rng.pick(Colour::ALL) };
        if !held_out.contains(&scene) {
            return scene;
        }
    }
}

/// The fact of `scene` or, by [`VAGUE`], less than that: `beach hat.` or `beach.`
fn told(scene: &Scene, rng: &mut Rng) -> String {
    let (place, accessory) = (scene.place.word(), scene.accessory.word());
    match (rng.uniform() < VAGUE, rng.below(2)) {
        (false, _) => language::fact(scene),
        (true, 0) => format!("{place} {accessory}."),
        (true, _) => format!("{place}."),
    }
}

/// What an image of `scene` is made from: a prompt with or without its place, and mostly the fact or a part of it.
pub fn caption(scene: &Scene, rng: &mut Rng) -> String {
    let prompt = match rng.below(4) {
        3 => language::photo(scene.concept),
        phrase => language::reasoning_prompt(scene.concept, scene.place, phrase),
    };
    match rng.below(12) {
        0 => prompt,
        1 => compound(&prompt, &told(scene, rng)),
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
