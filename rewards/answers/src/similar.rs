//! How alike two phrases are, word by word.

use std::collections::BTreeSet;

/// Words that are at least as alike as this count as the same in part.
const ALIKE: f64 = 0.8;

/// Jaccard's index of the two sets of words, in which words that are nearly the same count by how alike they are: CoRL's public measure
/// of an open answer. 0 of two empty phrases.
///
/// Words are paired in alphabetical order, each with the most alike that is left; in the public code the order is that of Python's
/// sets, which changes from run to run.
pub fn soft_jaccard(a: &str, b: &str) -> f64 {
    let words = |text: &str| text.to_lowercase().split_whitespace().map(str::to_owned).collect::<BTreeSet<String>>();
    let (a, b) = (words(a), words(b));
    let same = a.intersection(&b).count();
    let mut left: Vec<&String> = b.difference(&a).collect();
    let mut shared = same as f64;
    for word in a.difference(&b) {
        let alike =
            left.iter().enumerate().map(|(i, other)| (i, ratio(word, other))).filter(|(_, ratio)| *ratio >= ALIKE);
        let best = alike.reduce(|best, other| if other.1 > best.1 { other } else { best });
        if let Some((at, ratio)) = best {
            left.remove(at);
            shared += ratio;
        }
    }
    let union = (a.len() + b.len()) as f64 - shared;
    if union > 0.0 { shared / union } else { 0.0 }
}

/// Twice the characters that match over all of both, by Ratcliff and Obershelp: the longest common part, then what is left and right
/// of it (Python's `difflib`).
fn ratio(a: &str, b: &str) -> f64 {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    2.0 * matching(&a, &b) as f64 / (a.len() + b.len()).max(1) as f64
}

fn matching(a: &[char], b: &[char]) -> usize {
    let (mut at, mut longest) = ([0, 0], 0);
    for i in 0..a.len() {
        for j in 0..b.len() {
            let length = a[i..].iter().zip(&b[j..]).take_while(|(x, y)| x == y).count();
            if length > longest {
                (at, longest) = ([i, j], length);
            }
        }
    }
    let [i, j] = at;
    match longest {
        0 => 0,
        _ => longest + matching(&a[..i], &b[..j]) + matching(&a[i + longest..], &b[j + longest..]),
    }
}
