//! Texts: tokens that name no concept, facts and prompts that are there twice or not equally many.

use std::collections::HashMap;

use serde_json::Value;

use super::Checker;
use crate::json::{pointer, quoted};
use crate::name::{is_reserved, nearest, tokens};

/// Arrays of prompts of which each belongs to a fact, besides the reasoning prompts.
const PAIRED: [&str; 3] = [
    "explicit_personalized_driven_generation",
    "personalized_dense_prompt_generation",
    "explicit_personalized_dense_prompt_generation",
];
const UNPAIRED: &str = "dense_prompt_generation";
/// The key of the reasoning prompts.
const PROMPTS: &str = "personalized_driven_generation";

impl Checker<'_> {
    /// Tokens in every text of `value`.
    pub(super) fn tokens(&mut self, at: (&str, &str), value: &Value) {
        match value {
            Value::String(text) => {
                for token in tokens(text).into_iter().filter(|token| !is_reserved(token)) {
                    if self.names.iter().any(|name| name == token) {
                        continue;
                    }
                    let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
                    let fix = match nearest(token, &names) {
                        Some(near) => format!("write <{near}>"),
                        None => format!("write one of {}", brackets(&names)),
                    };
                    self.problem(at, "tokens that name a concept of the data set", format!("<{token}>"), fix);
                }
            }
            Value::Array(entries) => {
                for (k, entry) in entries.iter().enumerate() {
                    self.tokens((at.0, &pointer(at.1, k)), entry);
                }
            }
            Value::Object(map) => {
                for (key, value) in map {
                    self.tokens((at.0, &pointer(at.1, key)), value);
                }
            }
            _ => {}
        }
    }

    /// An array of questions at `at`.
    pub(super) fn questions(&mut self, name: &str, at: (&str, &str), value: &Value) {
        for (k, entry) in value.as_array().into_iter().flatten().enumerate() {
            self.summary.questions += 1;
            if let Some(query) = entry.get("query").and_then(Value::as_str) {
                let place = pointer(&pointer(at.1, k), "query");
                self.mentions(name, (at.0, &place), query);
            }
        }
    }

    /// A text that should be about the concept.
    fn mentions(&mut self, name: &str, at: (&str, &str), text: &str) {
        if !text.trim().is_empty() && tokens(text).is_empty() {
            let fix = format!("write the concept as <{name}>");
            self.warn(at, format!("a text that mentions <{name}>"), quoted(text), fix);
        }
    }

    /// The facts of `info`, the value of `file`: how many there are.
    pub(super) fn facts(&mut self, file: &str, info: &Value) -> Option<usize> {
        let facts = info.get("extra_info")?.as_array()?;
        self.summary.facts += facts.len();
        self.distinct(file, "/extra_info", facts, "fact");
        let held_out = info.get("num_testing_info").and_then(Value::as_u64);
        let at = (file, "/num_testing_info");
        let n = facts.len();
        match held_out {
            Some(held_out) if held_out > n as u64 => {
                let fix = "lower it, or add facts and their prompts";
                self.problem(at, format!("at most {n}, the number of facts"), held_out.to_string(), fix);
            }
            Some(held_out) if held_out == n as u64 => {
                self.warn(at, "a fact for training", format!("all {n} held out"), "lower it, or add facts");
            }
            None if n == 1 => {
                let got = "one fact, which is for training";
                self.warn((file, "/extra_info"), "a fact to hold out", got, "add facts and their prompts");
            }
            _ => {}
        }
        Some(n)
    }

    /// The prompts of `conditions`, the value of `file`, for `facts` facts.
    pub(super) fn prompts(&mut self, name: &str, file: &str, conditions: &Value, facts: Option<usize>) {
        if let Some(all) = conditions.as_array() {
            self.distinct(file, "", all, "prompt");
            self.about(name, (file, ""), all);
            self.pairs((file, ""), all.len().saturating_sub(1), facts, " after the first entry, the plain photograph");
            return;
        }
        for key in PAIRED.iter().chain(&[UNPAIRED, PROMPTS]) {
            let Some(prompts) = conditions.get(key).and_then(Value::as_array) else { continue };
            let place = pointer("", key);
            self.distinct(file, &place, prompts, "prompt");
            self.about(name, (file, &place), prompts);
            if *key != UNPAIRED {
                self.pairs((file, &place), prompts.len(), facts, "");
            }
        }
    }

    fn about(&mut self, name: &str, at: (&str, &str), prompts: &[Value]) {
        for (k, prompt) in prompts.iter().enumerate() {
            self.mentions(name, (at.0, &pointer(at.1, k)), prompt.as_str().unwrap_or_default());
        }
    }

    fn pairs(&mut self, at: (&str, &str), prompts: usize, facts: Option<usize>, place: &str) {
        if let Some(facts) = facts.filter(|facts| *facts != prompts) {
            let expected = format!("one prompt for each of the {facts} facts (`extra_info` in info.json){place}");
            let fix = if prompts < facts { "add prompts, or remove facts" } else { "add facts, or remove prompts" };
            let fix = format!("{fix}: prompt k needs fact k");
            self.problem(at, expected, format!("{prompts} prompts"), fix);
        }
    }

    /// Texts that are the same but for case and spaces at the ends.
    fn distinct(&mut self, file: &str, place: &str, texts: &[Value], what: &str) {
        let mut seen = HashMap::new();
        for (k, text) in texts.iter().enumerate() {
            let folded = text.as_str().map(|t| t.trim().to_lowercase()).filter(|t| !t.is_empty());
            let Some(folded) = folded else { continue };
            if let Some(first) = seen.get(&folded) {
                let got = format!("the same as {}", pointer(place, first));
                let fix = format!("rewrite or remove one of the two, and what is paired with the {what}");
                self.problem((file, &pointer(place, k)), format!("every {what} once"), got, fix);
            } else {
                seen.insert(folded, k);
            }
        }
    }
}

/// Names as they are written in texts; some of many.
fn brackets(names: &[&str]) -> String {
    let some: Vec<String> = names.iter().take(12).map(|name| format!("<{name}>")).collect();
    some.join(", ") + if names.len() > some.len() { ", ..." } else { "" }
}
