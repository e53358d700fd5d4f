//! Hosts that are newer than the plugin, and hosts that cannot be.

use counterpoint_abi::{CPT_BATCH_SIZE_0, CPT_IMAGE_SIZE_0, CPT_ITEM_SIZE_0, CPT_OK, CPT_SCORES_SIZE_0};

use super::compare::compare;
use crate::instance::{Prepared, Raw};
use crate::job::pass;
use crate::layout::{Claim, Layout};
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

pub(super) fn smaller_structs(job: &Job) -> Outcome {
    let raw = Raw::open(job)?;
    let samples = raw.kit.samples(3);
    let (batch, scores, item, image) = (CPT_BATCH_SIZE_0, CPT_SCORES_SIZE_0, CPT_ITEM_SIZE_0, CPT_IMAGE_SIZE_0);
    let mut instance = raw.instance()?;
    let claims = [
        ("batch->struct_size", batch, Claim { batch: Some(batch - 8), ..Claim::default() }),
        ("batch->struct_size", batch, Claim { batch: Some(0), ..Claim::default() }),
        ("scores->struct_size", scores, Claim { scores: Some(scores - 8), ..Claim::default() }),
        ("item_stride", item, Claim { item_stride: Some(item - 8), ..Claim::default() }),
        ("item_stride", item, Claim { item_stride: Some(0), ..Claim::default() }),
        ("image_stride", image, Claim { image_stride: Some(image - 8), ..Claim::default() }),
    ];
    for (name, size, claim) in claims {
        let layout = Layout { claim, ..Layout::default() };
        let mut prepared = Prepared::new(&samples, &Call::default(), &layout, raw.manifest.outputs.len())
            .map_err(|e| e.to_string())?;
        if instance.call(&mut prepared) == CPT_OK {
            return Err(format!("expected an error for a {name} below {size}, that of minor version 0, got CPT_OK"));
        }
    }
    pass("")
}
