//! Several runs side by side.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use counterpoint::{Error, Result};

/// Cores of this machine.
pub fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Calls `work` on every item, `jobs` at a time, and gives the results in the order of the items.
///
/// The cores are shared out evenly: small models gain little from a second core, so that two runs of one core each are
/// done in about half the time of two runs of two cores one after the other. Results do not depend on `jobs`.
///
/// # Errors
/// The first error by order of items. Work that has begun is finished, no more is begun.
pub fn parallel<I: Sync, O: Send>(jobs: usize, items: &[I], work: impl Fn(&I) -> Result<O> + Sync) -> Result<Vec<O>> {
    let jobs = jobs.clamp(1, items.len().max(1));
    if jobs == 1 {
        return items.iter().map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let results: Vec<Mutex<Option<Result<O>>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let worker = || {
        let threads = (cores() / jobs).max(1);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        while let Some(i) = Some(next.fetch_add(1, Ordering::SeqCst)).filter(|&i| i < items.len()) {
            let result = match &pool {
                Ok(pool) => pool.install(|| work(&items[i])),
                Err(e) => Err(Error::config(format!("cannot start {threads} threads for run {i}: {e}"))),
            };
            if result.is_err() {
                next.store(items.len(), Ordering::SeqCst);
            }
            if let Ok(mut slot) = results[i].lock() {
                *slot = Some(result);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(worker);
        }
    });
    let mut found = Vec::new();
    let mut skipped = false;
    for slot in results {
        match slot.into_inner().ok().flatten() {
            Some(result) => found.push(result?),
            // Not begun: an item after it failed, or its worker panicked.
            None => skipped = true,
        }
    }
    match skipped {
        true => Err(Error::contract("expected every run to be done, got one that was not begun")),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::Barrier;

    #[test]
    fn results_keep_the_order_of_the_items_and_jobs_run_side_by_side() {
        let both = Barrier::new(2);
        let results = parallel(2, &[3, 1], |item| {
            // Hangs unless both are at work at once.
            both.wait();
            Ok(item * 10)
        });
        assert_eq!(results.unwrap(), [30, 10]);
        assert!(parallel(9, &[0_u8; 0], |item| Ok(*item)).unwrap().is_empty());
    }

    #[test]
    fn an_error_ends_it_and_no_more_is_begun() {
        let begun = AtomicUsize::new(0);
        let items: Vec<usize> = (0..64).collect();
        let result = parallel(2, &items, |item| {
            begun.fetch_add(1, Ordering::SeqCst);
            thread::sleep(std::time::Duration::from_millis(20));
            if *item == 1 { Err(Error::data("no")) } else { Ok(()) }
        });
        assert_eq!(result.unwrap_err().to_string(), "no");
        assert!(begun.load(Ordering::SeqCst) < 8);
    }

    #[test]
    fn every_job_has_its_share_of_the_cores() {
        let threads = parallel(2, &[0, 1], |_| Ok(rayon::current_num_threads())).unwrap();
        assert_eq!(threads, [(cores() / 2).max(1); 2]);
    }
}
