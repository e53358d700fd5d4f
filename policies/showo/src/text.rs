//! Text to token ids and back: a `tokenizer.json` checked against the model's config.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use counterpoint::{Error, Result};
use tokenizers::Tokenizer;

use crate::concepts::Concept;
use crate::config::ShowoConfig;
use crate::public;

/// The text tokenizer of one model.
///
/// A concept is given by its name alone, such as `<ada>`, and brings its soft tokens:
///
/// - a [`Concept`] of the config as UniCTokens does: all of them before the name in a prompt, and a question about it
///   begins with `<ada> is <ada_0>..<ada_15>.` (with one concept, `<token_0>`, .. may be written for them too);
/// - any other that has `<ada_0> <ada_1> ..` in the vocabulary: these before the name, in prompts and questions.
#[derive(Debug, Clone)]
pub struct TextTokenizer {
    tokenizer: Tokenizer,
    concepts: Vec<Concept>,
    question_template: String,
    /// Soft tokens by the id of their concept, for concepts that are not in the config.
    soft: HashMap<u32, Vec<u32>>,
}

impl TextTokenizer {
    /// Reads `tokenizer.json`, or a folder with it or with `vocab.json`, `merges.txt` and `added_tokens.json`, and checks
    /// that it is the one `config` was made for.
    ///
    /// # Errors
    /// [`Weights`](counterpoint::ErrorKind::Weights) when a file cannot be read, and as [`new`](Self::new).
    pub fn load(path: &Path, config: &ShowoConfig) -> Result<Self> {
        let tokenizer = public::read_tokenizer(path)?;
        Self::new(tokenizer, config).map_err(|e| e.at(path.display()))
    }

