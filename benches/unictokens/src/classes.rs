//! Which table of reward weights a concept uses.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Concept;

/// Rules by the class that they give a concept, such as `person`: the first rule that fits, in alphabetical order, decides.
/// A concept that no rule fits is of the class that its `info.json` says.
pub type ClassRules = BTreeMap<String, ClassRule>;

/// When a concept is of a class; one of the two suffices.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClassRule {
    /// The `conversation_type` of its `info.json`, such as `human`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_type: Option<String>,
    /// What its `info.json` may say it is (`class`), such as `young woman`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nouns: Vec<String>,
}

/// The conversation type of people in the UniCTokens data.
pub(crate) const HUMAN: &str = "human";

/// `human` concepts are of the class `person`, which the papers weigh apart.
pub(crate) fn default_rules() -> ClassRules {
    let human = ClassRule { conversation_type: Some(HUMAN.to_owned()), nouns: Vec::new() };
    ClassRules::from([("person".to_owned(), human)])
}

impl ClassRule {
    fn fits(&self, concept: &Concept) -> bool {
        let same_type = self.conversation_type.is_some() && self.conversation_type == concept.conversation_type;
        same_type || self.nouns.contains(&concept.class)
    }
}

/// The class of `concept` under `rules`.
pub(crate) fn class_of<'a>(concept: &'a Concept, rules: &'a ClassRules) -> &'a str {
    rules.iter().find(|(_, rule)| rule.fits(concept)).map_or(&concept.class, |(class, _)| class)
}
