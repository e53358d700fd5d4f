//! Show-o against the reference implementation: masks, logits, a rollout, greedy text, the objective, the tokenizer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use burn::optim::GradientsParams;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use counterpoint::updater::{Group, accumulate};
use counterpoint::{
    Error, Learner, LogProbs, Parameters, Policy, Replay, Replica, Result, Segment, SyncGrpoConfig, Trajectory,
};
use counterpoint_samplers::{AutoregressiveConfig, ImageModel, MaskSchedule, least_confident};
use counterpoint_showo::{
    Allowed, AnswerIds, FastPaths, MagvitV2, Precision, Showo, ShowoConfig, ShowoPolicy, prompting, tokens,
};

use super::fixture::{Expected, Golden};
use super::report::{Report, Tolerance};

/// What the numbers are held to.
struct Tolerances {
    logits: Tolerance,
    gradients: Tolerance,
    gradient_norms: Tolerance,
    /// Decisions that hang on the order of scores.
    decisions: Tolerance,
}

impl Tolerances {
    fn of(precision: Precision) -> Self {
        use Tolerance::{Each, Exact, Norm, Relative, Unequal};
        match precision {
            Precision::F32 => {
                Self { logits: Relative(1e-4), gradients: Relative(1e-3), gradient_norms: Each(1e-3), decisions: Exact }
            }
            _ => Self {
                logits: Relative(HALF),
                gradients: Norm(2.0 * HALF),
                gradient_norms: Each(2.0 * HALF),
                decisions: Unequal(HALF),
            },
        }
    }
}

const HALF: f64 = 0.1;

/// The image tokenizer computes in f32 whatever the decoder does.
const IMAGES: Tolerance = Tolerance::Relative(1e-4);

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

pub fn run(folder: &Path, device: &Device, precision: Precision, fast: FastPaths, report: &mut Report) -> Result<()> {
    let expected = Expected::open(folder)?;
    let (config, grpo) = settings(folder)?;
    let decoder = Showo::load(&config, &folder.join("showo.safetensors"), device)?;
    let image = MagvitV2::load(&config.magvitv2, &folder.join("magvitv2.safetensors"), device)?;
    let policy = ShowoPolicy::new(config.clone(), decoder, None, image, device)?;
    let policy = policy.with_fast(fast).with_answer_ids(AnswerIds::All).with_precision(precision)?;
    let decoder = policy.merged().with_fused_attention(fast.fused_attention);
    let run = Parity { config, decoder, expected, device: device.clone(), tolerances: Tolerances::of(precision) };
    run.tokenizer(policy.image_tokenizer(), report)?;
    run.logits(&policy, report)?;
    run.rollout(&policy, report)?;
    run.greedy(&policy, report)?;
    let reference = [run.expected.get("grpo.ref_und")?, run.expected.get("grpo.ref_gen")?];
    let golden = Arc::new(GoldenReference { reference, device: device.clone(), current: Mutex::default() });
    let mut policy = WithReference { policy, golden };
    CHUNKS.iter().try_for_each(|&chunk| run.objective(&grpo, &mut policy, chunk, report))
}

