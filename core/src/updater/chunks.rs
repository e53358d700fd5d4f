//! The items of an update, cut into chunks that fit into memory.

use super::items::Item;
use crate::config::Chunk;
use crate::{Error, Policy, Replay, Result};

/// Cuts `items` into chunks of one segment kind and decoding, candidates in order.
pub(super) fn chunks<'i, 'a>(
    items: &'i [Item<'a>],
    size: Chunk,
    policy: &dyn Policy,
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
            Chunk::Memory(budget) => fill(&mut chunks, of_sort, budget.memory_mib.saturating_mul(1 << 20), policy)?,
        }
    }
    Ok(chunks)
}

/// As many items into each chunk as fit into `budget` bytes, at least one.
fn fill<'i, 'a>(
    chunks: &mut Vec<Vec<&'i Item<'a>>>,
    items: Vec<&'i Item<'a>>,
    budget: u64,
    policy: &dyn Policy,
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
                chunks.push(vec![item]);
            }
        }
    }
    Ok(())
}
