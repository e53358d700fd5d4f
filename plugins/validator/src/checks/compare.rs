//! Whether two calls scored the same.

use counterpoint_abi::{CPT_CAP_BATCH_INVARIANT, CPT_CAP_DETERMINISTIC};

use crate::subject::{Answers, Subject};

/// What an expert promises whose item has the same scores in every call.
pub(super) const BOTH: u64 = CPT_CAP_DETERMINISTIC | CPT_CAP_BATCH_INVARIANT;

/// Two calls of the same items have the same answers, to the last bit, if the expert is deterministic. Says what was compared.
pub(super) fn compare(subject: &dyn Subject, usual: &Answers, got: &Answers) -> Result<String, String> {
    compare_but(subject, CPT_CAP_DETERMINISTIC, usual, got, &[])
}

/// As [`compare`], for two calls that differ in the items `changed`, if the expert is batch-invariant too.
pub(super) fn compare_others(
    subject: &dyn Subject,
    usual: &Answers,
    got: &Answers,
    changed: &[usize],
) -> Result<String, String> {
    compare_but(subject, BOTH, usual, got, changed)
}

fn compare_but(
    subject: &dyn Subject,
    promise: u64,
    usual: &Answers,
    got: &Answers,
    changed: &[usize],
) -> Result<String, String> {
    if usual.status.len() != got.status.len() {
        return Err(format!("expected {} items to be answered, got {}", usual.status.len(), got.status.len()));
    }
    if let Some(reason) = incomparable(subject, promise, usual) {
        return Ok(format!("not compared: {reason}"));
    }
    for i in (0..usual.status.len()).filter(|i| !changed.contains(i)) {
        usual.same(i, got, i).map_err(|e| format!("expected the same of item {i}, got {e}"))?;
    }
    Ok("the same scores".into())
}

/// Why scores cannot be compared of an expert that has to promise `bits`, if they cannot.
pub(super) fn incomparable(subject: &dyn Subject, bits: u64, answers: &Answers) -> Option<String> {
    if subject.capabilities() & bits == bits {
        return answers.why_none();
    }
    let names =
        if bits == BOTH { "CPT_CAP_DETERMINISTIC and CPT_CAP_BATCH_INVARIANT" } else { "CPT_CAP_DETERMINISTIC" };
    Some(format!("the plugin does not promise {names}"))
}
