//! Images of all shapes.

use counterpoint_abi::CPT_VALUE;

use super::compare::{compare, compare_others};
use super::invariance::Seen;
use crate::instance::Raw;
use crate::job::pass;
use crate::samples::{Picture, Sample};
use crate::subject::{Call, Scorer, Subject};
use crate::{Job, Outcome};

pub(super) fn small(subject: &dyn Subject) -> Outcome {
    let sizes = [(1, 1), (1, 7), (7, 1), (2, 3), (257, 1), (1, 129)];
    let mut samples = subject.kit().samples(2 * sizes.len());
    for (i, sample) in samples.iter_mut().enumerate() {
        let (width, height) = sizes[i % sizes.len()];
        let picture = |seed| Picture::new(width, height, i >= sizes.len(), seed);
        sample.image = Some(picture(i as u64));
        sample.references = sample.references.iter().map(|_| picture(99)).collect();
    }
    pass(subject.start()?.score(&samples, &Call::default())?.summary())
}

/// How light a pixel is, by column and row.
type Shade = fn(usize, usize) -> u8;

/// Where contrast, variance or the norm of a gradient is 0, what divides by it shows.
pub(super) fn plain(subject: &dyn Subject) -> Outcome {
    let plain: [(&str, Shade); 6] = [
        ("black", |_, _| 0),
        ("white", |_, _| 255),
        ("grey", |_, _| 128),
        ("of two colours", |x, _| if x < 12 { 40 } else { 200 }),
        ("of one line", |_, y| if y == 7 { 255 } else { 0 }),
        ("a gradient", |x, y| (5 * x + 5 * y) as u8),
    ];
    let samples: Vec<Sample> = (0..2 * plain.len())
        .map(|i| {
            let picture = Picture::drawn(24, 24, i >= plain.len(), plain[i % plain.len()].1);
            let sample = subject.kit().sample(i);
            let references = sample.references.iter().map(|_| picture.clone()).collect();
            Sample { image: Some(picture), references, ..sample }
        })
        .collect();
    let answers = subject.start()?.score(&samples, &Call::default())?;
    let mut seen = Seen::of(subject);
    seen.add(&answers, |i| format!("an image that is {}", plain[i % plain.len()].0))?;
    pass(if answers.scored() > 0 { seen.summary() } else { answers.summary() })
}

pub(super) fn strides(subject: &dyn Subject) -> Outcome {
    let (mut expert, call) = (subject.start()?, Call::default());
    let mut compared = String::new();
    for float in [false, true] {
        let mut packed = subject.kit().samples(4);
        for (i, sample) in packed.iter_mut().enumerate() {
            sample.image = Some(Picture::new(9 + i, 6, float, i as u64));
            sample.references = sample.references.iter().map(|_| Picture::new(5, 7 + i, float, 8)).collect();
        }
        let usual = expert.score(&packed, &call)?;
        for (pixel, gap) in [(3, 5), (4, 0), (4, 7)] {
            let mut spread = packed.clone();
            for sample in &mut spread {
                sample.image = sample.image.as_ref().map(|p| p.spread(pixel, gap));
                sample.references = sample.references.iter().map(|p| p.spread(pixel, gap)).collect();
            }
            let got = expert.score(&spread, &call)?;
            let place = format!("{pixel} samples a pixel, {gap} after each row, {}", if float { "f32" } else { "u8" });
            compared = compare(subject, &usual, &got).map_err(|e| format!("packed and with {place}: {e}"))?;
        }
    }
    pass(compared)
}

pub(super) fn unknown_format(job: &Job) -> Outcome {
    let raw = Raw::open(job)?;
    let (mut expert, call) = (raw.instance()?, Call::default());
    let mut samples = raw.kit.samples(5);
    for (i, sample) in samples.iter_mut().enumerate() {
        sample.image = Some(Picture::new(6, 4, false, i as u64));
    }
    let usual = expert.score(&samples, &call)?;
    for format in [0, 77, u32::MAX] {
        let mut bad = samples.clone();
        bad[2].image.iter_mut().for_each(|image| image.format = Some(format));
        let got = expert.score(&bad, &call)?;
        compare_others(&raw, &usual, &got, &[2])?;
        if raw.kit.image && got.status[2] == CPT_VALUE {
            return Err(format!("expected an item whose image has the unknown format {format} to fail, got a score"));
        }
    }
    pass("")
}