struct Parity {
    config: ShowoConfig,
    /// The decoder over whole sequences.
    decoder: Showo,
    expected: Expected,
    device: Device,
    tolerances: Tolerances,
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
        self.check(report, "vq.encoder_out", &floats(image.latents(pixels)?)?, IMAGES)?;
        self.check(report, "vq.codes", &ints(codes)?, Tolerance::Exact)?;
        // Decoded from the golden codes, so that a wrong code cannot hide a wrong decoder.
        let codes = tokens::to_tensor(&self.expected.get("vq.codes")?.id_rows(), &self.device);
        self.check(report, "vq.decoded", &floats(image.decode(codes)?)?, IMAGES)
    }

    /// Hidden states of whole sequences.
    fn forward(&self, rows: &[Vec<u32>], allowed: &Allowed) -> Tensor<3> {
        self.decoder.forward(tokens::to_tensor(rows, &self.device), allowed.tensor(&self.device))
    }

    /// The prompts' text alone: without padding, task token and end of text, which the policy adds.
    fn contexts(&self) -> Result<Vec<Vec<u32>>> {
        let (pad, text) = (self.config.special_token_ids.pad, self.config.t2i_prompt_length());
        let prompts = self.expected.get("t2i.input_ids")?.id_rows();
        let context = |row: &Vec<u32>| {
            let text: Vec<u32> = row[..text].iter().copied().skip_while(|&id| id == pad).skip(1).collect();
            text[..text.len() - 1].to_vec()
        };
        Ok(prompts.iter().map(context).collect())
    }

    /// Image codes of whole sequences, the codebook's size for a masked token.
    fn codes(&self, rows: &[Vec<u32>]) -> Tensor<2, Int> {
        let (offset, size) = (self.config.image_token_offset, self.config.codebook_size as u32);
        let span = self.config.t2i_image_span();
        let codes: Vec<Vec<u32>> =
            rows.iter().map(|row| row[span.clone()].iter().map(|&id| (id - offset).min(size)).collect()).collect();
        tokens::to_tensor(&codes, &self.device)
    }

    fn logits(&self, policy: &ShowoPolicy, report: &mut Report) -> Result<()> {
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
            self.check(report, name, &floats(self.decoder.logits(hidden))?, self.tolerances.logits)?;
        }
        let contexts = self.contexts()?;
        let contexts: Vec<&[u32]> = contexts.iter().map(Vec::as_slice).collect();
        let prompts = policy.prepare(&contexts, self.config.guidance_scale)?;
        let guided = policy.image_scores(&prompts, self.codes(&conditional)).guided;
        self.check(report, "t2i.guided_image_logits", &floats(guided)?, self.tolerances.logits)?;

        let rows = self.expected.get("mmu.input_ids")?.id_rows();
        let allowed = Allowed::mmu(&self.config, &rows)?;
        self.check(report, "mmu.allowed", &flags(&allowed), Tolerance::Exact)?;
        self.check(
            report,
            "mmu.logits",
            &floats(self.decoder.logits(self.forward(&rows, &allowed)))?,
            self.tolerances.logits,
        )
    }

    /// The recorded rollout, step by step as a sampler goes it: scores of its tokens, how many are masked again, and
    /// which. After the first step the images go on as drafts that are finished.
    fn rollout(&self, policy: &ShowoPolicy, report: &mut Report) -> Result<()> {
        let inputs = self.expected.get("rollout.input_ids")?;
        let steps = inputs.shape[0];
        let batch = inputs.shape[1];
        let (inputs, chosen) = (inputs.id_rows(), self.expected.get("rollout.chosen_ids")?.id_rows());
        let contexts = self.contexts()?;
        let contexts: Vec<&[u32]> = contexts.iter().map(Vec::as_slice).collect();
        let mut prompts = policy.prepare(&contexts, self.config.guidance_scale)?;
        let span = self.config.t2i_image_span();
        let (mut log_probs, mut mask_len, mut remasked) = (Vec::new(), Vec::new(), Vec::new());
        for step in 0..steps {
            let rows = &inputs[step * batch..(step + 1) * batch];
            let ids = &chosen[step * batch..(step + 1) * batch];
            let logits = match step {
                0 => policy.first_scores(&prompts, self.codes(rows)).guided,
                _ => policy.image_scores(&prompts, self.codes(rows)).guided,
            };
            let all = log_softmax(logits, 2);
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
            if step == 0 {
                let picked: Vec<(usize, usize)> = (0..batch).map(|image| (0, image)).collect();
                prompts = match policy.gather(&[&prompts], &picked) {
                    Some(prompts) => prompts,
                    None => policy.prepare(&contexts, self.config.guidance_scale)?,
                };
            }
        }
        self.check(report, "rollout.old_logps", &log_probs, self.tolerances.logits)?;
        self.check(report, "rollout.mask_len", &mask_len, Tolerance::Exact)?;
        self.check(report, "rollout.remasked", &remasked, self.tolerances.decisions)
    }

    /// Greedy text through the key/value cache that rollouts use.
    fn greedy(&self, policy: &ShowoPolicy, report: &mut Report) -> Result<()> {
        let context = self.expected.get("mmu.input_ids")?.ids();
        let length = self.expected.get("mmu.greedy_ids")?.values.len();
        let config = AutoregressiveConfig { max_new_tokens: length, temperature: 0.0, ..Default::default() };
        let candidate = counterpoint::Candidate::new(counterpoint::Streams::new(0), counterpoint::Key::task(0, 0));
        let text = config.init()?.generate(policy, &context, &[candidate])?.remove(0);
        let ids: Vec<f64> = text.tokens.iter().map(|&id| f64::from(id)).collect();
        let log_probs: Vec<f64> = text.log_probs.iter().map(|&p| f64::from(p)).collect();
        self.check(report, "mmu.greedy_ids", &ids, self.tolerances.decisions)?;
        self.check(report, "mmu.greedy_logps", &log_probs, self.tolerances.logits)
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
        let group = Group::new(0, trajectories, self.expected.get("grpo.advantages")?.values);
        let replayed = accumulate(policy, &objective, std::slice::from_ref(&group), chunk, None)?;
        let [understanding, generation] = [0, 1].map(|segment| policy.golden.take(segment));
        let of = |name: &str| format!("{name} (chunk {chunk})");
        let compare = |report: &mut Report, name: &str, got: &[f64], tolerance| -> Result<()> {
            report.compare(&of(name), &self.expected.get(name)?.values, got, tolerance);
            Ok(())
        };
        compare(report, "grpo.cur_und", &understanding, self.tolerances.logits)?;
        compare(report, "grpo.cur_gen", &generation, self.tolerances.logits)?;
        compare(report, "grpo.loss", &[replayed.all.stats.loss], self.tolerances.gradients)?;

        let norms = policy.learner().gradient_norms()?;
        let names = self.expected.names("grpo.grad_norm.")?;
        let got: Vec<f64> = names
            .iter()
            .map(|name| norms.iter().find(|(path, _)| official(path) == *name).map_or(f64::NAN, |(_, norm)| *norm))
            .collect();
        let mut wanted = Vec::new();
        for name in &names {
            wanted.extend(self.expected.get(&format!("grpo.grad_norm.{name}"))?.values);
        }
        report.compare(&of("grpo.grad_norm.*"), &wanted, &got, self.tolerances.gradient_norms);
        report.compare(&of("grpo.grad_norm.* count"), &[names.len() as f64], &[norms.len() as f64], Tolerance::Exact);

        let hidden = self.config.phi.hidden_size;
        let learner = policy.policy.module_learner();
        let embed = learner.gradient("showo.model.embed_tokens.weight");
        let query = learner.gradient("showo.model.layers.0.self_attn.q_proj.weight");
        let missing = || Error::contract("a whole gradient that the fixture has was not computed");
        compare(report, "grpo.grad.embed_tokens", &floats(embed.ok_or_else(missing)?)?, self.tolerances.gradients)?;
        // Linear weights are transposed in PyTorch.
        let query = query.ok_or_else(missing)?.reshape([hidden, hidden]).transpose();
        compare(report, "grpo.grad.q_proj0", &floats(query)?, self.tolerances.gradients)?;
        policy.learner().discard();
        Ok(())
    }

    /// The recorded group: the understanding tokens after the question, and the rollout's denoising steps.
    fn trajectories(&self) -> Result<Vec<Trajectory>> {
        let question = self.expected.get("mmu.input_ids")?.ids();
        let answers = self.expected.get("grpo.und_ids")?.id_rows();
        let (old_und, old_gen) =
            (self.expected.get("grpo.old_und")?.floats(), self.expected.get("grpo.old_gen")?.floats());
        let contexts = self.contexts()?;
        let inputs = self.expected.get("rollout.input_ids")?;
        let (steps, group) = (inputs.shape[0], inputs.shape[1]);
        let inputs = inputs.id_rows();
        let chosen = self.expected.get("rollout.chosen_ids")?.id_rows();
        let span = self.config.t2i_image_span();
        let per_candidate = |all: &[f32], i: usize| all[i * all.len() / group..(i + 1) * all.len() / group].to_vec();
        Ok((0..group)
            .map(|i| {
                let (mut ids, mut undecided) = (Vec::new(), Vec::new());
                for step in 0..steps {
                    let row = &inputs[step * group + i][span.clone()];
                    undecided.extend(row.iter().map(|&id| id == self.config.mask_token_id));
                    ids.extend(&chosen[step * group + i]);
                }
                let understanding = Segment::text(question.clone(), answers[i].clone(), per_candidate(&old_und, i));
                let generation =
                    Segment::masked(contexts[i].clone(), span.len(), ids, per_candidate(&old_gen, i), undecided)
                        .with_guidance(self.config.guidance_scale);
                Trajectory::new(i as u64, vec![understanding, generation])
            })
            .collect())
    }
}

