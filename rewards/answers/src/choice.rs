//! Multiple choice: which of the choices an answer names, as VLMEvalKit infers it (`can_infer`).

use std::collections::BTreeMap;

/// What VLMEvalKit takes for a refusal, which is none of the choices.
const REFUSALS: [&str; 4] = [
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
];
/// What is no part of a word.
const SIGNS: &str = ".()[],:;!*#{}";

/// The choices of a problem: lines that begin with a capital letter and a full stop or a parenthesis, such as `A. a hat`.
pub fn choices(problem: &str) -> BTreeMap<char, String> {
    let choice = |line: &str| {
        let line = line.trim();
        let line = line.strip_prefix('(').unwrap_or(line);
        let mut chars = line.chars();
        let letter = chars.next().filter(char::is_ascii_uppercase)?;
        let text = chars.as_str().strip_prefix(['.', ')'])?.trim();
        (!text.is_empty()).then(|| (letter, text.to_owned()))
    };
    problem.lines().filter_map(choice).collect()
}

/// The choice that an answer names, by its letter or by its text; none when it names several, `Z` when it refuses.
pub fn inferred(answer: &str, choices: &BTreeMap<char, String>) -> Option<char> {
    by_letter(answer, choices).or_else(|| by_text(answer, choices))
}

fn by_letter(answer: &str, choices: &BTreeMap<char, String>) -> Option<char> {
    if answer.contains("Failed to obtain answer via API") {
        return None;
    }
    if REFUSALS.iter().any(|refusal| answer.contains(refusal)) {
        return Some('Z');
    }
    let plain: String = answer.chars().map(|c| if SIGNS.contains(c) { ' ' } else { c }).collect();
    let words: Vec<&str> = plain.split_whitespace().collect();
    let place = |letter: char| words.iter().position(|word| word.chars().eq([letter]));
    let named: Vec<(char, usize)> = choices.keys().filter_map(|&letter| Some((letter, place(letter)?))).collect();
    match named[..] {
        // A letter far before the end is a word, such as an article.
        [(letter, at)] if at + 5 > words.len() => return Some(letter),
        [] if place('Z').is_some() => return Some('Z'),
        _ => {}
    }
    said(answer).filter(|letter| choices.contains_key(letter))
}

/// The letter, of the first four, after the first `answer is`, with or without asterisks.
fn said(answer: &str) -> Option<char> {
    let lower = answer.to_ascii_lowercase();
    let after = lower.match_indices("answer").find_map(|(at, word)| {
        let rest = &lower[at + word.len()..];
        let rest = rest.strip_prefix(char::is_whitespace)?.trim_start().strip_prefix("is")?;
        let rest = rest.strip_prefix(char::is_whitespace)?.trim_start().trim_start_matches('*');
        rest.chars().next().filter(|c| ('a'..='d').contains(c))
    });
    after.map(|letter| letter.to_ascii_uppercase())
}

fn by_text(answer: &str, choices: &BTreeMap<char, String>) -> Option<char> {
    let answer = answer.to_lowercase();
    if answer.chars().count() > 2 * choices.values().map(|text| text.chars().count()).sum::<usize>() {
        return None;
    }
    let named: Vec<char> =
        choices.iter().filter(|(_, text)| answer.contains(&text.to_lowercase())).map(|(&letter, _)| letter).collect();
    match named[..] {
        [letter] => Some(letter),
        _ => None,
    }
}
