//! Show-o against the reference implementation: masks, logits, a rollout, greedy text, the objective, the tokenizer.

use std::cell::RefCell;
use std::path::Path;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use counterpoint::trainer::{Group, accumulate};
use counterpoint::{
    Decoding, Error, Learner, LogProbs, Policy, Replay, Result, Segment, SegmentKind, SyncGrpoConfig, Trajectory,
    Weights,
};
use counterpoint_samplers::{AutoregressiveConfig, MaskSchedule, least_confident};
use counterpoint_showo::{Allowed, MagvitV2, Showo, ShowoConfig, ShowoPolicy, prompting, tokens};

use crate::fixture::{Expected, Golden};
use crate::report::{Report, Tolerance};

const LOGITS: Tolerance = Tolerance::Relative(1e-4);
const GRADIENTS: Tolerance = Tolerance::Relative(1e-3);

/// Chunk sizes of the replay; the gradients must not depend on them.
const CHUNKS: [usize; 2] = [1, 5];

/// Weights of the objective in `config.json`.
#[derive(serde::Deserialize)]
struct Grpo {
    alpha_und: f64,
    alpha_gen: f64,
    beta: f64,
    clip_eps: f64,
}

pub fn run(folder: &Path, device: &Device, report: &mut Report) -> Result<()> {
    let expected = Expected::open(folder)?;
    let (config, grpo) = settings(folder)?;
    let decoder = Showo::load(&config, &folder.join("showo.safetensors"), device)?;
    let image = MagvitV2::load(&config.magvitv2, &folder.join("magvitv2.safetensors"), device)?;
    let run = Parity { config, decoder, expected, device: device.clone() };
    run.tokenizer(&image, report)?;
    run.logits(report)?;
    run.rollout(report)?;
    let policy = ShowoPolicy::new(run.config.clone(), run.decoder.clone(), None, image, device)?;
    run.greedy(&policy, report)?;
    let reference = [run.expected.get("grpo.ref_und")?, run.expected.get("grpo.ref_gen")?];
    let mut policy = WithReference { policy, reference, current: RefCell::default() };
    CHUNKS.iter().try_for_each(|&chunk| run.objective(&grpo, &mut policy, chunk, report))
}

struct Parity {
    config: ShowoConfig,
    decoder: Showo,
    expected: Expected,
    device: Device,
}

impl Parity {
    fn check(&self, report: &mut Report, name: &str, got: &[f64], tolerance: Tolerance) -> Result<()> {
        report.compare(name, &self.expected.get(name)?.values, got, tolerance);
        Ok(())
    }

    fn tokenizer(&self, image: &MagvitV2, report: &mut Report) -> Result<()> {
        let pixels = self.expected.get("vq.pixels")?;
        let shape: [usize; 4] = dims(&pixels, "vq.pixels")?;
        let pixels = Tensor::<4>::from_data(TensorData::new(pixels.floats(), shape), &self.device);
        let codes = image.encode(pixels.clone())?;
        self.check(report, "vq.encoder_out", &floats(image.latents(pixels)?)?, LOGITS)?;
        self.check(report, "vq.codes", &ints(codes)?, Tolerance::Exact)?;
        // Decoded from the golden codes, so that a wrong code cannot hide a wrong decoder.
        let codes = tokens::to_tensor(&self.expected.get("vq.codes")?.id_rows(), &self.device);
        self.check(report, "vq.decoded", &floats(image.decode(codes)?)?, LOGITS)
    }

    /// Hidden states of whole sequences.
    fn forward(&self, rows: &[Vec<u32>], allowed: &Allowed) -> Tensor<3> {
        self.decoder.forward(tokens::to_tensor(rows, &self.device), allowed.tensor(&self.device))
    }

    fn guided_image_logits(&self, conditional: &[Vec<u32>], unconditional: &[Vec<u32>]) -> Result<Tensor<3>> {
        let rows = [conditional, unconditional].concat();
        let span = self.config.t2i_image_span();
        let hidden = self.forward(&rows, &Allowed::t2i(&self.config, &rows)?).narrow(1, span.start, span.len());
        let halves = self.decoder.image_logits(hidden).chunk(2, 0);
        let g = self.config.guidance_scale;
        Ok(halves[0].clone() * (1.0 + g) - halves[1].clone() * g)
    }

