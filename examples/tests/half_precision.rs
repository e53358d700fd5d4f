//! The recipe in half precision: an update of parameters that are the reference's sees no divergence, and the check before the
//! first update lets rounding through and nothing else.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use burn::tensor::{Device, Tensor};
use counterpoint::config::RunConfig;
use counterpoint::{
    Decoding, Learner, LogProbs, Parameters, Policy, Replay, Result, Segment, SegmentKind, StepReport, Trainer,
    Trajectory,
};
use counterpoint_examples::parts;

fn base() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn config(dtype: &str, more: &[&str]) -> RunConfig {
    // The default, and in half precision that of the full recipe.
    let tolerance = if dtype == "f32" { "trainer.gate_tolerance=0.001" } else { "trainer.gate_tolerance=0.2" };
    let dtype = format!("policy.dtype=\"{dtype}\"");
    let short = [
        tolerance,
        &dtype,
        "trainer.steps=2",
        "trainer.group_size=4",
        "trainer.images_per_answer=1",
        "data.answer_share=0",
        "trainer.tasks_per_step=1",
        "trainer.warmup_steps=1",
        "trainer.max_attempts=1",
        "sampler.image.timesteps=4",
        "sampler.image.checkpoint_step=1",
        "sampler.image.guidance_scale=5.0",
        "sampler.image.score_guidance=true",
    ];
    let overrides: Vec<String> = short.iter().chain(more).map(|s| (*s).to_owned()).collect();
    RunConfig::load(&base().join("sync_r1.toml"), &overrides).unwrap()
}

/// The first step of a run whose policy makes a mistake when it scores.
fn first_step(config: &RunConfig, mistake: Option<Mistake>) -> Result<StepReport> {
    let mut parts = parts(config, &base(), &Device::flex()).unwrap();
    if let Some(mistake) = mistake {
        parts.policy = Box::new(Wrong { inner: parts.policy, mistake });
    }
    Trainer::new(parts, config.trainer.clone(), config.run.seed).unwrap().step()
}

#[test]
fn the_first_update_begins_at_the_reference_and_at_a_ratio_of_one() {
    let lora = vec!["policy.trainable={ lora = { rank = 2 } }"];
    let variants = [
        ("f32", vec![]),
        ("bf16", vec![]),
        ("bf16", vec!["trainer.chunk=1"]),
        ("bf16", lora),
        ("bf16", vec!["policy.trainable=concept_tokens"]),
        ("bf16", vec!["policy.gradient_checkpointing=true"]),
    ];
    for (dtype, more) in variants {
        let report = first_step(&config(dtype, &more), None).unwrap();
        let metric = |name: &str| report.metrics.get(name).unwrap();
        assert_eq!([metric("ratio_mean"), metric("ratio_max")], [1.0, 1.0], "{dtype} {more:?}");
        assert!(metric("kl").abs() < 1e-5, "{dtype} {more:?}: KL of {}", metric("kl"));
    }
}

#[test]
fn rounding_passes_the_gate_and_is_measured() {
    for (dtype, largest) in [("f32", 1e-3), ("bf16", 1.0)] {
        let report = first_step(&config(dtype, &[]), None).unwrap();
        let [max, p99, mean] = ["gate/max", "gate/p99", "gate/mean"].map(|name| report.metrics.get(name).unwrap());
        assert!(0.0 < mean && mean <= p99 && p99 <= max && max < largest, "{dtype}: {max} {p99} {mean}");
    }
}

#[test]
fn mistakes_are_refused_in_every_precision() {
    let mistakes = [
        Mistake::OffByOne(SegmentKind::Understanding),
        Mistake::OffByOne(SegmentKind::Generation),
        Mistake::WrongMask(SegmentKind::Understanding),
        Mistake::WrongMask(SegmentKind::Generation),
        Mistake::NoGuidance,
    ];
    for dtype in ["f32", "bf16"] {
        for mistake in mistakes {
            let error = first_step(&config(dtype, &[]), Some(mistake)).unwrap_err().to_string();
            assert!(error.contains("sampling and replay disagree"), "{dtype} {mistake:?}: {error}");
        }
    }
}

/// What is wrong with a policy.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mistake {
    /// Every decision gets the score of the one after it.
    OffByOne(SegmentKind),
    /// Text: the question's last token is not seen. Images: tokens that are decided already are masked too.
    WrongMask(SegmentKind),
    /// Images are scored without guidance.
    NoGuidance,
}

/// A policy that makes a mistake when it scores, and samples like the one it wraps.
struct Wrong {
    inner: Box<dyn Policy>,
    mistake: Mistake,
}

impl Wrong {
    /// What it takes `segment` for.
    fn seen(&self, segment: &Segment) -> Segment {
        let mut seen = segment.clone();
        match (self.mistake, segment.decoding) {
            (Mistake::WrongMask(SegmentKind::Understanding), Decoding::Autoregressive) => {
                seen.context.pop();
            }
            (Mistake::WrongMask(SegmentKind::Generation), Decoding::Masked) => seen.undecided.fill(true),
            (Mistake::NoGuidance, Decoding::Masked) => seen.guidance = 0.0,
            _ => {}
        }
        seen
    }
}

impl Policy for Wrong {
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        let seen: Vec<Trajectory> = chunk
            .iter()
            .map(|r| {
                Trajectory::new(r.trajectory.candidate, r.trajectory.segments.iter().map(|s| self.seen(s)).collect())
            })
            .collect();
        let replays: Vec<Replay<'_>> =
            chunk.iter().zip(&seen).map(|(replay, trajectory)| Replay { trajectory, ..replay.clone() }).collect();
        let mut scores = self.inner.log_probs(&replays, parameters)?;
        if self.mistake == Mistake::OffByOne(chunk[0].segment().kind) {
            let width = scores.log_probs.dims()[1];
            let (first, rest) = (scores.log_probs.clone().narrow(1, 0, 1), scores.log_probs.narrow(1, 1, width - 1));
            scores.log_probs = Tensor::cat(vec![rest, first], 1);
        }
        Ok(scores)
    }

    fn learner(&mut self) -> &mut dyn Learner {
        self.inner.learner()
    }

    fn wrapped(&self) -> Option<&dyn Policy> {
        Some(self.inner.as_ref())
    }
}
