//! Concept tokens in the vocabulary, as UniCTokens lays them out: a name and its soft tokens, between text and image codes.

use counterpoint::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::config::ShowoConfig;

/// Soft tokens for understanding, K in UniCTokens.
pub const UNDERSTANDING_TOKENS: usize = 16;
/// Further soft tokens for generation, M in UniCTokens.
pub const GENERATION_TOKENS: usize = 8;

/// A personal concept: the token `<name>`, then `<name_0>` to `<name_{K-1}>` for understanding, then
/// `<name_K>` to `<name_{K+M-1}>` for generation, then those of UniCTokens' third stage, to `<name_{K+M+P-1}>`. Understanding is
/// shown the first K and the last P, generation the first K + M.
///
/// UniCTokens calls the soft tokens `<token_0>`, `<token_1>`, .. and so has one concept at a time; its files hold no
/// names. Here they carry the name of their concept, so that several can be loaded at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Concept {
    /// Name without `<` and `>`, as the data write it: any letters, spaces inside and apostrophes too; no `<`, `>`, `/`, `\`
    /// and line breaks.
    pub name: String,
    /// K.
    #[serde(default = "understanding_tokens")]
    pub understanding: usize,
    /// M.
    #[serde(default = "generation_tokens")]
    pub generation: usize,
    /// P.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub perception: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's signature
fn is_zero(count: &usize) -> bool {
    *count == 0
}

pub(crate) fn understanding_tokens() -> usize {
    UNDERSTANDING_TOKENS
}

pub(crate) fn generation_tokens() -> usize {
    GENERATION_TOKENS
}

impl Concept {
    /// A concept with UniCTokens' numbers of tokens.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), understanding: UNDERSTANDING_TOKENS, generation: GENERATION_TOKENS, perception: 0 }
    }

    /// Tokens in all: `1 + K + M + P`.
    pub fn tokens(&self) -> usize {
        1 + self.understanding + self.generation + self.perception
    }

    /// The token of the name, `<name>`.
    pub fn token(&self) -> String {
        format!("<{}>", self.name)
    }

    /// The first `count` soft tokens in a row.
    pub(crate) fn soft(&self, count: usize) -> String {
        self.soft_of(0..count)
    }

    fn soft_of(&self, tokens: std::ops::Range<usize>) -> String {
        tokens.map(|k| format!("<{}_{k}>", self.name)).collect()
    }

    /// All its tokens, in the order of their ids.
    pub fn names(&self) -> Vec<String> {
        let soft = (0..self.tokens() - 1).map(|k| format!("<{}_{k}>", self.name));
        std::iter::once(self.token()).chain(soft).collect()
    }

    /// What a question about the concept begins with: `<name> is <name_0>..<name_{K-1}>.` and a line feed.
    pub(crate) fn statement(&self) -> String {
        let last = self.tokens() - 1;
        let perceived = self.soft_of(last - self.perception..last);
        format!("{} is {}{perceived}.\n", self.token(), self.soft(self.understanding))
    }

    /// What stands for the name in a prompt: its tokens for understanding and generation, a space, and the name.
    pub(crate) fn expansion(&self) -> String {
        format!("{} {}", self.soft(self.understanding + self.generation), self.token())
    }
}

impl ShowoConfig {
    /// The same model with the tokens of `concepts` after those it has: image codes and mask move back.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) for a name that is taken or has what no name may have.
    pub fn with_concepts(&self, concepts: &[Concept]) -> Result<Self> {
        let more: usize = concepts.iter().map(Concept::tokens).sum();
        let mut config = self.clone();
        config.concepts.extend_from_slice(concepts);
        config.resize(self.num_concept_tokens + more);
        if !concepts.is_empty() {
            // UniCTokens asks without the line feed that Show-o has before a question.
            config.question_template = config.question_template.replace("USER: \n", "USER: ");
        }
        config.validate()?;
        Ok(config)
    }

    /// The model without its UniCTokens concepts.
    pub fn without_concepts(&self) -> Self {
        let fewer: usize = self.concepts.iter().map(Concept::tokens).sum();
        let mut config = self.clone();
        config.concepts.clear();
        config.resize(self.num_concept_tokens.saturating_sub(fewer));
        if !self.concepts.is_empty() {
            config.question_template = config.question_template.replace("USER: ", "USER: \n");
        }
        config
    }

    /// Sets the number of concept tokens and all that follows from it.
    pub(crate) fn resize(&mut self, concept_tokens: usize) {
        self.num_concept_tokens = concept_tokens;
        self.text_vocab_size = self.llm_vocab_size + self.num_new_special_tokens + concept_tokens;
        self.image_token_offset = self.text_vocab_size as u32;
        self.vocab_size = self.text_vocab_size + self.codebook_size + 1;
        self.mask_token_id = (self.vocab_size - 1) as u32;
    }

    /// The ids of a concept's tokens.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when the model has no such concept.
    pub fn concept_ids(&self, name: &str) -> Result<std::ops::Range<usize>> {
        let of_concepts: usize = self.concepts.iter().map(Concept::tokens).sum();
        let mut start = self.text_vocab_size - of_concepts;
        for concept in &self.concepts {
            let end = start + concept.tokens();
            if concept.name == name {
                return Ok(start..end);
            }
            start = end;
        }
        let known: Vec<&str> = self.concepts.iter().map(|c| c.name.as_str()).collect();
        Err(Error::config(format!("expected a concept of the model ({}), got {name}", known.join(", "))))
    }
}

/// Checks the concepts of a config with `tokens` concept tokens.
pub(crate) fn validate(concepts: &[Concept], tokens: usize) -> Result<()> {
    let named: usize = concepts.iter().map(Concept::tokens).sum();
    if named > tokens {
        return Err(Error::config(format!(
            "num_concept_tokens: expected at least {named} (those of `concepts`), got {tokens}"
        )));
    }
    let mut taken = std::collections::HashSet::new();
    for concept in concepts {
        let name = &concept.name;
        let forbidden = |c: char| c.is_control() || ['<', '>', '/', '\\'].contains(&c);
        if name.is_empty() || name.trim() != name || name.contains(forbidden) {
            return Err(Error::config(format!(
                "concept name: expected a name without `<`, `>`, `/`, `\\` and line breaks, and without spaces at its ends, got \
                 {name:?}"
            )));
        }
        if concept.tokens() > 1025 {
            return Err(Error::config(format!("concept {name}: expected at most 1024 soft tokens")));
        }
        if let Some(token) = concept.names().into_iter().find(|token| !taken.insert(token.clone())) {
            return Err(Error::config(format!(
                "concept {name}: the token {token} is there already; give another name"
            )));
        }
    }
    Ok(())
}