    fn logits(&self, report: &mut Report) -> Result<()> {
        let conditional = self.expected.get("t2i.input_ids")?.id_rows();
        let unconditional = self.expected.get("t2i.uncond_ids")?.id_rows();
        let empty: Vec<f64> = conditional
            .iter()
            .flat_map(|_| prompting::t2i_sequence(&self.config, &[], &prompting::masked_image(&self.config)))
            .map(f64::from)
            .collect();
        self.check(report, "t2i.uncond_ids", &empty, Tolerance::Exact)?;
        let both = [conditional.clone(), unconditional.clone()].concat();
        let allowed = Allowed::t2i(&self.config, &both)?;
        self.check(report, "t2i.allowed", &flags(&allowed), Tolerance::Exact)?;
        for (name, rows) in [("t2i.cond_logits", &conditional), ("t2i.uncond_logits", &unconditional)] {
            let hidden = self.forward(rows, &Allowed::t2i(&self.config, rows)?);
            self.check(report, name, &floats(self.decoder.logits(hidden))?, LOGITS)?;
        }
        let guided = self.guided_image_logits(&conditional, &unconditional)?;
        self.check(report, "t2i.guided_image_logits", &floats(guided)?, LOGITS)?;

        let rows = self.expected.get("mmu.input_ids")?.id_rows();
        let allowed = Allowed::mmu(&self.config, &rows)?;
        self.check(report, "mmu.allowed", &flags(&allowed), Tolerance::Exact)?;
        self.check(report, "mmu.logits", &floats(self.decoder.logits(self.forward(&rows, &allowed)))?, LOGITS)
    }

    /// The recorded rollout, step by step: scores of its tokens, how many are masked again, and which.
    fn rollout(&self, report: &mut Report) -> Result<()> {
        let inputs = self.expected.get("rollout.input_ids")?;
        let steps = inputs.shape[0];
        let batch = inputs.shape[1];
        let (inputs, chosen) = (inputs.id_rows(), self.expected.get("rollout.chosen_ids")?.id_rows());
        let unconditional = self.expected.get("t2i.uncond_ids")?.id_rows();
        let span = self.config.t2i_image_span();
        let (mut log_probs, mut mask_len, mut remasked) = (Vec::new(), Vec::new(), Vec::new());
        for step in 0..steps {
            let rows = &inputs[step * batch..(step + 1) * batch];
            let ids = &chosen[step * batch..(step + 1) * batch];
            let empty: Vec<Vec<u32>> = rows
                .iter()
                .zip(&unconditional)
                .map(|(row, empty)| [&empty[..span.start], &row[span.start..]].concat())
                .collect();
            let all = log_softmax(self.guided_image_logits(rows, &empty)?, 2);
            let scores = all.gather(2, tokens::to_tensor(ids, &self.device).unsqueeze_dim::<3>(2)).squeeze_dim::<2>(2);
            log_probs.extend(floats(scores.clone())?);

            let masked: Vec<Vec<bool>> = rows
                .iter()
                .map(|r| r[span.clone()].iter().map(|&id| id == self.config.mask_token_id).collect())
                .collect();
            let before = masked[0].iter().filter(|&&m| m).count();
            let count = MaskSchedule::Cosine.remask(step, steps, span.len(), before);
            mask_len.extend(vec![count as f64; batch]);
            let undecided = TensorData::new(masked.concat(), [batch, span.len()]);
            let undecided = Tensor::<2, Bool>::from_data(undecided, &self.device);
            remasked.extend(ints(least_confident(scores, undecided, count).int())?);
        }
        self.check(report, "rollout.old_logps", &log_probs, LOGITS)?;
        self.check(report, "rollout.mask_len", &mask_len, Tolerance::Exact)?;
        self.check(report, "rollout.remasked", &remasked, Tolerance::Exact)
    }

    /// Greedy text through the key/value cache that rollouts use.
    fn greedy(&self, policy: &ShowoPolicy, report: &mut Report) -> Result<()> {
        let context = self.expected.get("mmu.input_ids")?.ids();
        let length = self.expected.get("mmu.greedy_ids")?.values.len();
        let config = AutoregressiveConfig { max_new_tokens: length, temperature: 0.0, ..Default::default() };
        let candidate =
            counterpoint::Candidate { streams: counterpoint::Streams::new(0), key: counterpoint::Key::task(0, 0) };
        let text = config.init()?.generate(policy, &context, &[candidate])?.remove(0);
        let ids: Vec<f64> = text.tokens.iter().map(|&id| f64::from(id)).collect();
        let log_probs: Vec<f64> = text.log_probs.iter().map(|&p| f64::from(p)).collect();
        self.check(report, "mmu.greedy_ids", &ids, Tolerance::Exact)?;
        self.check(report, "mmu.greedy_logps", &log_probs, LOGITS)
    }

