//! What a run noted in words: why scores failed, groups were left out and steps skipped.

use counterpoint::metrics::Metrics;
use maud::{Markup, html};

/// Notes that are shown; the others are counted.
const SHOWN: usize = 20;

/// Every note once, the most frequent first; `None` when nothing was noted.
pub fn html(history: &[(u64, Metrics)]) -> Option<Markup> {
    let mut notes: Vec<(&str, u64, usize)> = Vec::new();
    for (step, metrics) in history {
        for note in metrics.notes() {
            match notes.iter_mut().find(|(text, ..)| text == note) {
                Some((.., count)) => *count += 1,
                None => notes.push((note, *step, 1)),
            }
        }
    }
    // Stable: of equally frequent ones the earlier first.
    notes.sort_by_key(|(.., count)| std::cmp::Reverse(*count));
    let more = notes.len().saturating_sub(SHOWN);
    (!notes.is_empty()).then(|| {
        html! {
            div.scroll tabindex="0" {
                table {
                    thead { tr { th scope="col" { "Note" } th scope="col" { "Steps" } th scope="col" { "First" } } }
                    tbody {
                        @for (text, first, count) in notes.iter().take(SHOWN) {
                            tr { td { (text) } td { (count) } td { (first) } }
                        }
                    }
                }
                @if more > 0 { p { "And " (more) " more, in metrics.jsonl." } }
            }
        }
    })
}