/// The policy with the fixture's own reference log-probabilities.
struct WithReference {
    policy: ShowoPolicy,
    golden: Arc<GoldenReference>,
}

/// The fixture's reference log-probabilities; keeps the current ones that pass by.
struct GoldenReference {
    /// Of understanding and generation.
    reference: [Golden; 2],
    device: Device,
    /// By segment, candidate and first step.
    current: Mutex<BTreeMap<(usize, u64, usize), Vec<f64>>>,
}

impl GoldenReference {
    fn keep(&self, chunk: &[Replay<'_>], scores: &LogProbs) -> Result<()> {
        let width = scores.log_probs.dims()[1];
        let values = floats(scores.log_probs.clone().inner())?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        for (replay, row) in chunk.iter().zip(values.chunks(width)) {
            let key = (replay.segment, replay.trajectory.candidate, replay.steps.start);
            current.insert(key, row[..replay.decisions().len()].to_vec());
        }
        Ok(())
    }

    /// Forgets and returns the current log-probabilities of a segment, candidates and steps in order.
    fn take(&self, segment: usize) -> Vec<f64> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = std::mem::take(&mut *current);
        let (wanted, others): (BTreeMap<_, _>, _) = kept.into_iter().partition(|((of, ..), _)| *of == segment);
        *current = others;
        wanted.into_values().flatten().collect()
    }

