//! Lists in messages.

/// `a`, `a and b`, `a, b and c`.
pub(super) fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [only] => only.clone(),
        [rest @ .., last] => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn items_are_listed_in_english() {
        let listed = |items: &[&str]| super::listed(&items.iter().map(|i| (*i).to_owned()).collect::<Vec<_>>());
        assert_eq!((listed(&["a"]), listed(&["a", "b"])), ("a".into(), "a and b".into()));
        assert_eq!(listed(&["a", "b", "c"]), "a, b and c");
    }
}
