//! Names of concepts, and the tokens `<name>` in texts.

/// What [`is_name`] asks for.
pub(crate) const RULE: &str = "a name without `<`, `>`, `/`, `\\`, control characters, and spaces at the ends";

/// Whether a folder and a token can be called so.
pub fn is_name(name: &str) -> bool {
    let bad = |c: char| c.is_control() || ['<', '>', '/', '\\'].contains(&c);
    !name.is_empty() && name.trim() == name && name != "." && name != ".." && !name.contains(bad)
}

/// A name without its brackets.
pub(crate) fn bare(name: &str) -> &str {
    name.strip_prefix('<').and_then(|n| n.strip_suffix('>')).unwrap_or(name)
}

/// What stands between angle brackets in `text` and could be a concept's name, in order.
pub(crate) fn tokens(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for part in text.split('<').skip(1) {
        if let Some((name, _)) = part.split_once('>').filter(|(name, _)| is_name(name)) {
            found.push(name);
        }
    }
    found
}

/// Tokens that are no concepts: a picture's place in a prompt, and soft tokens.
pub(crate) fn is_reserved(token: &str) -> bool {
    token == "image" || token.strip_prefix("token_").is_some_and(|n| n.chars().all(|c| c.is_ascii_digit()))
}

/// The one of `names` that `name` may be a slip of.
pub(crate) fn nearest<'a>(name: &str, names: &[&'a str]) -> Option<&'a str> {
    let near = names.iter().map(|n| (strsim::damerau_levenshtein(n, name), *n)).min()?;
    (near.0 <= 2 && near.0 < name.chars().count()).then_some(near.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_names_in_brackets() {
        assert_eq!(tokens("<bo> and <O'Neil jr.>: 3 < 4 > 2, <>, < bo>, <a<b>"), ["bo", "O'Neil jr.", "b"]);
        assert!(is_reserved("image") && is_reserved("token_12") && !is_reserved("token_x"));
        assert_eq!(nearest("misso", &["vera", "miso"]), Some("miso"));
        assert_eq!(nearest("ab", &["xy"]), None);
    }
}
