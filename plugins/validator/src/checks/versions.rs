//! Hosts that are newer than the plugin.

use super::compare::compare;
use crate::instance::Raw;
use crate::job::pass;
use crate::layout::Layout;
use crate::subject::{Call, Scorer};
use crate::{Job, Outcome};

pub(super) fn newer_host(job: &Job) -> Outcome {
    with_layout(job, &Layout { garbage: 40, minor: 1_000, ..Layout::default() })
}

pub(super) fn larger_strides(job: &Job) -> Outcome {
    with_layout(job, &Layout { gap: 24, ..Layout::default() })
}

/// The scores of a call in `layout` are those of a usual call.
pub(super) fn with_layout(job: &Job, layout: &Layout) -> Outcome {
    let raw = Raw::open(job)?;
    let samples = raw.kit.samples(7);
    let usual = raw.instance()?.score(&samples, &Call::default())?;
    let got = raw.instance_of(layout)?.score_as(&samples, &Call::default(), layout)?;
    pass(compare(&raw, &usual, &got)?)
}
