//! Trains the decoder: masked image tokens given a prompt, answers given an image, answers given facts.

use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use burn::grad_clipping::GradientClippingConfig;
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsAccumulator, GradientsParams};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use counterpoint::config::RunConfig;
use counterpoint::{Error, Result};
use counterpoint_examples::{HeldOut, parts};
use counterpoint_showo::{Allowed, MagvitV2, Showo, ShowoConfig, TextTokenizer, prompting};
use image::RgbImage;

use crate::questions::{self, Question};
use crate::sizes;
use crate::world::{Rng, World, codes, ids};

/// Length of the learning-rate schedule.
const STEPS: usize = 3000;
/// Where training stops: the model is to be good, but to have room to improve.
const STOP: usize = 1000;
const LEARNING_RATE: f64 = 1e-3;
const IMAGES: usize = 6;
const VISUAL: usize = 4;
const TEXTUAL: usize = 8;
/// Facts that a textual question lists. The benchmark's lists have eight: what is learned from pairs is the form of an
/// answer and the place that a prompt is about, not yet how to find its fact in a list.
const FACTS: usize = 2;
const CONDITION_DROPOUT: f64 = 0.1;
/// Images of each training scene that are tokenised beforehand.
const VIEWS: usize = 2;

struct Trainer<'a> {
    world: &'a World,
    config: ShowoConfig,
    text: TextTokenizer,
    tokenizer: MagvitV2,
    /// Codes of `VIEWS` images of each training scene.
    views: Vec<Vec<Vec<u32>>>,
    black: Vec<u32>,
    device: Device,
}

/// One step's examples.
struct Batch {
    images: ImageBatch,
    visual: Vec<(Question, Vec<u32>)>,
    textual: Vec<Question>,
}

/// Text-to-image sequences with masked tokens, what the tokens are, and which of them count.
#[derive(Default)]
struct ImageBatch {
    rows: Vec<Vec<u32>>,
    targets: Vec<Vec<u32>>,
    weights: Vec<f32>,
}

/// Writes `model.safetensors` into `out`, where the tokenizers are.
pub fn run(out: &Path, seed: u64) -> Result<()> {
    let world = World::new()?;
    let config = ShowoConfig::load(&out.join("config.json"))?;
    let tokenizer = MagvitV2::load(&config.magvitv2, &out.join("magvitv2.safetensors"), &Device::flex())?;
    let device = Device::flex().autodiff();
    let mut rng = Rng(seed ^ 0x5110_5110);
    let mut trainer = Trainer {
        text: TextTokenizer::load(&out.join("tokenizer.json"), &config)?,
        views: Vec::new(),
        black: codes(&tokenizer, &[RgbImage::new(64, 64)])?.remove(0),
        world: &world,
        config,
        tokenizer,
        device,
    };
    trainer.tokenise(&mut rng)?;
    trainer.device.seed(seed);
    let mut model = trainer.config.init(&trainer.device)?;
    println!("decoder: {} parameters, image tokenizer: {}", model.num_params(), trainer.tokenizer.num_params());
    let mut optimizer = AdamWConfig::new()
        .with_beta_2(0.99)
        .with_weight_decay(0.01)
        .with_grad_clipping(Some(GradientClippingConfig::Norm(1.0)))
        .init();
    let start = Instant::now();
    for step in 0..STOP {
        let batch = trainer.batch(&mut rng)?;
        let (losses, gradients) = trainer.gradients(&model, &batch)?;
        model = optimizer.step(sizes::cosine(step, STEPS, 100, LEARNING_RATE), model, gradients);
        if (step + 1) % 100 == 0 {
            let [image, visual, textual] = losses;
            let seconds = start.elapsed().as_secs_f64();
            println!(
                "decoder step {:>5}  {seconds:>5.0} s  {:.1} sequences/s  loss: image {image:.3}, visual {visual:.3}, \
                 textual {textual:.3}",
                step + 1,
                ((step + 1) * (IMAGES + VISUAL + TEXTUAL)) as f64 / seconds,
            );
        }
    }
    model.valid().save(&out.join("model.safetensors"))
}

