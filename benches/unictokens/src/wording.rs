//! The words that tasks are put in.

use counterpoint::{Error, Result};
use serde::{Deserialize, Serialize};

/// How questions and prompts are put. In all of them `{concept}` stands for the concept as `<name>`, `{noun}` for what it is
/// (`class` in info.json) and `{info}` for the sentence about it (`info`, may be empty).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wording {
    /// The question of Textual Attribute Reasoning; `{facts}` are all facts joined by spaces, `{prompt}` is the reasoning
    /// prompt.
    pub textual_question: String,
    /// The base prompt of the same; `{prompt}` as above.
    pub textual_base_prompt: String,
    /// The question of Visual Instruct Reasoning; `{question}` is the one about the image.
    pub visual_question: String,
    /// The base prompt of the same.
    pub visual_base_prompt: String,
    /// Whether the sentence about the concept ends both base prompts, so that it goes before the reasoning in the compound
    /// prompt, as in the public release.
    pub info: bool,
}

impl Default for Wording {
    fn default() -> Self {
        Self {
            textual_question: "information about {concept}: {facts} which fits: {prompt}".to_owned(),
            textual_base_prompt: "{prompt}".to_owned(),
            visual_question: "{question}".to_owned(),
            visual_base_prompt: "a photo of {concept}.".to_owned(),
            info: false,
        }
    }
}

impl Wording {
    /// Checks that what makes a task is in its words, and that nothing stands in braces that means nothing.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) naming the key.
    pub fn validate(&self) -> Result<()> {
        let always = ["{concept}", "{noun}", "{info}"];
        let texts: [(&str, &str, &[&str], &[&str]); 4] = [
            ("textual_question", &self.textual_question, &["{facts}", "{prompt}"], &["{facts}", "{prompt}"]),
            ("textual_base_prompt", &self.textual_base_prompt, &["{prompt}"], &["{prompt}"]),
            ("visual_question", &self.visual_question, &["{question}"], &["{question}"]),
            ("visual_base_prompt", &self.visual_base_prompt, &["{concept}"], &[]),
        ];
        for (key, text, needed, more) in texts {
            if let Some(missing) = needed.iter().find(|name| !text.contains(**name)) {
                let message = format!("data.wording.{key}: expected {missing} in it, got {text:?}");
                return Err(Error::config(message));
            }
            for part in text.split('{').skip(1) {
                let name = format!("{{{}}}", part.split('}').next().unwrap_or_default());
                if !always.contains(&name.as_str()) && !more.contains(&name.as_str()) {
                    let known = always.iter().chain(more).copied().collect::<Vec<_>>().join(", ");
                    return Err(Error::config(format!("data.wording.{key}: expected {known}, got {name}")));
                }
            }
        }
        Ok(())
    }
}

/// `template` with every name in braces replaced, each once: what is put in is not looked through again.
pub(crate) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut text = String::new();
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        let (before, from) = rest.split_at(start);
        text.push_str(before);
        match values.iter().find(|(name, _)| from[1..].starts_with(name) && from[1 + name.len()..].starts_with('}')) {
            Some((name, value)) => {
                text.push_str(value);
                rest = &from[name.len() + 2..];
            }
            None => {
                text.push('{');
                rest = &from[1..];
            }
        }
    }
    text + rest
}
