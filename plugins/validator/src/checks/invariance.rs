//! What scores may and may not depend on.

use counterpoint_abi::{CPT_CAP_DETERMINISTIC, CPT_VALUE};
use counterpoint_host::{Judges, Output};

use super::compare::{BOTH, compare, compare_others, incomparable};
use crate::Outcome;
use crate::job::{pass, skip};
use crate::samples::Sample;
use crate::subject::{Answers, Call, Subject, status};

pub(super) fn deterministic(subject: &dyn Subject) -> Outcome {
    let samples = subject.kit().samples(7);
    let mut expert = subject.start()?;
    let call = Call { seed: 42, ..Call::default() };
    let first = expert.score(&samples, &call)?;
    if let Some(reason) = incomparable(subject, CPT_CAP_DETERMINISTIC, &first) {
        return skip(reason);
    }
    let second = expert.score(&samples, &call)?;
    compare(subject, &first, &second).map_err(|e| format!("the same call twice: {e}"))?;
    expert.score(&samples, &Call { seed: 43, ..Call::default() })?;
    let third = expert.score(&samples, &call)?;
    compare(subject, &first, &third).map_err(|e| format!("before and after a call with another seed: {e}"))?;
    let other = subject.start()?.score(&samples, &call)?;
    compare(subject, &first, &other).map_err(|e| format!("the same call in a new instance: {e}"))?;
    pass(first.summary())
}

pub(super) fn permutation(subject: &dyn Subject) -> Outcome {
    let n = 9;
    let samples = subject.kit().samples(n);
    let mut expert = subject.start()?;
    let usual = expert.score(&samples, &Call::default())?;
    if let Some(reason) = incomparable(subject, BOTH, &usual) {
        return skip(reason);
    }
    for order in [(0..n).rev().collect::<Vec<_>>(), (0..n).map(|i| (i * 4 + 3) % n).collect()] {
        let permuted: Vec<_> = order.iter().map(|i| samples[*i].clone()).collect();
        let got = expert.score(&permuted, &Call::default())?;
        for (at, i) in order.iter().enumerate() {
            usual.same(*i, &got, at).map_err(|e| format!("expected the same of item {i} in place {at}, got {e}"))?;
        }
    }
    pass("")
}

pub(super) fn batch_size(subject: &dyn Subject) -> Outcome {
    let samples = subject.kit().samples(9);
    let mut expert = subject.start()?;
    let usual = expert.score(&samples, &Call::default())?;
    if let Some(reason) = incomparable(subject, BOTH, &usual) {
        return skip(reason);
    }
    for size in [1, 2, 4] {
        for (chunk, part) in samples.chunks(size).enumerate() {
            let got = expert.score(part, &Call::default())?;
            for k in 0..part.len() {
                let i = chunk * size + k;
                usual
                    .same(i, &got, k)
                    .map_err(|e| format!("expected the same of item {i} among {size} and 9, got {e}"))?;
            }
        }
    }
    pass("")
}

pub(super) fn bad_item(subject: &dyn Subject) -> Outcome {
    let samples = subject.kit().samples(5);
    let mut bad = samples.clone();
    bad[2].params = b"{ no JSON".into();
    bad[2].prompt.clear();
    bad[2].response = "\0\u{FFFF}".into();
    let (mut expert, call) = (subject.start()?, Call::default());
    let (usual, got) = (expert.score(&samples, &call)?, expert.score(&bad, &call)?);
    let compared = compare_others(subject, &usual, &got, &[2])?;
    pass(format!("the bad item: {}; {compared}", status(got.status[2])))
}

pub(super) fn judges(subject: &dyn Subject) -> Outcome {
    let judges = subject.manifest().judges;
    let what = match judges {
        Judges::Understanding => "understanding, and other images",
        Judges::Generation => "generation, and other prompts and answers",
        Judges::Both => return pass("both"),
    };
    let samples = subject.kit().samples(7);
    let next = samples.iter().cycle().skip(1).cloned();
    let others: Vec<Sample> = samples
        .iter()
        .cloned()
        .zip(next)
        .map(|(sample, next)| match judges {
            Judges::Generation => Sample { prompt: next.prompt, response: next.response, ..sample },
            _ => Sample { image: next.image, ..sample },
        })
        .collect();
    let (mut expert, call) = (subject.start()?, Call::default());
    let usual = expert.score(&samples, &call)?;
    if let Some(reason) = incomparable(subject, CPT_CAP_DETERMINISTIC, &usual) {
        return skip(reason);
    }
    compare(subject, &usual, &expert.score(&others, &call)?).map_err(|e| format!("{what}: {e}"))?;
    pass(what)
}

pub(super) fn range(subject: &dyn Subject) -> Outcome {
    let mut expert = subject.start()?;
    let mut seen = Seen::of(subject);
    for seed in 0..3 {
        let answers = expert.score(&subject.kit().samples(24), &Call { seed, ..Call::default() })?;
        seen.add(&answers, |i| format!("item {i}"))?;
        if let Some(reason) = answers.why_none() {
            return skip(reason);
        }
    }
    pass(seen.summary())
}

/// What an expert's values came to.
pub(super) struct Seen<'a> {
    outputs: &'a [Output],
    /// Least and greatest of each output.
    ends: Vec<(f64, f64)>,
}

impl<'a> Seen<'a> {
    pub(super) fn of(subject: &'a dyn Subject) -> Self {
        let outputs = &subject.manifest().outputs;
        Self { outputs, ends: vec![(f64::INFINITY, f64::NEG_INFINITY); outputs.len()] }
    }

    /// Takes in these answers, of items that are called so.
    ///
    /// # Errors
    /// The first value that is not finite or not in its range.
    pub(super) fn add(&mut self, answers: &Answers, name: impl Fn(usize) -> String) -> Result<(), String> {
        // The bridge puts a failure in the place of what is outside.
        for (i, reason) in &answers.reasons {
            let refused =
                |name: &str| [format!("expected a finite `{name}`"), format!("expected `{name}` in the declared")];
            if self.outputs.iter().flat_map(|o| refused(&o.name)).any(|words| reason.starts_with(&words)) {
                return Err(format!("{}: {reason}", name(*i as usize)));
            }
        }
        for i in (0..answers.status.len()).filter(|i| answers.status[*i] == CPT_VALUE) {
            for ((value, output), seen) in answers.values(i).iter().zip(self.outputs).zip(&mut self.ends) {
                if let Some(reason) = output.refuse(*value) {
                    return Err(format!("{}: {reason}", name(i)));
                }
                *seen = (seen.0.min(*value), seen.1.max(*value));
            }
        }
        Ok(())
    }

    pub(super) fn summary(&self) -> String {
        let ends = self.outputs.iter().zip(&self.ends);
        let ends: Vec<String> =
            ends.map(|(o, (least, greatest))| format!("{} {least} to {greatest}", o.name)).collect();
        format!("seen: {}", ends.join(", "))
    }
}
