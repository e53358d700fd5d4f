//! Janus against transformers': the tower, the decoder reading and writing, the tokenizer, CoRL's objective with its gradients.

use std::path::Path;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use counterpoint::objective::{Advantage, Kl, Normalization};
use counterpoint::updater::{Group, accumulate};
use counterpoint::{
    Error, Learner, LogProbs, Objective, Parameters, Policy, Replay, Result, Segment, SegmentKind, SyncGrpoConfig,
    Trajectory,
};
use counterpoint_janus::{Janus, JanusConfig, JanusPolicy, KvCache, SpecialIds, VqTokenizer};
use counterpoint_weights::Precision;
use serde::Deserialize;

use super::fixture::{Expected, Golden};
use super::report::{Report, Tolerance};

const NUMBERS: Tolerance = Tolerance::Relative(1e-4);
const GRADIENTS: Tolerance = Tolerance::Relative(1e-3);
/// Chunk sizes of the replay; the gradients must not depend on them.
const CHUNKS: [usize; 2] = [1, 3];

/// What `config.json` says besides the model.
#[derive(Deserialize, Clone, Copy)]
struct Fixture {
    #[serde(flatten)]
    ids: SpecialIds,
    guidance_weight: f64,
    eps: f64,
    beta: f64,
}

struct Parity {
    config: JanusConfig,
    fixture: Fixture,
    model: Janus,
    tokenizer: VqTokenizer,
    expected: Expected,
    device: Device,
}

pub fn run(folder: &Path, device: &Device, report: &mut Report) -> Result<()> {
    let path = folder.join("config.json");
    let config = JanusConfig::read(&path)?;
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io("cannot read", &path, e))?;
    #[derive(Deserialize)]
    struct File {
        fixture: Fixture,
    }
    let File { fixture } = serde_json::from_str(&text)
        .map_err(|e| Error::data("expected ids and weights as `fixture`").at(path.display()).with_source(e))?;
    let (model, tokenizer) = config.load(&folder.join("model.safetensors"), Precision::F32, device)?;
    let expected = Expected::open(folder)?;
    let run = Parity { config, fixture, model, tokenizer, expected, device: device.clone() };
    run.tokenizer(report)?;
    run.reading(report)?;
    run.writing(report)?;
    run.greedy_image(report)?;
    for name in ["plain", "guided", "kl"] {
        CHUNKS.iter().try_for_each(|&chunk| run.objective(name, chunk, report))?;
    }
    Ok(())
}

impl Parity {
    fn check<const D: usize>(
        &self,
        report: &mut Report,
        name: &str,
        got: Tensor<D>,
        tolerance: Tolerance,
    ) -> Result<()> {
        report.compare(name, &self.expected.get(name)?.values, &floats(got)?, tolerance);
        Ok(())
    }

    fn exact(&self, report: &mut Report, name: &str, got: &[i64]) -> Result<()> {
        let got: Vec<f64> = got.iter().map(|&id| id as f64).collect();
        report.compare(name, &self.expected.get(name)?.values, &got, Tolerance::Exact);
        Ok(())
    }

    fn tensor<const D: usize>(&self, name: &str) -> Result<Tensor<D>> {
        let Golden { shape, values } = self.expected.get(name)?;
        let shape: [usize; D] =
            shape.try_into().map_err(|shape| Error::data(format!("`{name}`: expected {D} axes, got {shape:?}")))?;
        let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
        Ok(Tensor::from_data(TensorData::new(values, shape), &self.device))
    }

    fn rows(&self, name: &str) -> Result<Vec<Vec<u32>>> {
        Ok(self.expected.get(name)?.id_rows())
    }

    fn ints(&self, rows: &[Vec<u32>]) -> Tensor<2, Int> {
        let flat: Vec<i32> = rows.iter().flatten().map(|&id| id as i32).collect();
        Tensor::from_data(TensorData::new(flat, [rows.len(), rows[0].len()]), &self.device)
    }

    fn chosen(&self, logits: &Tensor<3>, ids: &[Vec<u32>]) -> Tensor<2> {
        log_softmax(logits.clone(), 2).gather(2, self.ints(ids).unsqueeze_dim::<3>(2)).squeeze_dim(2)
    }

