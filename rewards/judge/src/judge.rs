//! Asking.

use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use counterpoint::{Error, Result};
use serde::Deserialize;
use ureq::Agent;

use crate::endpoint::Endpoint;
use crate::grade::shortened;
use crate::retry::{is_passing, pause};
use crate::{EndpointConfig, Entry, Ledger, Question, Usage};

/// A judge: an endpoint, a budget and a ledger.
pub struct Judge {
    endpoint: Endpoint,
    config: EndpointConfig,
    agent: Agent,
    ledger: Option<Ledger>,
    calls: AtomicU64,
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

type Answered = Result<std::result::Result<String, Refusal>>;

/// What became of one call.
enum Called {
    Answered(String, Usage),
    /// It may be different later, after this long if the endpoint says.
    Again(String, Option<String>),
    /// It will not.
    Never(String),
}

/// The part of a chat completion that is read.
#[derive(Deserialize)]
struct Completion {
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Usage,
}

#[derive(Deserialize)]
struct Choice {
    message: Message,
}

#[derive(Deserialize)]
struct Message {
    content: Option<String>,
}

impl Judge {
    /// A judge behind the endpoint that `config` and the environment name. Nothing is called yet.
    ///
    /// # Errors
    /// [`Config`](counterpoint::ErrorKind::Config) naming what is missing or out of range.
    pub fn new(config: EndpointConfig) -> Result<Self> {
        let endpoint = config.resolve(|name| std::env::var(name).ok())?;
        let agent = Agent::config_builder().timeout_global(Some(endpoint.timeout)).http_status_as_error(false).build();
        let ledger = config.ledger.clone().map(Ledger::new);
        Ok(Self { endpoint, config, agent: agent.into(), ledger, calls: AtomicU64::new(0) })
    }

    /// Calls made so far, failed ones included; what the ledger knew is none.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// What the judge says to each of `questions`, in order, or why it says nothing: the endpoint failed as often as it may, refused, answered
    /// something that is no chat completion, or the budget is used up. What was answered is in the ledger by then, so that
    /// asking again costs what is missing.
    ///
    /// # Errors
    /// [`Io`](counterpoint::ErrorKind::Io) or [`Data`](counterpoint::ErrorKind::Data) when the ledger cannot be read or written.
    pub fn ask(&self, questions: &[Question]) -> Result<Vec<std::result::Result<String, Refusal>>> {
        let next = AtomicUsize::new(0);
        let answers: Vec<Mutex<Option<Answered>>> = questions.iter().map(|_| Mutex::new(None)).collect();
        let work = || {
            loop {
                let place = next.fetch_add(1, Ordering::SeqCst);
                let Some(question) = questions.get(place) else { return };
                let answer = self.ask_one(question);
                if let Ok(mut slot) = answers[place].lock() {
                    *slot = Some(answer);
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.config.concurrency.min(questions.len()) {
                scope.spawn(work);
            }
        });
        let taken = |slot: Mutex<Option<_>>| slot.into_inner().ok().flatten();
        let missing = || Err(Error::contract("expected every question to be asked, got one that was not"));
        answers.into_iter().map(|slot| taken(slot).unwrap_or_else(missing)).collect()
    }

    fn ask_one(&self, question: &Question) -> Answered {
        let (model, max_tokens) = (self.endpoint.model.as_str(), self.config.max_tokens);
        let key = question.key(model, max_tokens);
        if let Some(known) = self.ledger.as_ref().map(|ledger| ledger.get(&key)).transpose()?.flatten() {
            return Ok(Ok(known.answer));
        }
        let body = question.body(model, max_tokens)?.to_string();
        let mut attempt = 0;
        let (answer, usage) = loop {
            if !self.afford() {
                let most = self.config.max_calls.unwrap_or_default();
                return Ok(Err(Refusal(format!("the budget of {most} calls (max_calls) is used up"))));
            }
            let (why, after) = match self.call(&body) {
                Called::Answered(answer, usage) => break (answer, usage),
                Called::Never(why) => return Ok(Err(Refusal(why))),
                Called::Again(why, after) => (why, after),
            };
            attempt += 1;
            if attempt == self.config.attempts {
                return Ok(Err(Refusal(format!("{why}, {attempt} times"))));
            }
            tracing::debug!("the judge is asked again: {why}");
            thread::sleep(pause(attempt - 1, after.as_deref(), &key));
        };
        if let Some(ledger) = &self.ledger {
            let Question { system, text, images } = question.clone();
            let entry = Entry { model: model.to_owned(), system, text, images: images.len(), answer, usage };
            ledger.put(&key, &entry)?;
            return Ok(Ok(entry.answer));
        }
        Ok(Ok(answer))
    }

    /// Counts one more call, if the budget has one.
    fn afford(&self) -> bool {
        let most = self.config.max_calls.unwrap_or(u64::MAX);
        self.calls.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |calls| (calls < most).then_some(calls + 1)).is_ok()
    }

    fn call(&self, body: &str) -> Called {
        let mut request = self.agent.post(&self.endpoint.url).content_type("application/json");
        if let Some(key) = &self.endpoint.key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let url = &self.endpoint.url;
        let mut response = match request.send(body) {
            Ok(response) => response,
            Err(e) => return Called::Again(format!("{url} cannot be asked: {e}"), None),
        };
        let status = response.status().as_u16();
        let after = response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let text = match response.body_mut().read_to_string() {
            Ok(text) => text,
            Err(e) => return Called::Again(format!("{url} broke off its answer: {e}"), after),
        };
        if status != 200 {
            let why = format!("{url} answered with status {status}: {:?}", shortened(&text));
            return if is_passing(status) { Called::Again(why, after) } else { Called::Never(why) };
        }
        let content = serde_json::from_str::<Completion>(&text).ok().and_then(|completion| {
            let Completion { choices, usage } = completion;
            Some((choices.into_iter().next()?.message.content?, usage))
        });
        match content {
            Some((answer, usage)) => Called::Answered(answer, usage),
            None => Called::Again(format!("{url} answered with no chat completion: {:?}", shortened(&text)), after),
        }
    }
}

/// Without the key.
impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Endpoint { url, model, .. } = &self.endpoint;
        f.debug_struct("Judge")
            .field("url", url)
            .field("model", model)
            .field("calls", &self.calls())
            .finish_non_exhaustive()
    }
}
