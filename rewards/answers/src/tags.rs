//! Thoughts and answers between tags.

const THINK: [&str; 2] = ["<think>", "</think>"];
const ANSWER: [&str; 2] = ["<answer>", "</answer>"];

/// How a text uses the tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tagged {
    /// Whether the whole of it is `<think>..</think>`, nothing but white space and full stops, and `<answer>..</answer>`.
    pub whole: bool,
    /// How many of the four tags are there exactly once.
    pub once: usize,
}

impl Tagged {
    /// How `text` uses them.
    pub fn of(text: &str) -> Self {
        let once = [THINK, ANSWER].concat().iter().filter(|tag| text.matches(**tag).count() == 1).count();
        Self { whole: is_whole(text), once }
    }
}

/// Whether a thought can end so that nothing but an answer is left.
fn is_whole(text: &str) -> bool {
    let Some(rest) = text.strip_prefix(THINK[0]) else { return false };
    let mut ends = rest.match_indices(THINK[1]).map(|(at, tag)| &rest[at + tag.len()..]);
    ends.any(|rest| {
        let rest = rest.trim_start_matches(|c: char| c == '.' || c.is_whitespace());
        rest.strip_prefix(ANSWER[0]).is_some_and(|rest| rest.ends_with(ANSWER[1]))
    })
}

/// What stands between the first `<answer>` and the `</answer>` after it, in one line, without white space around it; without such tags
/// all but the thoughts and the word `Answer`. As in CoRL's public code.
pub fn final_answer(text: &str) -> String {
    if let Some(answer) = between(text, ANSWER).find(|answer| !answer.contains('\n')) {
        return answer.trim().to_owned();
    }
    let mut left = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(THINK[0]) {
        let Some((_, after)) = after.split_once(THINK[1]) else { break };
        left.push_str(before);
        rest = after;
    }
    left.push_str(rest);
    for word in [THINK[0], THINK[1], ANSWER[0], ANSWER[1], "Answer:", "Answer"] {
        left = left.replace(word, "");
    }
    left.trim().to_owned()
}

/// Whether an answer is tagged.
pub(crate) fn is_tagged(text: &str) -> bool {
    between(text, ANSWER).any(|answer| !answer.contains('\n'))
}

/// From every opening tag to the closing one after it.
fn between<'a>(text: &'a str, [open, close]: [&'a str; 2]) -> impl Iterator<Item = &'a str> {
    text.match_indices(open).filter_map(move |(at, _)| Some(text[at + open.len()..].split_once(close)?.0))
}