    fn tokenizer(&self, report: &mut Report) -> Result<()> {
        let pixels = self.tensor::<4>("vq.pixels")?;
        self.check(report, "vq.latent", self.tokenizer.latents(pixels.clone())?, NUMBERS)?;
        let codes: Vec<i64> = self.tokenizer.encode(pixels)?.into_data().iter().collect();
        self.exact(report, "vq.codes", &codes)?;
        let codes = self.ints(&self.rows("gen.codes")?);
        self.check(report, "vq.decoded", self.tokenizer.decode(codes)?, NUMBERS)
    }

    fn reading(&self, report: &mut Report) -> Result<()> {
        let pixels = self.tensor::<4>("und.pixel_values")?;
        self.check(report, "und.vision_hidden", self.model.vision_states(pixels.clone())?, NUMBERS)?;
        let features = self.model.read(pixels)?;
        self.check(report, "und.image_features", features.clone(), NUMBERS)?;
        let ids = self.rows("und.input_ids")?;
        let mut attended = vec![vec![true; ids[0].len()]];
        let mut past = KvCache::default();
        let embedded = self.model.embed_text(&ids, Some((features, &[0][..])))?;
        let logits = self.model.text_logits(self.model.forward(embedded, &attended, &mut past));
        self.check(report, "und.logits", logits.clone(), NUMBERS)?;
        // On the keys and values of what was read.
        let mut next = logits.narrow(1, ids[0].len() - 1, 1);
        let (mut greedy, mut log_probs) = (Vec::new(), Vec::new());
        for _ in self.expected.get("und.greedy_ids")?.ids() {
            let best = next.clone().argmax(2).into_data().iter::<i64>().next().unwrap_or_default();
            let id = vec![vec![best as u32]];
            log_probs.push(self.chosen(&next, &id));
            greedy.push(best);
            attended[0].push(true);
            let embedded = self.model.embed_text(&id, None)?;
            next = self.model.text_logits(self.model.forward(embedded, &attended, &mut past));
        }
        self.exact(report, "und.greedy_ids", &greedy)?;
        self.check(report, "und.greedy_logps", Tensor::cat(log_probs, 1), NUMBERS)
    }

    /// Which tokens of the prompts may be attended.
    fn kept(&self) -> Result<Vec<Vec<bool>>> {
        Ok(self.rows("gen.attention_mask")?.iter().map(|row| row.iter().map(|&kept| kept == 1).collect()).collect())
    }

    fn guided(&self, conditional: Tensor<3>, unconditional: Tensor<3>) -> Tensor<3> {
        unconditional.clone() + (conditional - unconditional) * self.fixture.guidance_weight
    }

    fn writing(&self, report: &mut Report) -> Result<()> {
        let codes = self.rows("gen.codes")?;
        let count = codes[0].len();
        let scores = |prompts: &str| -> Result<Tensor<3>> {
            let prompts = self.rows(prompts)?;
            let mut attended = self.kept()?;
            attended.iter_mut().for_each(|row| row.extend(vec![true; count - 1]));
            let written = self.model.embed_codes(self.ints(&codes).narrow(1, 0, count - 1));
            let embedded = Tensor::cat(vec![self.model.embed_text(&prompts, None)?, written], 1);
            let hidden = self.model.forward(embedded, &attended, &mut KvCache::default());
            Ok(self.model.code_logits(hidden.narrow(1, prompts[0].len() - 1, count)))
        };
        let (conditional, unconditional) = (scores("gen.prompt_ids")?, scores("gen.uncond_ids")?);
        self.check(report, "gen.cond_logits", conditional.clone(), NUMBERS)?;
        self.check(report, "gen.uncond_logits", unconditional.clone(), NUMBERS)?;
        let guided = self.guided(conditional.clone(), unconditional);
        self.check(report, "gen.guided_logits", guided.clone(), NUMBERS)?;
        self.check(report, "gen.guided_logps", self.chosen(&guided, &codes), NUMBERS)?;
        self.check(report, "gen.cond_logps", self.chosen(&conditional, &codes), NUMBERS)
    }