    /// Log-probabilities, loss and gradients of the objective, through the chunked replay of the trainer.
    fn objective(&self, grpo: &Grpo, policy: &mut WithReference, chunk: usize, report: &mut Report) -> Result<()> {
        let objective = SyncGrpoConfig {
            clip_low: grpo.clip_eps,
            clip_high: grpo.clip_eps,
            beta: grpo.beta,
            a_und: grpo.alpha_und,
            a_gen: grpo.alpha_gen,
            ..SyncGrpoConfig::default()
        }
        .init()?;
        let trajectories = self.trajectories()?;
        let group = Group { trajectories, advantages: self.expected.get("grpo.advantages")?.values };
        let replayed = accumulate(policy, &objective, std::slice::from_ref(&group), chunk, None)?;
        let [understanding, generation] = policy.current.take();
        let of = |name: &str| format!("{name} (chunk {chunk})");
        let compare = |report: &mut Report, name: &str, got: &[f64], tolerance| -> Result<()> {
            report.compare(&of(name), &self.expected.get(name)?.values, got, tolerance);
            Ok(())
        };
        compare(report, "grpo.cur_und", &understanding, LOGITS)?;
        compare(report, "grpo.cur_gen", &generation, LOGITS)?;
        compare(report, "grpo.loss", &[replayed.stats.loss], GRADIENTS)?;

        let norms = policy.learner().gradient_norms();
        let names = self.expected.names("grpo.grad_norm.")?;
        let got: Vec<f64> = names
            .iter()
            .map(|name| norms.iter().find(|(path, _)| official(path) == *name).map_or(f64::NAN, |(_, norm)| *norm))
            .collect();
        let mut wanted = Vec::new();
        for name in &names {
            wanted.extend(self.expected.get(&format!("grpo.grad_norm.{name}"))?.values);
        }
        report.compare(&of("grpo.grad_norm.*"), &wanted, &got, Tolerance::Each(1e-3));
        report.compare(&of("grpo.grad_norm.* count"), &[names.len() as f64], &[norms.len() as f64], Tolerance::Exact);

        let hidden = self.config.phi.hidden_size;
        let learner = policy.policy.module_learner();
        let embed = learner.gradient("showo.model.embed_tokens.weight");
        let query = learner.gradient("showo.model.layers.0.self_attn.q_proj.weight");
        let missing = || Error::contract("a whole gradient that the fixture has was not computed");
        compare(report, "grpo.grad.embed_tokens", &floats(embed.ok_or_else(missing)?)?, GRADIENTS)?;
        // Linear weights are transposed in PyTorch.
        let query = query.ok_or_else(missing)?.reshape([hidden, hidden]).transpose();
        compare(report, "grpo.grad.q_proj0", &floats(query)?, GRADIENTS)?;
        policy.learner().discard();
        Ok(())
    }

    /// The recorded group: the understanding tokens after the question, and the rollout's denoising steps.
    fn trajectories(&self) -> Result<Vec<Trajectory>> {
        let question = self.expected.get("mmu.input_ids")?.ids();
        let answers = self.expected.get("grpo.und_ids")?.id_rows();
        let (old_und, old_gen) =
            (self.expected.get("grpo.old_und")?.floats(), self.expected.get("grpo.old_gen")?.floats());
        let prompts = self.expected.get("t2i.input_ids")?.id_rows();
        let inputs = self.expected.get("rollout.input_ids")?;
        let (steps, group) = (inputs.shape[0], inputs.shape[1]);
        let inputs = inputs.id_rows();
        let chosen = self.expected.get("rollout.chosen_ids")?.id_rows();
        let span = self.config.t2i_image_span();
        let per_candidate = |all: &[f32], i: usize| all[i * all.len() / group..(i + 1) * all.len() / group].to_vec();
        Ok((0..group)
            .map(|i| {
                let special = self.config.special_token_ids;
                // The prompt's text alone: without padding, task token and end of text, which the policy adds.
                let text: Vec<u32> =
                    prompts[i][..span.start - 1].iter().copied().skip_while(|&id| id == special.pad).skip(1).collect();
                let text = text[..text.len() - 1].to_vec();
                let (mut ids, mut undecided) = (Vec::new(), Vec::new());
                for step in 0..steps {
                    let row = &inputs[step * group + i][span.clone()];
                    undecided.extend(row.iter().map(|&id| id == self.config.mask_token_id));
                    ids.extend(&chosen[step * group + i]);
                }
                let understanding = Segment {
                    kind: SegmentKind::Understanding,
                    decoding: Decoding::Autoregressive,
                    context: question.clone(),
                    per_step: 1,
                    chosen: answers[i].clone(),
                    log_probs: per_candidate(&old_und, i),
                    undecided: vec![true; answers[i].len()],
                    guidance: 0.0,
                    temperature: 1.0,
                };
                let generation = Segment {
                    kind: SegmentKind::Generation,
                    decoding: Decoding::Masked,
                    context: text,
                    per_step: span.len(),
                    chosen: ids,
                    log_probs: per_candidate(&old_gen, i),
                    undecided,
                    guidance: self.config.guidance_scale,
                    temperature: 1.0,
                };
                Trajectory { candidate: i as u64, segments: vec![understanding, generation] }
            })
            .collect())
    }
}

