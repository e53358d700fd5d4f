//! How the world is spoken of: a few dozen lower-case words.

use std::collections::BTreeSet;

use crate::scene::{Accessory, Colour, Concept, Place, Scene};

impl Place {
    /// Three phrases for the place: the plain one and two paraphrases. Facts use [`Place::word`] alone.
    pub fn phrases(self) -> [&'static str; 3] {
        match self {
            Self::Beach => ["at the beach", "by the sea", "on the sand"],
            Self::Forest => ["at the forest", "under the trees", "in the woods"],
            Self::Desert => ["at the desert", "on the dunes", "by the cactus"],
            Self::Mountain => ["at the mountain", "on the peak", "in the snow"],
            Self::City => ["at the city", "on the street", "by the shops"],
            Self::Lake => ["at the lake", "by the water", "under the bridge"],
            Self::Park => ["at the park", "on the grass", "by the flowers"],
            Self::Castle => ["at the castle", "under the tower", "in the hall"],
        }
    }
}

/// The fact of a scene, as three tags: `beach red hat.`
///
/// The place comes first because prompts ask by it: a causal model easily finds what follows a word.
pub fn fact(scene: &Scene) -> String {
    format!("{} {} {}.", scene.place.word(), scene.colour.word(), scene.accessory.word())
}

/// What a fact says, or `None` when `text` is not a fact. Space around it and a missing full stop are forgiven.
pub fn parse_fact(text: &str) -> Option<(Place, Accessory, Colour)> {
    let words = words(text);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [place, colour, accessory] | [place, colour, accessory, "."] => {
            Some((Place::from_word(place)?, Accessory::from_word(accessory)?, Colour::from_word(colour)?))
        }
        _ => None,
    }
}

/// What the concept is: `<ada> is an astronaut.`
pub fn info(concept: Concept) -> String {
    format!("{} is {}.", concept.token(), concept.kind())
}

/// The base prompt of Visual Instruct Reasoning: `a photo of <ada>.`
pub fn photo(concept: Concept) -> String {
    format!("a photo of {}.", concept.token())
}

/// The reasoning prompt IP of Textual Attribute Reasoning: `a photo of <ada> by the sea.`; `phrase` is 0 for the
/// plain phrase of the place, 1 or 2 for a paraphrase (higher numbers count as 2).
pub fn reasoning_prompt(concept: Concept, place: Place, phrase: usize) -> String {
    format!("a photo of {} {}.", concept.token(), place.phrases()[phrase.min(2)])
}

/// The question of Textual Attribute Reasoning: all facts in their order, then the prompt that one of them fits.
pub fn textual_question(concept: Concept, facts: &[String], prompt: &str) -> String {
    format!("information about {}: {} which fits: {prompt}", concept.token(), facts.join(" "))
}

/// The wordings of the question about a reference image; the answer is the fact of the image.
pub fn visual_questions(concept: Concept) -> [String; 3] {
    let token = concept.token();
    [
        format!("what is with {token} and where?"),
        format!("where is {token} and with what?"),
        format!("what is with {token} in the photo?"),
    ]
}

/// The question that [`info`] answers.
pub fn info_question(concept: Concept) -> String {
    format!("what is {}?", concept.token())
}

/// The question without an image that a fact answers.
pub fn fact_question(concept: Concept, place: Place, phrase: usize) -> String {
    format!("what is with {} {}?", concept.token(), place.phrases()[phrase.min(2)])
}

/// A prompt of several clauses: all phrases for the place, and what is there when `scene` is given.
pub fn dense_prompt(concept: Concept, place: Place, scene: Option<&Scene>) -> String {
    let thing = scene.map(|s| format!(" with a {} {}", s.colour.word(), s.accessory.word())).unwrap_or_default();
    format!("a photo of {}{thing}, {}.", concept.token(), place.phrases().join(", "))
}

/// The words and punctuation marks of `text`, in order; a concept such as `<ada>` is one word.
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for chunk in text.split_whitespace() {
        let bare = chunk.trim_end_matches(['.', ':', '?', ',']);
        if !bare.is_empty() {
            words.push(bare.to_owned());
        }
        words.extend(chunk[bare.len()..].chars().map(String::from));
    }
    words
}

/// Every word and punctuation mark that any sentence of the world uses, sorted.
pub fn vocabulary() -> Vec<String> {
    let mut sentences = Vec::new();
    for &concept in Concept::ALL {
        let facts: Vec<String> = concept.facts().iter().map(fact).collect();
        sentences.extend([info(concept), photo(concept), info_question(concept), concept.class().to_owned()]);
        sentences.extend(visual_questions(concept));
        for &place in Place::ALL {
            sentences.push(dense_prompt(concept, place, None));
            for phrase in 0..3 {
                let prompt = reasoning_prompt(concept, place, phrase);
                sentences.push(textual_question(concept, &facts, &prompt));
                sentences.push(fact_question(concept, place, phrase));
            }
        }
    }
    sentences.extend(Scene::all().map(|scene| fact(&scene)));
    let unique: BTreeSet<String> = sentences.iter().flat_map(|s| words(s)).collect();
    unique.into_iter().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn facts_are_parsed_back() {
        for scene in Scene::all() {
            let parsed = parse_fact(&fact(&scene)).unwrap();
            assert_eq!(parsed, (scene.place, scene.accessory, scene.colour));
        }
        assert_eq!(
            parse_fact("  beach red hat "),
            Some((Place::Beach, Accessory::Hat, Colour::Red)),
            "space and the full stop are forgiven"
        );
        for wrong in ["", "red hat", "beach hat red.", "beach red hat. a", "moon red hat.", "Beach red hat."] {
            assert_eq!(parse_fact(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sentences_read_as_specified() {
        let prompt = reasoning_prompt(Concept::Ada, Place::Beach, 1);
        assert_eq!(prompt, "a photo of <ada> by the sea.");
        let question = textual_question(Concept::Ada, &["beach red hat.".into()], &prompt);
        assert_eq!(question, "information about <ada>: beach red hat. which fits: a photo of <ada> by the sea.");
        assert_eq!(words("which fits: <ada>?"), ["which", "fits", ":", "<ada>", "?"]);
    }

    #[test]
    fn the_language_is_small_and_phrases_are_unambiguous() {
        let vocabulary = vocabulary();
        assert!((60..=90).contains(&vocabulary.len()), "{} words: {vocabulary:?}", vocabulary.len());
        assert!(vocabulary.iter().all(|w| w.chars().all(|c| !c.is_uppercase() && !c.is_whitespace())));
        let phrases: BTreeSet<&str> = Place::ALL.iter().flat_map(|p| p.phrases()).collect();
        assert_eq!(phrases.len(), 24);
    }
}
