//! Calls that should end early, and instances that ended badly.

use std::time::{Duration, Instant};

use counterpoint_abi::{CPT_CANCELLED, CPT_PANIC, CPT_UNWRITTEN};

use crate::instance::{INJECT_PANIC, Prepared, Raw};
use crate::job::{pass, skip};
use crate::layout::{Layout, UNWRITTEN_VALUE};
use crate::subject::{Call, Scorer, Subject};
use crate::{Job, Outcome};

const ITEMS: usize = 32;
/// Least time that a call has to return in when it is asked to stop.
const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn cancel(subject: &dyn Subject) -> Outcome {
    returns_soon(subject, &Call { cancelled: true, ..Call::default() })
}

pub(super) fn deadline(subject: &dyn Subject) -> Outcome {
    returns_soon(subject, &Call { deadline: Some(Duration::from_millis(100)), ..Call::default() })
}

/// A call of many items returns within the time of a few.
fn returns_soon(subject: &dyn Subject, call: &Call) -> Outcome {
    let mut expert = subject.start()?;
    let begin = Instant::now();
    expert.score(&subject.kit().samples(1), &Call::default())?;
    let limit = call.deadline.unwrap_or_default() + PATIENCE.max(4 * begin.elapsed());
    let begin = Instant::now();
    let result = expert.score(&subject.kit().samples(ITEMS), call);
    let took = begin.elapsed();
    let how = match result {
        Ok(answers) if answers.status.contains(&CPT_UNWRITTEN) => {
            return Err("expected CPT_CANCELLED from a call that stopped early, got CPT_OK".into());
        }
        Ok(_) => "done",
        Err(failure) if failure.code == CPT_CANCELLED => "stopped",
        Err(failure) => return Err(format!("expected CPT_OK or CPT_CANCELLED, got {failure}")),
    };
    if took > limit {
        return Err(format!("expected a call of {ITEMS} items to return within {limit:.1?}, got {took:.1?}"));
    }
    expert.score(&subject.kit().samples(1), &Call::default()).map_err(|e| format!("the next call: {e}"))?;
    pass(format!("{how} after {took:.1?}"))
}

pub(super) fn poisoned(job: &Job) -> Outcome {
    let raw = Raw::open(job)?;
    let mut instance = raw.instance()?;
    match instance.inject_panic() {
        None => return skip(format!("the plugin has no extension {INJECT_PANIC}")),
        Some(Err(failure)) if failure.code == CPT_PANIC => {}
        Some(Err(failure)) => return Err(format!("expected {INJECT_PANIC} to return CPT_PANIC, got {failure}")),
        Some(Ok(())) => return Err(format!("expected {INJECT_PANIC} to return CPT_PANIC, got CPT_OK")),
    }
    let samples = raw.kit.samples(3);
    let mut prepared = Prepared::new(&samples, &Call::default(), &Layout::default(), raw.manifest.outputs.len())
        .map_err(|e| e.to_string())?;
    let code = instance.call(&mut prepared);
    if code != CPT_PANIC {
        return Err(format!("expected score of a poisoned instance to return CPT_PANIC, got {code}"));
    }
    let written = prepared.written();
    if written.status.iter().any(|s| *s != CPT_UNWRITTEN)
        || written.values.iter().any(|v| v.to_bits() != UNWRITTEN_VALUE)
    {
        return Err("expected a poisoned instance to write no score, got some".into());
    }
    drop(instance);
    raw.instance()?
        .score(&samples, &Call::default())
        .map_err(|e| format!("a new instance after a poisoned one: {e}"))?;
    pass("")
}