/// The policy with the fixture's own reference log-probabilities; keeps the current ones that pass through.
struct WithReference {
    policy: ShowoPolicy,
    reference: [Golden; 2],
    current: RefCell<[Vec<f64>; 2]>,
}

impl Policy for WithReference {
    fn log_probs(&self, chunk: &[Replay<'_>], weights: Weights) -> Result<LogProbs> {
        match weights {
            Weights::Current | Weights::Detached => {
                let scores = self.policy.log_probs(chunk, weights)?;
                self.current.borrow_mut()[chunk[0].segment].extend(floats(scores.log_probs.clone().inner())?);
                Ok(scores)
            }
            Weights::Reference => {
                let golden = &self.reference[chunk[0].segment];
                let width = golden.shape[1];
                let rows: Vec<f32> = chunk
                    .iter()
                    .flat_map(|r| {
                        let start = r.trajectory.candidate as usize * width;
                        golden.values[start..start + width][r.decisions()].iter().map(|&v| v as f32)
                    })
                    .collect();
                let shape = [chunk.len(), rows.len() / chunk.len()];
                let log_probs = Tensor::from_data(TensorData::new(rows, shape), &Device::flex());
                Ok(LogProbs { log_probs: log_probs.to_device(self.policy.device()), entropy: None })
            }
        }
    }

    fn learner(&mut self) -> &mut dyn Learner {
        self.policy.learner()
    }
}

/// A parameter's path under its name in PyTorch, where norms have a weight and a bias.
fn official(path: &str) -> String {
    path.replace(".gamma", ".weight").replace(".beta", ".bias")
}

fn dims<const D: usize>(golden: &Golden, name: &str) -> Result<[usize; D]> {
    golden
        .shape
        .clone()
        .try_into()
        .map_err(|_| Error::data(format!("`{name}`: expected {D} axes, got {:?}", golden.shape)))
}

fn floats<const D: usize>(tensor: Tensor<D>) -> Result<Vec<f64>> {
    let values = tensor.try_into_vec_as::<f32>().map_err(|e| Error::contract(e.to_string()))?;
    Ok(values.into_iter().map(f64::from).collect())
}

fn ints<const D: usize>(tensor: Tensor<D, Int>) -> Result<Vec<f64>> {
    let values = tensor.try_into_vec_as::<i64>().map_err(|e| Error::contract(e.to_string()))?;
    Ok(values.into_iter().map(|v| v as f64).collect())
}

fn flags(allowed: &Allowed) -> Vec<f64> {
    allowed.flags().iter().map(|&f| f64::from(u8::from(f))).collect()
}

/// The model's config and the objective's weights, which share a `config.json`.
fn settings(folder: &Path) -> Result<(ShowoConfig, Grpo)> {
    #[derive(serde::Deserialize)]
    struct Objective {
        grpo: Grpo,
    }
    let path = folder.join("config.json");
    let config = ShowoConfig::load(&path)?;
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io("cannot read", &path, e))?;
    let objective: Objective = serde_json::from_str(&text)
        .map_err(|e| Error::data("expected the objective's weights as `grpo`").at(path.display()).with_source(e))?;
    Ok((config, objective.grpo))
}