    /// Writes `tokenizer.json` with all the tokens of the model.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) when the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.tokenizer
            .save(path, true)
            .map_err(|e| Error::io("cannot write", path, std::io::Error::other(e.to_string())))
    }

    /// Wraps a tokenizer that is already in memory. Without Show-o's special tokens, or without the tokens of a concept,
    /// it gets them as the originals append them.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) when a special token is missing or has another id than in `config`, or
    /// the vocabulary has another size.
    pub fn new(mut tokenizer: Tokenizer, config: &ShowoConfig) -> Result<Self> {
        public::complete_tokenizer(&mut tokenizer, config)?;
        if let Some(id) = tokenizer.token_to_id("<|endoftext|>").filter(|id| *id != config.eos_id) {
            return Err(Error::config(format!(
                "<|endoftext|>: expected id {} (eos_id), got {id}; config.json and the tokenizer belong to different \
                 models",
                config.eos_id
            )));
        }
        for (name, expected) in config.special_token_ids.named() {
            match tokenizer.token_to_id(name) {
                Some(id) if id == expected => {}
                got => {
                    let got = got.map_or("no such token".into(), |id| format!("id {id}"));
                    return Err(Error::config(format!(
                        "special token {name}: expected id {expected} as in the config, got {got}; config.json and \
                         tokenizer.json belong to different models"
                    )));
                }
            }
        }
        let size = tokenizer.get_vocab_size(true);
        if size > config.text_vocab_size {
            return Err(Error::config(format!(
                "expected at most {} text tokens (text_vocab_size), got {size} in the tokenizer",
                config.text_vocab_size
            )));
        }
        let mut this = Self {
            tokenizer,
            concepts: config.concepts.clone(),
            question_template: config.question_template.clone(),
            soft: HashMap::new(),
        };
        this.soft = this.find_soft_tokens()?;
        Ok(this)
    }

    /// Every concept that has a token `<name_0>` and is not in the config, with `<name_0>`, `<name_1>`, ..
    fn find_soft_tokens(&self) -> Result<HashMap<u32, Vec<u32>>> {
        let vocabulary = self.tokenizer.get_vocab(true);
        let mut found = HashMap::new();
        for name in vocabulary.keys().filter_map(|token| token.strip_prefix('<')?.strip_suffix("_0>")) {
            if self.concepts.iter().any(|concept| concept.name == name) {
                continue;
            }
            let soft = (0..).map_while(|k| vocabulary.get(&format!("<{name}_{k}>")).copied()).collect();
            found.insert(self.concept_id(&format!("<{name}>"))?, soft);
        }
        Ok(found)
    }

    /// Token ids of a prompt, concepts expanded, without begin or end of text.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when the tokenizer refuses the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut text = self.renamed(text);
        for concept in &self.concepts {
            // Who has written the soft tokens out has placed them where they belong.
            if !text.contains(&concept.soft(1)) {
                text = text.replace(&concept.token(), &concept.expansion());
            }
        }
        self.with_soft(&text)
    }

    /// Token ids of a compound prompt: as [`encode`](Self::encode), with the soft tokens of each concept once, where it is
    /// named first. That is in the base prompt, which the originals expand alone; a reasoning that names the concept again
    /// takes no more room.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_prompt(&self, prompt: &str) -> Result<Vec<u32>> {
        let mut prompt = self.renamed(prompt);
        for concept in &self.concepts {
            if !prompt.contains(&concept.soft(1)) {
                prompt = prompt.replacen(&concept.token(), &concept.expansion(), 1);
            }
        }
        let mut named = HashSet::new();
        let mut ids = Vec::new();
        for id in self.pieces(&prompt)? {
            if named.insert(id) {
                ids.extend(self.soft.get(&id).into_iter().flatten());
            }
            ids.push(id);
        }
        Ok(ids)
    }

    /// The characters of `text` that no token can write: the model would not see them.
    pub fn unwritable(&self, text: &str) -> Vec<char> {
        let mut lost: Vec<char> = text.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
        lost.sort_unstable();
        lost.dedup();
        let whole = |c: &char| {
            let text = c.to_string();
            self.pieces(&text).and_then(|ids| self.decode(&ids)).is_ok_and(|back| back.contains(*c))
        };
        lost.retain(|c| !whole(c));
        lost
    }

    /// Token ids of a question in the model's template, preceded by what is known of the concepts it names.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_question(&self, question: &str) -> Result<Vec<u32>> {
        let question = self.renamed(question);
        let named = self.concepts.iter().filter(|c| question.contains(&c.token()) && !question.contains(&c.soft(1)));
        let statements: String = named.map(Concept::statement).collect();
        self.with_soft(&self.question_template.replace("{question}", &(statements + &question)))
    }

    /// Token ids of an answer, as it follows a question: concepts by their names alone.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_answer(&self, answer: &str) -> Result<Vec<u32>> {
        self.pieces(&format!(" {}", answer.trim()))
    }

    /// UniCTokens' `<token_0>`, .. under the name of the only concept.
    fn renamed(&self, text: &str) -> String {
        match &self.concepts[..] {
            [only] => text.replace("<token_", &format!("<{}_", only.name)),
            _ => text.to_owned(),
        }
    }

    /// Token ids, with the soft tokens of concepts that are not in the config.
    fn with_soft(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.pieces(text)?;
        Ok(match self.soft.is_empty() {
            true => ids,
            false => ids.iter().flat_map(|id| self.soft.get(id).into_iter().flatten().chain([id])).copied().collect(),
        })
    }

    fn pieces(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self
            .tokenizer
            .encode(text, false)
            .map_err(|e| Error::data(format!("cannot tokenise {text:?}")).with_source(e))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of `ids`; special tokens and ids outside of the text vocabulary are left out.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when the tokenizer cannot put the tokens together.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        let text =
            self.tokenizer.decode(ids, true).map_err(|e| Error::data("cannot decode token ids").with_source(e))?;
        Ok(text.trim().to_owned())
    }

    /// The one token that stands for a concept such as `<ada>`.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when the name is not one token of the vocabulary.
    pub fn concept_id(&self, name: &str) -> Result<u32> {
        match self.pieces(name)?[..] {
            [id] => Ok(id),
            ref pieces => Err(Error::data(format!(
                "concept {name}: expected one token of its own, got {} pieces; add it to tokenizer.json",
                pieces.len()
            ))),
        }
    }
}
