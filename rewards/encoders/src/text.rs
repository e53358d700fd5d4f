//! One form for texts that mean the same, before a text tower reads them.

/// Writes `text` in the form that the reward experts embed:
/// concept tokens lose their brackets (`<ada>` becomes `ada`, which keeps the identity as a word that a tower can
/// read), letters are lower case, punctuation other than `.`, `'` and `-` becomes a space, blanks are single,
/// and there is one full stop at the end of a text and of each of its sentences.
///
/// The same function is applied to reasoning, facts and prompts, in training and in scoring.
pub fn normalise(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            '!' | '?' | ';' | ':' | '。' => out.push('.'),
            '.' | '\'' | '-' => out.push(c),
            c if c.is_alphanumeric() => out.push(c),
            _ => out.push(' '),
        }
    }
    let sentences: Vec<String> =
        out.split('.').map(|s| s.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|s| !s.is_empty()).collect();
    if sentences.is_empty() { String::new() } else { sentences.join(". ") + "." }
}

#[cfg(test)]
mod tests {
    use super::normalise;

    #[test]
    fn punctuation_and_brackets_do_not_matter() {
        let form = "a photo of ada by the sea. a red hat at the beach.";
        for text in [
            "A photo of <ada> by the sea. A red hat at the beach.",
            "a photo of ada by  the sea! a red hat at the beach",
            " a photo of <ada> by the sea.. a \"red\", hat at the beach ;",
        ] {
            assert_eq!(normalise(text), form);
        }
        assert_eq!(normalise(form), form);
        assert_eq!(normalise(" <> ?"), "");
    }
}
