//! The items of an update, cut into chunks that fit into memory.

use std::sync::Once;

use super::items::Item;
use crate::config::Chunk;
use crate::{Error, Policy, Replay, Result};

/// Cuts `items` into chunks of one segment kind and decoding, candidates in order. Of items that take more than the budget one is
/// warned of, once in the life of `told`: they are much alike.
pub(super) fn chunks<'i, 'a>(
    items: &'i [Item<'a>],
    size: Chunk,
    policy: &dyn Policy,
    told: &Once,
) -> Result<Vec<Vec<&'i Item<'a>>>> {
    if size.amount() == 0 {
        return Err(Error::config("trainer.chunk: expected 1 or more, got 0"));
    }
    let sort = |item: &Item<'_>| (item.replay.segment().kind, item.replay.segment().decoding);
    let mut sorts = Vec::new();
    for item in items {
        if !sorts.contains(&sort(item)) {
            sorts.push(sort(item));
        }
    }
    let mut chunks = Vec::new();
    for wanted in sorts {
        let of_sort: Vec<&Item<'a>> = items.iter().filter(|item| sort(item) == wanted).collect();
        match size {
            Chunk::Sequences(count) => chunks.extend(of_sort.chunks(count).map(<[_]>::to_vec)),
            Chunk::Memory(budget) => {
                fill(&mut chunks, of_sort, budget.memory_mib.saturating_mul(1 << 20), policy, told)?;
            }
        }
    }
    Ok(chunks)
}

/// What to say when one item alone takes more than the budget.
fn above(bytes: u64, budget: u64) -> Option<String> {
    let mib = |bytes: u64| bytes.div_ceil(1 << 20);
    (bytes > budget).then(|| {
        format!(
            "trainer.chunk: one sequence alone takes about {} MiB, more than the budget of {} MiB for the chunks that are \
             computed at once, and is computed all the same; raise memory_mib, or have the policy take less, as with \
             gradient checkpointing",
            mib(bytes),
            mib(budget)
        )
    })
}

/// As many items into each chunk as fit into `budget` bytes, at least one.
fn fill<'i, 'a>(
    chunks: &mut Vec<Vec<&'i Item<'a>>>,
    items: Vec<&'i Item<'a>>,
    budget: u64,
    policy: &dyn Policy,
    told: &Once,
) -> Result<()> {
    let mut replays: Vec<Replay<'_>> = Vec::new();
    for item in items {
        replays.push(item.replay.clone());
        let bytes = policy.chunk_bytes(&replays).ok_or_else(|| {
            Error::config(
                "trainer.chunk: this policy does not know how much memory a chunk takes; expected a number of sequences, \
                 got a memory budget",
            )
        })?;
        match chunks.last_mut() {
            Some(chunk) if replays.len() > 1 && bytes <= budget => chunk.push(item),
            _ => {
                replays.drain(..replays.len() - 1);
                if let Some(message) = policy.chunk_bytes(&replays).and_then(|bytes| above(bytes, budget)) {
                    told.call_once(|| tracing::warn!("{message}"));
                }
                chunks.push(vec![item]);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_item_above_the_budget_is_told_of_with_both_numbers() {
        assert_eq!(above(8 << 20, 8 << 20), None);
        let message = above((8 << 20) + 1, 8 << 20).unwrap();
        assert!(message.contains("about 9 MiB") && message.contains("budget of 8 MiB"), "{message}");
    }
}
