//! CoRL's loss of one group, its log-probabilities and gradients, against a PyTorch reference (`janus_tiny`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/golden.rs"]
mod golden;

use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};
use counterpoint::objective::{Advantage, Kl, Normalization};
use counterpoint::updater::{Group, accumulate};
use counterpoint::{
    Learner, LogProbs, Objective, Parameters, Policy, Replay, Result, Segment, SegmentKind, SyncGrpoConfig, Trajectory,
};
use counterpoint_janus::{JanusPolicy, SpecialIds};
use golden::Golden;

/// The policy with the fixture's own reference log-probabilities.
struct WithReference {
    policy: JanusPolicy,
    /// Of texts and images, `[G, tokens]`.
    reference: [Vec<Vec<f32>>; 2],
}

impl Policy for WithReference {
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        if parameters != Parameters::Reference {
            return self.policy.log_probs(chunk, parameters);
        }
        let row = |r: &Replay<'_>| self.reference[r.segment][r.trajectory.candidate as usize][r.decisions()].to_vec();
        let rows: Vec<Vec<f32>> = chunk.iter().map(row).collect();
        let shape = [rows.len(), rows[0].len()];
        Ok(LogProbs::new(Tensor::from_data(TensorData::new(rows.concat(), shape), &Device::flex())))
    }

    fn learner(&mut self) -> &mut dyn Learner {
        self.policy.learner()
    }
}

fn policy(golden: &Golden) -> JanusPolicy {
    let ids = SpecialIds {
        bos: golden.number("bos"),
        eos: golden.number("eos"),
        pad: golden.number("pad"),
        boi: golden.number("boi"),
        eoi: golden.number("eoi"),
    };
    JanusPolicy::new(golden.config.clone(), ids, golden.model.clone(), golden.tokenizer.clone(), &Device::flex())
        .unwrap()
}

/// The group: an answer and an image each, recorded with guidance or without.
fn trajectories(golden: &Golden, policy: &JanusPolicy, guided: bool) -> Vec<Trajectory> {
    let image = policy.show(golden.floats("und.pixel_values"));
    let question = [vec![image], golden.rows("und.input_ids").remove(0)].concat();
    let prompt = golden.rows("gen.prompt_ids").remove(0);
    let kept = golden.rows("gen.attention_mask").remove(0);
    let prompt: Vec<u32> = prompt.into_iter().zip(kept).filter_map(|(id, kept)| (kept == 1).then_some(id)).collect();
    let old_image = golden.table(if guided { "corl.old_image_guided" } else { "corl.old_image" });
    let guidance = if guided { golden.number("guidance_weight") as f32 - 1.0 } else { 0.0 };
    let texts = golden.rows("corl.text_ids").into_iter().zip(golden.table("corl.old_text"));
    let images = golden.rows("corl.codes").into_iter().zip(old_image);
    let one = |(i, ((text, old_text), (codes, old_image)))| {
        let text = Segment::text(question.clone(), text, old_text);
        let image =
            Segment::text(prompt.clone(), codes, old_image).with_kind(SegmentKind::Generation).with_guidance(guidance);
        Trajectory::new(i, vec![text, image])
    };
    (0..).zip(texts.zip(images)).map(one).collect()
}

fn objective(golden: &Golden, beta: bool) -> Box<dyn Objective> {
    let eps = golden.fixture["eps"].as_f64().unwrap();
    let config = SyncGrpoConfig {
        advantage: Advantage::Standardized,
        normalization: Normalization::SegmentMean,
        clip_low: eps,
        clip_high: eps,
        kl: if beta { Kl::K3 } else { Kl::None },
        beta: if beta { golden.fixture["beta"].as_f64().unwrap() } else { 0.0 },
        a_und: 1.0,
        a_gen: 1.0,
        ..SyncGrpoConfig::default()
    };
    Box::new(config.init().unwrap())
}

/// A path of ours under its name in PyTorch.
fn official(path: &str) -> String {
    let path = path.replace(".gamma", ".weight").replace(".beta", ".bias");
    let path = path.replace(".position_embedding", ".position_embedding.weight");
    if path.starts_with("lm_head") { path } else { format!("model.{path}") }
}