    fn greedy_image(&self, report: &mut Report) -> Result<()> {
        let prompts = [self.rows("gen.prompt_ids")?, self.rows("gen.uncond_ids")?].concat();
        let (batch, count) = (prompts.len() / 2, self.config.image_tokens());
        let mut attended = [self.kept()?, self.kept()?].concat();
        let mut past = KvCache::default();
        let mut hidden = self.model.forward(self.model.embed_text(&prompts, None)?, &attended, &mut past);
        let mut written = Vec::with_capacity(count);
        for _ in 0..count {
            let last = hidden.dims()[1] - 1;
            let logits = self.model.code_logits(hidden.narrow(1, last, 1));
            let guided = self.guided(logits.clone().narrow(0, 0, batch), logits.narrow(0, batch, batch));
            let codes = guided.argmax(2).squeeze_dim::<2>(2);
            written.push(codes.clone());
            attended.iter_mut().for_each(|row| row.push(true));
            hidden = self.model.forward(self.model.embed_codes(codes.repeat_dim(0, 2)), &attended, &mut past);
        }
        let codes: Vec<i64> = Tensor::cat(written, 1).into_data().iter().collect();
        self.exact(report, "gen.greedy_codes", &codes)
    }

    /// Log-probabilities, loss and gradients of a group of an answer and an image each, through the chunked replay of the trainer.
    fn objective(&self, name: &str, chunk: usize, report: &mut Report) -> Result<()> {
        let (guided, beta) = (name == "guided", name == "kl");
        let objective = SyncGrpoConfig {
            advantage: Advantage::Standardized,
            normalization: Normalization::SegmentMean,
            clip_low: self.fixture.eps,
            clip_high: self.fixture.eps,
            kl: if beta { Kl::K3 } else { Kl::None },
            beta: if beta { self.fixture.beta } else { 0.0 },
            a_und: 1.0,
            a_gen: 1.0,
            ..SyncGrpoConfig::default()
        }
        .init()?;
        let policy = JanusPolicy::new(
            self.config.clone(),
            self.fixture.ids,
            self.model.clone(),
            self.tokenizer.clone(),
            &self.device,
        )?;
        let of = |what: &str| format!("corl.{name}.{what} (chunk {chunk})");
        let image = if guided { "image_guided" } else { "image" };
        let trajectories = self.trajectories(&policy, guided)?;
        for (segment, what) in [(0, "text"), (1, image)] {
            let whole: Vec<Replay<'_>> = trajectories
                .iter()
                .map(|trajectory| Replay { trajectory, segment, steps: 0..trajectory.segments[segment].steps() })
                .collect();
            let mut rows = Vec::new();
            for replays in whole.chunks(chunk) {
                rows.extend(floats(policy.log_probs(replays, Parameters::Detached)?.log_probs)?);
            }
            let expected = format!("corl.cur_{what}");
            report.compare(&of(&format!("cur_{what}")), &self.expected.get(&expected)?.values, &rows, NUMBERS);
        }

        let advantages = objective.advantages(&self.expected.get("corl.rewards")?.values);
        report.compare(&of("advantages"), &self.expected.get("corl.advantages")?.values, &advantages, NUMBERS);
        let reference = [self.expected.get("corl.ref_text")?, self.expected.get("corl.ref_image")?];
        let mut policy = WithReference { policy, reference, device: self.device.clone() };
        let group = Group::new(0, trajectories, advantages);
        let replayed = accumulate(&mut policy, &objective, std::slice::from_ref(&group), chunk, None)?;
        let loss = self.expected.get(&format!("corl.{name}.loss"))?.values;
        report.compare(&of("loss"), &loss, &[replayed.all.stats.loss], GRADIENTS);

        let prefix = format!("corl.{name}.grad_norm.");
        let norms = policy.learner().gradient_norms()?;
        let (mut wanted, mut got) = (Vec::new(), Vec::new());
        let names = self.expected.names(&prefix)?;
        // A key's bias moves all scores of a query alike: its gradient is nothing but rounding.
        for parameter in names.iter().filter(|name| !name.ends_with("k_proj.bias")) {
            wanted.extend(self.expected.get(&format!("{prefix}{parameter}"))?.values);
            let norm = norms.iter().find(|(path, _)| official(path) == *parameter);
            got.push(norm.map_or(f64::NAN, |(_, norm)| *norm));
        }
        report.compare(&of("grad_norm.*"), &wanted, &got, Tolerance::Each(1e-3));
        report.compare(&of("grad_norm.* count"), &[names.len() as f64], &[norms.len() as f64], Tolerance::Exact);
        let missing = || Error::contract("a whole gradient that the fixture has was not computed");
        let learner = policy.policy.module_learner();
        let query = learner.gradient("language_model.layers.0.self_attn.q_proj.weight").ok_or_else(missing)?;
        let codes = learner.gradient("generation_embeddings.weight").ok_or_else(missing)?;
        let width = self.config.text_config.hidden_size;
        let columns = query.dims()[0] / width;
        // Linear weights are transposed in PyTorch.
        let query = floats(query.reshape([width, columns]).transpose())?;
        let wanted = self.expected.get(&format!("corl.{name}.grad.q_proj0"))?.values;
        report.compare(&of("grad.q_proj0"), &wanted, &query, GRADIENTS);
        let wanted = self.expected.get(&format!("corl.{name}.grad.generation_embeddings"))?.values;
        report.compare(&of("grad.generation_embeddings"), &wanted, &floats(codes)?, GRADIENTS);
        Ok(())
    }

