//! Batches of all sizes, and texts of all kinds.

use counterpoint_abi::{CPT_ABSTAIN, CPT_ERROR, CPT_FAIL, CPT_UNWRITTEN, CPT_VALUE};

use super::compare::{compare, compare_others};
use crate::instance::Raw;
use crate::job::pass;
use crate::layout::UNWRITTEN_VALUE;
use crate::samples::Sample;
use crate::subject::{Answers, Call, Failure, Scorer, Subject, status};
use crate::{Job, Outcome};

pub(super) fn no_items(subject: &dyn Subject) -> Outcome {
    let mut expert = subject.start()?;
    let call = Call::default();
    expert.score(&[], &call)?;
    expert.score(&subject.kit().samples(1), &call).map_err(|e| format!("after a call of no items: {e}"))?;
    pass("")
}

pub(super) fn many_items(subject: &dyn Subject) -> Outcome {
    let mut expert = subject.start()?;
    let mut detail = String::new();
    for n in [1, 2, 3, 33] {
        let answers = expert.score(&subject.kit().samples(n), &Call::default())?;
        for (i, code) in answers.status.iter().enumerate() {
            let unwritten = answers.values(i).iter().position(|v| v.to_bits() == UNWRITTEN_VALUE);
            match (*code, unwritten) {
                (CPT_UNWRITTEN, _) => return Err(format!("expected a status of item {i} of {n}, got none")),
                (CPT_VALUE, Some(output)) => {
                    return Err(format!("expected a value of output {output} of item {i} of {n}, got none"));
                }
                (CPT_VALUE | CPT_ABSTAIN | CPT_FAIL, _) => {}
                (code, _) => return Err(format!("expected a status of item {i} of {n}, got {code}")),
            }
        }
        detail = answers.summary();
    }
    pass(detail)
}

/// Scores the kit's items, some of them changed by `change`, and requires an answer.
fn changed(subject: &dyn Subject, change: impl Fn(usize, &mut Sample)) -> Outcome {
    let mut samples = subject.kit().samples(6);
    samples.iter_mut().enumerate().for_each(|(i, s)| change(i, s));
    pass(subject.start()?.score(&samples, &Call::default())?.summary())
}

pub(super) fn empty_text(subject: &dyn Subject) -> Outcome {
    changed(subject, |i, sample| {
        let texts = [&mut sample.prompt, &mut sample.response, &mut sample.class, &mut sample.params];
        for (k, text) in texts.into_iter().enumerate() {
            if i == k || i >= 4 {
                text.clear();
            }
        }
    })
}

pub(super) fn embedded_nul(subject: &dyn Subject) -> Outcome {
    changed(subject, |i, sample| {
        let text = [&mut sample.prompt, &mut sample.response, &mut sample.class];
        for (k, text) in text.into_iter().enumerate() {
            if i % 3 == k {
                text.extend(b"\0\0 and more\0");
            }
        }
    })
}

pub(super) fn invalid_utf8(job: &Job) -> Outcome {
    let raw = Raw::open(job)?;
    let samples = raw.kit.samples(7);
    let mut bad = samples.clone();
    bad[1].prompt = b"\xFF\xFE\x80".into();
    bad[3].response = b"cut off \xE2\x82".into();
    bad[5].class = b"\xC0\xAF".into();
    bad[6].params = b"{\"\xED\xA0\x80\": 1}".into();
    let (mut expert, call) = (raw.instance()?, Call::default());
    let (usual, got) = (expert.score(&samples, &call)?, expert.score(&bad, &call)?);
    let compared = compare_others(&raw, &usual, &got, &[1, 3, 5, 6])?;
    pass(format!("{}; {compared}", [1, 3, 5, 6].map(|i| status(got.status[i])).join(", ")))
}

pub(super) fn hostile(subject: &dyn Subject) -> Outcome {
    let kit = subject.kit();
    let (samples, call) = (kit.samples(4), Call::default());
    let mut expert = subject.start()?;
    let before = expert.score(&samples, &call)?;
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let params = ["{", "null", "[]", "\"text\"", "{\"facts\": 1}", "{\"facts\": [], \"target\": -1}", "1e999", &deep];
    let mut refused = 0;
    for (k, params) in params.iter().enumerate() {
        let mut nonsense = kit.samples(3);
        nonsense[k % 3].params = (*params).into();
        refused += is_refused(expert.score(&nonsense, &call))?;
    }
    let mut huge = kit.sample(0);
    huge.prompt = "word ".repeat(50_000).into();
    huge.response = "\u{10FFFF}".repeat(1_000).into();
    huge.candidate = u64::MAX;
    refused += is_refused(expert.score(&[huge], &call))?;
    let after = expert.score(&samples, &call).map_err(|e| format!("after nonsense: {e}"))?;
    compare(subject, &before, &after).map_err(|e| format!("before and after nonsense: {e}"))?;
    pass(format!("{refused} of {} calls refused as a whole", params.len() + 1))
}

/// 1 for a call that was refused with an error, 0 for one that was done.
fn is_refused(result: Result<Answers, Failure>) -> Result<usize, String> {
    match result {
        Ok(_) => Ok(0),
        Err(failure) if failure.code == CPT_ERROR => Ok(1),
        Err(failure) => Err(format!("expected CPT_OK or CPT_ERROR, got {failure}")),
    }
}