fn relative(name: &str, got: f64, expected: f64, tolerance: f64) {
    assert!((got - expected).abs() <= tolerance * expected.abs(), "{name}: expected {expected}, got {got}");
}

#[test]
fn log_probabilities_are_those_of_the_reference_implementation() {
    let golden = Golden::open();
    let policy = policy(&golden);
    for (guided, segment, name) in
        [(false, 0, "corl.cur_text"), (false, 1, "corl.cur_image"), (true, 1, "corl.cur_image_guided")]
    {
        let trajectories = trajectories(&golden, &policy, guided);
        let replay = |trajectory| {
            let steps = 0..Trajectory::segments(trajectory, segment);
            Replay { trajectory, segment, steps }
        };
        let chunk: Vec<Replay<'_>> = trajectories.iter().map(replay).collect();
        let scores = policy.log_probs(&chunk, Parameters::Detached).unwrap();
        golden::close(name, scores.log_probs, golden.floats(name));
        // Some steps of some candidates are those rows of the whole.
        let part = [Replay { steps: 2..4, ..chunk[1].clone() }, Replay { steps: 1..3, ..chunk[3].clone() }];
        let part = policy.log_probs(&part, Parameters::Detached).unwrap().log_probs;
        let whole: Tensor<2> = golden.floats(name);
        let rows = vec![whole.clone().slice([1..2, 2..4]), whole.slice([3..4, 1..3])];
        golden::close(name, part, Tensor::cat(rows, 0));
    }
}

trait Steps {
    fn segments(&self, segment: usize) -> usize;
}

impl Steps for Trajectory {
    fn segments(&self, segment: usize) -> usize {
        self.segments[segment].steps()
    }
}

#[test]
fn loss_and_every_gradient_are_those_of_the_reference_implementation() {
    let golden = Golden::open();
    let rewards = golden.numbers("corl.rewards");
    for (name, guided, beta) in [("plain", false, false), ("guided", true, false), ("kl", false, true)] {
        for chunk in [1, 3] {
            let policy = policy(&golden);
            let objective = objective(&golden, beta);
            let advantages = objective.advantages(&rewards);
            for (got, expected) in advantages.iter().zip(golden.numbers("corl.advantages")) {
                relative("advantages", *got, expected, 1e-5);
            }
            let group = Group::new(0, trajectories(&golden, &policy, guided), advantages);
            let reference = [golden.table("corl.ref_text"), golden.table("corl.ref_image")];
            let mut policy = WithReference { policy, reference };
            let replayed =
                accumulate(&mut policy, objective.as_ref(), std::slice::from_ref(&group), chunk, None).unwrap();
            relative(name, replayed.all.stats.loss, golden.numbers(&format!("corl.{name}.loss"))[0], 1e-3);

            let norms = policy.learner().gradient_norms().unwrap();
            let prefix = format!("corl.{name}.grad_norm.");
            let expected = golden.names(&prefix);
            assert_eq!(norms.len(), expected.len());
            for parameter in expected {
                let (_, norm) = norms.iter().find(|(path, _)| official(path) == parameter).expect(&parameter);
                let wanted = golden.numbers(&format!("{prefix}{parameter}"))[0];
                // A key's bias moves all scores of a query alike: its gradient is nothing but rounding.
                if !parameter.ends_with("k_proj.bias") {
                    relative(&parameter, *norm, wanted, 1e-3);
                }
            }
            let learner = policy.policy.module_learner();
            let query = learner.gradient("language_model.layers.0.self_attn.q_proj.weight").unwrap();
            let side = golden.config.text_config.hidden_size;
            let query = query.reshape([side, side]).transpose();
            golden::close("q_proj", query, golden.floats(&format!("corl.{name}.grad.q_proj0")));
            let codes = learner.gradient("generation_embeddings.weight").unwrap();
            let vq = &golden.config.vq_config;
            let codes = codes.reshape([vq.num_embeddings, vq.embed_dim]);
            golden::close("codes", codes, golden.floats(&format!("corl.{name}.grad.generation_embeddings")));
            let _: GradientsParams = policy.learner().take().unwrap();
        }
    }
}
