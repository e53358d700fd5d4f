//! Lists of names in messages.

/// How many names of one sort a message lists before it says "and N more".
const LISTED: usize = 8;

/// "missing: a, b; unexpected: c and 3 more", without the sorts that have no names.
pub(crate) fn complaints<const N: usize>(sorts: [(&str, Vec<String>); N]) -> String {
    let list = |(sort, names): (&str, Vec<String>)| {
        let shown = names.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
        match names.len().saturating_sub(LISTED) {
            0 => format!("{sort}: {shown}"),
            more => format!("{sort}: {shown} and {more} more"),
        }
    };
    let lists: Vec<String> = sorts.into_iter().filter(|(_, names)| !names.is_empty()).map(list).collect();
    lists.join("; ")
}
