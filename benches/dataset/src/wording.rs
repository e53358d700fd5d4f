//! The sentences that a new concept begins with. They say no more than what was given.

use serde::{Deserialize, Serialize};

/// A question and its answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Exchange {
    pub query: String,
    pub answer: String,
}

impl Exchange {
    pub fn new(query: String, answer: &str) -> Self {
        Self { query, answer: answer.to_owned() }
    }
}

/// `<miso> is a cat.`
pub(crate) fn what(name: &str, class: &str) -> String {
    let article = if class.to_lowercase().starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("<{name}> is {article} {class}.")
}

pub(crate) fn plain_photograph(name: &str) -> String {
    format!("A photo of <{name}>.")
}

pub(crate) fn what_is_seen(name: &str) -> String {
    format!("What is <{name}> in this photograph?")
}

pub(crate) fn what_is_known(name: &str) -> String {
    format!("What do you know about <{name}>?")
}

pub(crate) fn what_is_needed(name: &str, prompt: &str) -> String {
    format!("Which fact about <{name}> does this need: {prompt}")
}

pub(crate) fn is_seen(name: &str) -> [String; 3] {
    [
        format!("Does this photograph show <{name}>?"),
        format!("Can <{name}> be seen here?"),
        format!("Is <{name}> in this picture?"),
    ]
}
