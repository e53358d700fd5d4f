//! Which endpoint, and how it is called.

use std::path::PathBuf;
use std::time::Duration;

use counterpoint::{Error, Result};
use serde::{Deserialize, Serialize};

/// An OpenAI-compatible endpoint and how it is called. The key is never in a config: `key_env` names the variable of the environment that has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EndpointConfig {
    /// Address up to and without `/chat/completions`, such as `http://localhost:8000/v1`. Default: that in the environment's
    /// `OPENAI_BASE_URL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// The model's name. Default: that in the environment's `OPENAI_MODEL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The variable of the environment that has the key; where it is not set, none is sent. Default: `OPENAI_API_KEY`.
    pub key_env: String,
    /// Calls at once, 1 or more. Default: 4.
    pub concurrency: usize,
    /// How often a call is made before it is given up, 1 or more. Default: 5.
    pub attempts: u32,
    /// Seconds that a call may take, above 0. Default: 60.
    pub timeout_s: f64,
    /// Tokens of an answer at most, 1 or more. Default: 16.
    pub max_tokens: u32,
    /// Calls at most in the life of the judge, failed ones included. Default: no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_calls: Option<u64>,
    /// Folder of the [`Ledger`](crate::Ledger). Default: none, and equal questions are asked again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ledger: Option<PathBuf>,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            base_url: None,
            model: None,
            key_env: "OPENAI_API_KEY".to_owned(),
            concurrency: 4,
            attempts: 5,
            timeout_s: 60.0,
            max_tokens: 16,
            max_calls: None,
            ledger: None,
        }
    }
}

/// What [`EndpointConfig`] comes to in an environment.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub url: String,
    pub model: String,
    pub key: Option<String>,
    pub timeout: Duration,
}

impl EndpointConfig {
    /// Checks the ranges and looks up what is left to the environment.
    pub(crate) fn resolve(&self, env: impl Fn(&str) -> Option<String>) -> Result<Endpoint> {
        let wrong = |key: &str, expected: &str, got: String| {
            Err(Error::config(format!("judge: expected {key} of {expected}, got {got}")))
        };
        if self.concurrency == 0 {
            return wrong("concurrency", "1 or more", "0".to_owned());
        }
        if self.attempts == 0 {
            return wrong("attempts", "1 or more", "0".to_owned());
        }
        if self.max_tokens == 0 {
            return wrong("max_tokens", "1 or more", "0".to_owned());
        }
        let timeout = match Duration::try_from_secs_f64(self.timeout_s) {
            Ok(timeout) if !timeout.is_zero() => timeout,
            _ => return wrong("timeout_s", "a finite number above 0", self.timeout_s.to_string()),
        };
        let given = |set: &Option<String>, key: &str, variable: &str| {
            set.clone().or_else(|| env(variable)).filter(|value| !value.is_empty()).ok_or_else(|| {
                Error::config(format!(
                    "judge: expected {key} in the config or {variable} in the environment, got neither"
                ))
            })
        };
        let base = given(&self.base_url, "base_url", "OPENAI_BASE_URL")?;
        if !(base.starts_with("http://") || base.starts_with("https://")) {
            return wrong("base_url", "the form http://HOST or https://HOST", format!("`{base}`"));
        }
        Ok(Endpoint {
            url: format!("{}/chat/completions", base.trim_end_matches('/')),
            model: given(&self.model, "model", "OPENAI_MODEL")?,
            key: env(&self.key_env).filter(|key| !key.is_empty()),
            timeout,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_config_comes_before_the_environment_and_the_key_is_there_alone() {
        let env = |name: &str| {
            let known = [("OPENAI_BASE_URL", "https://a.example/v1/"), ("OPENAI_MODEL", "m"), ("MINE", "secret")];
            known.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        let found = EndpointConfig::default().resolve(env).unwrap();
        assert_eq!((found.url.as_str(), found.model.as_str()), ("https://a.example/v1/chat/completions", "m"));
        assert_eq!(found.key, None);
        let own = EndpointConfig {
            base_url: Some("http://localhost:1".into()),
            model: Some("n".into()),
            key_env: "MINE".into(),
            ..EndpointConfig::default()
        };
        let found = own.resolve(env).unwrap();
        assert_eq!((found.url.as_str(), found.model.as_str()), ("http://localhost:1/chat/completions", "n"));
        assert_eq!(found.key.as_deref(), Some("secret"));
    }

    #[test]
    fn what_is_missing_or_out_of_range_is_named() {
        let refused = |change: fn(&mut EndpointConfig)| {
            let mut config = EndpointConfig {
                base_url: Some("http://h".into()),
                model: Some("m".into()),
                ..EndpointConfig::default()
            };
            change(&mut config);
            config.resolve(|_| None).unwrap_err().to_string()
        };
        type Change = fn(&mut EndpointConfig);
        let cases: [(Change, &str); 6] = [
            (|c| c.base_url = None, "OPENAI_BASE_URL"),
            (|c| c.model = None, "OPENAI_MODEL"),
            (|c| c.base_url = Some("localhost:80".into()), "http://HOST"),
            (|c| c.concurrency = 0, "concurrency"),
            (|c| c.timeout_s = f64::NAN, "timeout_s"),
            (|c| c.attempts = 0, "attempts"),
        ];
        for (change, expected) in cases {
            let message = refused(change);
            assert!(message.contains(expected), "{message}");
        }
    }
}
