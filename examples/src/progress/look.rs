//! What a terminal can show, by its environment.

use std::ffi::OsString;

/// What the display may draw with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// Block characters, which need a UTF-8 locale.
    pub unicode: bool,
    /// Colours.
    pub colour: bool,
}

impl Look {
    /// What the environment of this process says.
    pub fn from_env() -> Self {
        Self { unicode: supports_unicode::supports_unicode(), colour: Self::colour(|name| std::env::var_os(name)) }
    }

    /// Whether the variables that `env` looks up allow colour: `NO_COLOR` (<https://no-color.org>) is unset or empty,
    /// `CLICOLOR` is not `0`, and there is a `TERM` other than `dumb`.
    pub fn colour(env: impl Fn(&str) -> Option<OsString>) -> bool {
        let is = |name: &str, value: &str| env(name).is_some_and(|v| v == value);
        env("NO_COLOR").is_none_or(|v| v.is_empty())
            && !is("CLICOLOR", "0")
            && env("TERM").is_some()
            && !is("TERM", "dumb")
    }
}