/// Prints how the finished model does on the held-out half, as `sync_r1` sees it before its first step.
pub fn evaluate(out: &Path) -> Result<()> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = out.canonicalize().map_err(|e| Error::io("cannot find", out, e))?;
    let config = RunConfig::load(&base.join("sync_r1.toml"), &[format!("policy.model='{}'", out.display())])?;
    let mut parts = parts(&config, base, &Device::flex())?;
    for (pathway, scores) in HeldOut::new(&config, base)?.evaluate(&mut parts)?.metrics {
        println!(
            "{pathway}: reasoning {:.1} %, image {:.1} %, joint {:.1} %",
            100.0 * scores.reasoning,
            100.0 * scores.image,
            100.0 * scores.joint
        );
    }
    Ok(())
}

impl Trainer<'_> {
    fn tokenise(&mut self, rng: &mut Rng) -> Result<()> {
        for part in self.world.training.chunks(32) {
            let pictures: Vec<RgbImage> =
                part.iter().flat_map(|scene| [scene; VIEWS]).map(|scene| self.world.image(scene, rng)).collect();
            self.views.extend(codes(&self.tokenizer, &pictures)?.chunks(VIEWS).map(<[Vec<u32>]>::to_vec));
        }
        Ok(())
    }

    /// A mixed batch.
    fn batch(&self, rng: &mut Rng) -> Result<Batch> {
        let visual = (0..VISUAL)
            .map(|_| {
                let at = rng.below(self.views.len());
                let codes = self.views[at][rng.below(VIEWS)].clone();
                Ok((questions::visual(&self.world.training[at], &self.text, rng)?, codes))
            })
            .collect::<Result<_>>()?;
        let textual = (0..TEXTUAL)
            .map(|_| questions::textual(FACTS, &self.world.held_out, &self.text, rng))
            .collect::<Result<_>>()?;
        Ok(Batch { images: self.image_batch(rng)?, visual, textual })
    }

    /// Losses (image, visual, textual) and the gradients of their sum; images and text on a thread each.
    fn gradients(&self, model: &Showo, batch: &Batch) -> Result<([f32; 3], GradientsParams)> {
        // Graphs that share a parameter are one to burn, and are consumed together: each thread has its own leaves.
        let fork = model.clone().fork(&self.device);
        let (images, text) = std::thread::scope(|scope| {
            let images = scope.spawn(|| {
                let (image, visual) = (self.image_loss(model, &batch.images)?, self.visual_loss(model, &batch.visual)?);
                let gradients = GradientsParams::from_grads((image.clone() + visual.clone()).backward(), model);
                Ok::<_, Error>(([image.into_scalar::<f32>(), visual.into_scalar()], gradients))
            });
            let textual = self.textual_loss(&fork, &batch.textual).map(|loss| {
                let gradients = GradientsParams::from_grads(loss.backward(), &fork);
                (loss.into_scalar::<f32>(), gradients)
            });
            (images.join(), textual)
        });
        let ([image, visual], first) = images.map_err(|_| Error::contract("the image thread panicked"))??;
        let (textual, second) = text?;
        let mut sum = GradientsAccumulator::new();
        sum.accumulate(model, first);
        sum.accumulate(model, second);
        Ok(([image, visual, textual], sum.grads()))
    }

    fn image_batch(&self, rng: &mut Rng) -> Result<ImageBatch> {
        let config = &self.config;
        let mut batch = ImageBatch::default();
        for _ in 0..IMAGES {
            let at = rng.below(self.views.len());
            let codes = &self.views[at][rng.below(VIEWS)];
            let caption = questions::caption(&self.world.training[at], rng);
            let text = if rng.uniform() < CONDITION_DROPOUT { Vec::new() } else { self.text.encode(&caption)? };
            let share = (rng.uniform() * std::f64::consts::FRAC_PI_2).cos();
            let masked = ((config.num_vq_tokens as f64 * share).round() as usize).max(1);
            let mut order: Vec<usize> = (0..config.num_vq_tokens).collect();
            rng.shuffle(&mut order);
            let mut image = prompting::image_ids(config, codes)?;
            let mut weight = vec![0.0_f32; image.len()];
            for &position in &order[..masked] {
                image[position] = config.mask_token_id;
                weight[position] = 1.0;
            }
            batch.rows.push(prompting::t2i_sequence(config, &text, &image));
            batch.targets.push(codes.clone());
            batch.weights.extend(weight);
        }
        Ok(batch)
    }

    /// Cross entropy of masked image tokens, the share of masked tokens drawn through a cosine.
    fn image_loss(&self, model: &Showo, batch: &ImageBatch) -> Result<Tensor<1>> {
        let (config, rows) = (&self.config, &batch.rows);
        let allowed = Allowed::t2i(config, rows)?.tensor(&self.device);
        let hidden = model.forward(ids(rows, &self.device), allowed);
        let span = config.t2i_image_span();
        let logits = model.image_logits(hidden.narrow(1, span.start, span.len()));
        Ok(self.cross_entropy(logits, &batch.targets, batch.weights.clone()))
    }

    /// Cross entropy of the answers to questions about images.
    fn visual_loss(&self, model: &Showo, batch: &[(Question, Vec<u32>)]) -> Result<Tensor<1>> {
        let (mut rows, mut answers) = (Vec::new(), Vec::new());
        for (question, codes) in batch {
            let (row, spans) = self.conversation(codes, question)?;
            rows.push(row);
            answers.push(spans);
        }
        prompting::pad_right(&self.config, &mut rows);
        let allowed = Allowed::mmu(&self.config, &rows)?.tensor(&self.device);
        let hidden = model.forward(ids(&rows, &self.device), allowed);
        let first = self.config.mmu_image_length();
        let width = rows[0].len() - first;
        let tails = rows.iter().map(|row| row[first..].to_vec()).collect::<Vec<_>>();
        Ok(self.answer_loss(model.logits(hidden.narrow(1, first, width)), &tails, &answers, first))
    }

    /// Cross entropy of the answers to textual questions. All share the black image, which is computed once.
    fn textual_loss(&self, model: &Showo, batch: &[Question]) -> Result<Tensor<1>> {
        let (mut rows, mut answers) = (Vec::new(), Vec::new());
        for question in batch {
            let (row, spans) = self.conversation(&self.black, question)?;
            rows.push(row);
            answers.push(spans);
        }
        prompting::pad_right(&self.config, &mut rows);
        let first = self.config.mmu_image_length();
        let allowed = Allowed::mmu(&self.config, &rows)?;
        let prefix = vec![rows[0][..first].to_vec()];
        let within = Allowed::mmu(&self.config, &prefix)?.tensor(&self.device);
        let (_, cache) = model.prefill(ids(&prefix, &self.device), within);
        let cache = cache.select(&vec![0; rows.len()]);
        let tails = rows.iter().map(|row| row[first..].to_vec()).collect::<Vec<_>>();
        let allowed = allowed.queries(first..rows[0].len()).tensor(&self.device);
        let hidden = model.forward_with_prefix(ids(&tails, &self.device), &cache, allowed);
        Ok(self.answer_loss(model.logits(hidden), &tails, &answers, first))
    }

    /// Image, questions and answers as one sequence, each answer closed by the end of text; and where the answers are.
    fn conversation(&self, codes: &[u32], question: &Question) -> Result<(Vec<u32>, Vec<Range<usize>>)> {
        let (mut row, start) = prompting::mmu_sequence(&self.config, codes, &question.question, &question.answer)?;
        let first = start..row.len();
        let mut answers = vec![first];
        for (question, answer) in &question.further {
            row.extend(question);
            let start = row.len();
            row.extend(answer);
            row.push(self.config.eos_id);
            answers.push(start..row.len());
        }
        Ok((row, answers))
    }

    /// Next-token loss on the answers. `logits` and `rows` begin at position `first` of the sequences.
    fn answer_loss(
        &self,
        logits: Tensor<3>,
        rows: &[Vec<u32>],
        answers: &[Vec<Range<usize>>],
        first: usize,
    ) -> Tensor<1> {
        let width = rows[0].len() - 1;
        // Position `at` predicts the token after it.
        let weights = answers
            .iter()
            .flat_map(|spans| {
                (0..width).map(|at| if spans.iter().any(|span| span.contains(&(first + at + 1))) { 1.0 } else { 0.0 })
            })
            .collect();
        let targets: Vec<Vec<u32>> = rows.iter().map(|row| row[1..].to_vec()).collect();
        self.cross_entropy(logits.narrow(1, 0, width), &targets, weights)
    }

    /// Mean over the positions of weight 1.
    fn cross_entropy(&self, logits: Tensor<3>, targets: &[Vec<u32>], weights: Vec<f32>) -> Tensor<1> {
        let [batch, length, _] = logits.dims();
        let total: f32 = weights.iter().sum();
        let targets: Tensor<2, Int> = ids(targets, &self.device);
        let chosen = log_softmax(logits, 2).gather(2, targets.unsqueeze_dim(2)).reshape([batch, length]);
        let weights = Tensor::<2>::from_data(TensorData::new(weights, [batch, length]), &self.device);
        (chosen * weights).sum() / -total
    }
}
