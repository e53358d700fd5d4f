//! Calls that should end early.

use std::time::{Duration, Instant};

use counterpoint_abi::{CPT_CANCELLED, CPT_UNWRITTEN};

use crate::Outcome;
use crate::job::pass;
use crate::subject::{Call, Subject};

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