    /// The group as it was recorded, its images with guidance or without.
    fn trajectories(&self, policy: &JanusPolicy, guided: bool) -> Result<Vec<Trajectory>> {
        let image = policy.show(self.tensor("und.pixel_values")?);
        let question = [vec![image], self.rows("und.input_ids")?.remove(0)].concat();
        let (prompt, kept) = (self.rows("gen.prompt_ids")?.remove(0), self.kept()?.remove(0));
        let prompt: Vec<u32> = prompt.into_iter().zip(kept).filter_map(|(id, kept)| kept.then_some(id)).collect();
        let guidance = if guided { self.fixture.guidance_weight as f32 - 1.0 } else { 0.0 };
        let old_text = self.expected.get("corl.old_text")?;
        let old_image = self.expected.get(if guided { "corl.old_image_guided" } else { "corl.old_image" })?;
        let row = |of: &Golden, i: usize| of.floats()[i * of.shape[1]..(i + 1) * of.shape[1]].to_vec();
        let (texts, images) = (self.rows("corl.text_ids")?, self.rows("corl.codes")?);
        let one = |(i, (text, codes)): (usize, (Vec<u32>, Vec<u32>))| {
            let answer = Segment::text(question.clone(), text, row(&old_text, i));
            let image = Segment::text(prompt.clone(), codes, row(&old_image, i))
                .with_kind(SegmentKind::Generation)
                .with_guidance(guidance);
            Trajectory::new(i as u64, vec![answer, image])
        };
        Ok(texts.into_iter().zip(images).enumerate().map(one).collect())
    }
}

/// The policy with the fixture's own reference log-probabilities, of texts and images.
struct WithReference {
    policy: JanusPolicy,
    reference: [Golden; 2],
    device: Device,
}

impl Policy for WithReference {
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        if parameters != Parameters::Reference {
            return self.policy.log_probs(chunk, parameters);
        }
        let row = |replay: &Replay<'_>| {
            let golden = &self.reference[replay.segment];
            let start = replay.trajectory.candidate as usize * golden.shape[1];
            golden.floats()[start..start + golden.shape[1]][replay.decisions()].to_vec()
        };
        let rows: Vec<f32> = chunk.iter().flat_map(row).collect();
        let shape = [chunk.len(), rows.len() / chunk.len()];
        Ok(LogProbs::new(Tensor::from_data(TensorData::new(rows, shape), &self.device)))
    }

    fn learner(&mut self) -> &mut dyn Learner {
        self.policy.learner()
    }
}

/// A parameter's path under its name in PyTorch.
fn official(path: &str) -> String {
    let path = path.replace(".gamma", ".weight").replace(".beta", ".bias");
    let path = path.replace(".position_embedding", ".position_embedding.weight");
    if path.starts_with("lm_head") { path } else { format!("model.{path}") }
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f64>> {
    let values = tensor.try_into_vec_as::<f32>().map_err(|e| Error::contract(e.to_string()))?;
    Ok(values.into_iter().map(f64::from).collect())
}
