//! Calls from several threads.

use std::sync::Barrier;
use std::thread;

use super::compare::compare;
use crate::instance::Raw;
use crate::job::{pass, skip};
use crate::subject::{Answers, Call, Scorer};
use crate::{Job, Outcome};

const DIED: &str = "the validator's thread ended early";

pub(super) fn moved(job: &Job) -> Outcome {
    let raw = Raw::open(job)?;
    let samples = raw.kit.samples(5);
    let usual = raw.instance()?.score(&samples, &Call::default())?;
    let mut instance = raw.instance()?;
    let (instance, got) = thread::scope(|scope| {
        let worker = scope.spawn(|| {
            let got = instance.score(&samples, &Call::default());
            (instance, got)
        });
        worker.join().map_err(|_| DIED)
    })?;
    compare(&raw, &usual, &got.map_err(|e| format!("on another thread: {e}"))?)?;
    thread::scope(|scope| scope.spawn(move || drop(instance)).join().map_err(|_| DIED))?;
    pass("")
}

pub(super) fn concurrent(job: &Job) -> Outcome {
    const THREADS: usize = 4;
    let raw = Raw::open(job)?;
    if !raw.library.is_concurrent() {
        return skip("the plugin does not promise CPT_CAP_CONCURRENT");
    }
    let samples = raw.kit.samples(9);
    let usual = raw.instance()?.score(&samples, &Call::default())?;
    let barrier = Barrier::new(THREADS);
    let work = || -> Result<Vec<Answers>, String> {
        barrier.wait();
        let mut instance = raw.instance()?;
        Ok((0..4).map(|_| instance.score(&samples, &Call::default())).collect::<Result<_, _>>()?)
    };
    let results: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        workers.into_iter().map(|w| w.join().map_err(|_| DIED.to_owned())?).collect()
    });
    for result in results {
        for got in result.map_err(|e| format!("beside other instances: {e}"))? {
            compare(&raw, &usual, &got).map_err(|e| format!("alone and beside other instances: {e}"))?;
        }
    }
    pass(format!("{THREADS} threads"))
}
