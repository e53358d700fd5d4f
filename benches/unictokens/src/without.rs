//! What is kept out of training, so that an evaluation on it says how far what was learned carries.

use counterpoint::{Error, Result};

use crate::Concept;
use crate::concept::bare;

/// Whether one of `words`, which may be phrases, stands in `text` by itself, without regard to case; names of concepts with or
/// without angle brackets.
pub fn mentions(text: &str, words: &[String]) -> bool {
    let text = text.to_lowercase();
    let part = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let has = |word: &str| {
        let by_itself =
            |at: usize| !part(text[..at].chars().next_back()) && !part(text[at + word.len()..].chars().next());
        !word.is_empty() && text.match_indices(word).any(|(at, _)| by_itself(at))
    };
    words.iter().any(|word| has(&bare(word).to_lowercase()))
}

/// `concepts` without those that one of `words` names, without the facts that [mention](mentions) one, and without the questions
/// about images whose answer does; an image that loses all of its questions goes too.
///
/// # Errors
/// [`Config`](counterpoint::ErrorKind::Config) for a word that names no concept and is in no fact or answer, and when nothing is left.
pub(crate) fn without(concepts: Vec<Concept>, words: &[String]) -> Result<Vec<Concept>> {
    let known = |word: &&String| concepts.iter().any(|concept| speaks_of(concept, std::slice::from_ref(word)));
    if let Some(unknown) = words.iter().find(|word| !known(word)) {
        return Err(Error::config(format!(
            "data.without: expected names of concepts and words of their facts or answers, got `{unknown}`, which is neither"
        )));
    }
    let left: Vec<Concept> = concepts.into_iter().filter_map(|concept| rest(concept, words)).collect();
    if left.is_empty() {
        let all = words.join(", ");
        return Err(Error::config(format!("data.without: expected something to train on besides {all}, got nothing")));
    }
    Ok(left)
}

/// What is left of `concept`: something to ask, and an image to compare others with.
fn rest(mut concept: Concept, words: &[String]) -> Option<Concept> {
    if mentions(&concept.name, words) {
        return None;
    }
    let training = concept.training_facts;
    let (mut facts, mut prompts) = (Vec::new(), Vec::new());
    for (number, (fact, prompt)) in concept.facts.into_iter().zip(concept.prompts).enumerate() {
        if !mentions(&fact, words) {
            facts.push(fact);
            prompts.push(prompt);
        } else if number < training {
            concept.training_facts -= 1;
        }
    }
    (concept.facts, concept.prompts) = (facts, prompts);
    for pictures in [&mut concept.train, &mut concept.test] {
        pictures.retain_mut(|picture| {
            let asked = !picture.questions.is_empty();
            picture.questions.retain(|question| !mentions(&question.answer, words));
            !asked || !picture.questions.is_empty()
        });
    }
    (!concept.facts.is_empty() && !concept.train.is_empty()).then_some(concept)
}

/// Whether a concept is called so, or one of its facts or answers mentions it.
fn speaks_of(concept: &Concept, words: &[String]) -> bool {
    let questions = concept.train.iter().chain(&concept.test).flat_map(|picture| &picture.questions);
    let mut texts = concept.facts.iter().chain(questions.map(|question| &question.answer));
    mentions(&concept.name, words) || texts.any(|text| mentions(text, words))
}