    fn log_probs(&self, chunk: &[Replay<'_>]) -> LogProbs {
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
        LogProbs::new(Tensor::from_data(TensorData::new(rows, shape), &self.device))
    }
}

impl Policy for WithReference {
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        if parameters == Parameters::Reference {
            return Ok(self.golden.log_probs(chunk));
        }
        let scores = self.policy.log_probs(chunk, parameters)?;
        self.golden.keep(chunk, &scores)?;
        Ok(scores)
    }

    fn replicas(&self) -> Vec<Box<dyn Replica>> {
        let with_golden =
            |inner| -> Box<dyn Replica> { Box::new(ReplicaWithReference { inner, golden: self.golden.clone() }) };
        self.policy.replicas().into_iter().map(with_golden).collect()
    }

    fn learner(&mut self) -> &mut dyn Learner {
        self.policy.learner()
    }
}

struct ReplicaWithReference {
    inner: Box<dyn Replica>,
    golden: Arc<GoldenReference>,
}

impl Replica for ReplicaWithReference {
    fn log_probs(&self, chunk: &[Replay<'_>], parameters: Parameters) -> Result<LogProbs> {
        if parameters == Parameters::Reference {
            return Ok(self.golden.log_probs(chunk));
        }
        let scores = self.inner.log_probs(chunk, parameters)?;
        self.golden.keep(chunk, &scores)?;
        Ok(scores)
    }

    fn gradients(&self, loss: Tensor<1>) -> Result<GradientsParams> {
        self.inner.gradients(loss)
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
