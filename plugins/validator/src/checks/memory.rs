//! Pages that nobody may write, or touch at all: a step too far ends this process.

use super::compare::compare;
use super::versions::with_layout;
use crate::job::pass;
use crate::layout::Layout;
use crate::pages::Place;
use crate::subject::{Call, Scorer};
use crate::{Job, Outcome, instance::Raw};

pub(super) fn read_only_inputs(job: &Job) -> Outcome {
    with_layout(job, &Layout { read_only: true, ..Layout::default() })
}

pub(super) fn guarded_inputs(job: &Job) -> Outcome {
    with_layout(job, &Layout { inputs: Place::BeforeGuard, ..Layout::default() })?;
    with_layout(job, &Layout { inputs: Place::AfterGuard, ..Layout::default() })
}

pub(super) fn guarded_outputs(job: &Job) -> Outcome {
    let raw = Raw::open(job)?;
    let (mut instance, call) = (raw.instance()?, Call::default());
    for n in [0, 1, 2, 33] {
        let samples = raw.kit.samples(n);
        let usual = instance.score(&samples, &call)?;
        for outputs in [Place::BeforeGuard, Place::AfterGuard] {
            let got = instance.score_as(&samples, &call, &Layout { outputs, ..Layout::default() })?;
            compare(&raw, &usual, &got)?;
        }
    }
    pass("")
}
