//! The score in an answer.

use serde::{Deserialize, Serialize};

/// Which scores a judge may give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a list of numbers, or { least = A, most = B }")]
pub enum Grade {
    /// One of these.
    Steps(Vec<f64>),
    /// Anything from `least` to `most`.
    Range {
        /// The worst.
        least: f64,
        /// The best.
        most: f64,
    },
}

impl Default for Grade {
    /// 0, 0.5 or 1: irrelevant, partly right, right, as in UniCTokens' evaluation.
    fn default() -> Self {
        Self::Steps(vec![0.0, 0.5, 1.0])
    }
}

impl Grade {
    /// The score that `answer` gives, or why it gives none. An answer is a number, alone or after `Score:`, perhaps in
    /// quotes, in bold or with a full stop; a number somewhere in a sentence is none.
    ///
    /// # Errors
    /// What was expected and what came.
    pub fn read(&self, answer: &str) -> std::result::Result<f64, String> {
        let lower = answer.to_lowercase();
        let after = match lower.rfind("score:") {
            Some(at) => lower[at..].trim_start_matches(|c: char| c.is_alphabetic() || c == ':'),
            None => lower.as_str(),
        };
        let bare = after.trim().trim_matches(['*', '`', '"', '\'']).trim_end_matches('.').trim();
        match bare.parse::<f64>() {
            Ok(score) if self.has(score) => Ok(score),
            _ => Err(format!("expected {} as an answer, got {:?}", self.told(), shortened(answer))),
        }
    }

    fn has(&self, score: f64) -> bool {
        match self {
            Self::Steps(steps) => steps.contains(&score),
            Self::Range { least, most } => (*least..=*most).contains(&score),
        }
    }

    fn told(&self) -> String {
        match self {
            Self::Steps(steps) => {
                let steps: Vec<String> = steps.iter().map(f64::to_string).collect();
                format!("one of {}", steps.join(", "))
            }
            Self::Range { least, most } => format!("a number from {least} to {most}"),
        }
    }

    /// Whether there is something to tell apart.
    pub(crate) fn is_valid(&self) -> bool {
        match self {
            Self::Steps(steps) => steps.len() > 1 && steps.iter().all(|step| step.is_finite()),
            Self::Range { least, most } => least.is_finite() && most.is_finite() && least < most,
        }
    }
}

/// The beginning of a text, for messages.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_score_is_read_however_it_is_dressed_and_never_out_of_prose() {
        let grade = Grade::default();
        for (answer, score) in [
            ("1.0", 1.0),
            (" 0.5\n", 0.5),
            ("**0**", 0.0),
            ("Score:: 0.5", 0.5),
            ("The answer fits.\nScore: 1.", 1.0),
            ("`1`", 1.0),
        ] {
            assert_eq!(grade.read(answer), Ok(score), "{answer}");
        }
        for answer in ["", "yes", "I would say 1 of 2 is right", "0.7", "1/1", "NaN", "inf", "Score: none", "1.0 0.5"] {
            assert!(grade.read(answer).is_err(), "{answer}");
        }
        assert_eq!(grade.read("0.7").unwrap_err(), "expected one of 0, 0.5, 1 as an answer, got \"0.7\"");
        let range = Grade::Range { least: 0.0, most: 10.0 };
        assert_eq!((range.read("7.5"), range.read("11").is_err()), (Ok(7.5), true));
        assert!(range.read(&"x".repeat(10_000)).unwrap_err().len() < 300);
    }
}
