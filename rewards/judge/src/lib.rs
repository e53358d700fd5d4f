//! A judge behind an OpenAI-compatible endpoint (chat, with images): as a reward, and for evaluations that ask a language model.
//!
//! [`Judge::ask`] puts [`Question`]s and returns what was answered, in order: several at a time, again after a pause where the
//! endpoint is busy or fails, never more calls than the budget allows, and never twice the same question, as every answer is kept
//! in a [`Ledger`]. [`Grade`] reads the score in an answer. Where there is none there is no score: nothing is invented.

mod endpoint;
mod grade;
mod judge;
mod ledger;
mod question;
mod retry;
mod reward;

pub use endpoint::EndpointConfig;
pub use grade::Grade;
pub use judge::{Judge, Refusal};
pub use ledger::{Entry, Ledger, Usage};
pub use question::Question;
pub use reward::{About, JudgeReward, JudgeRewardConfig};
