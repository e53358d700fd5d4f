//! Trains the decoder: first to look facts up, in text alone; then masked image tokens given a prompt, answers given an
//! image, answers given facts.

use std::path::Path;
use std::time::Instant;

use burn::grad_clipping::GradientClippingConfig;
use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Tensor};
use counterpoint::config::RunConfig;
use counterpoint::{Error, Result, evaluation};
use counterpoint_examples::{evaluator, parts};
use counterpoint_showo::{MagvitV2, Showo, ShowoConfig, TextTokenizer};
use counterpoint_unifybench::Metrics;
use counterpoint_unifybench::metrics::splits;

use crate::batches::Batches;
use crate::losses::Losses;
use crate::sizes;
use crate::world::{Rng, World};

/// Steps of the first phase. Looking a fact up in a list takes long to emerge, and text alone is cheap.
const LANGUAGE_STEPS: usize = 1000;
const LANGUAGE_RATE: f64 = 2e-3;
/// Steps of the second phase.
const STEPS: usize = 1500;
const RATE: f64 = 1e-3;
const WARM_UP: usize = 100;

/// Writes `model.safetensors` into `out`, where the tokenizers are.
pub fn run(out: &Path, seed: u64) -> Result<()> {
    let world = World::new()?;
    let config = ShowoConfig::load(&out.join("config.json"))?;
    let text = TextTokenizer::load(&out.join("tokenizer.json"), &config)?;
    let tokenizer = MagvitV2::load(&config.magvitv2, &out.join("magvitv2.safetensors"), &Device::flex())?;
    let mut rng = Rng(seed ^ 0x5110_5110);
    let batches = Batches::new(&world, &config, &text, &tokenizer, &mut rng)?;

    let device = Device::flex().autodiff();
    let losses = Losses { config: &config, device: &device };
    device.seed(seed);
    let mut model = config.init(&device)?;
    println!("decoder: {} parameters, image tokenizer: {}", model.num_params(), tokenizer.num_params());
    let mut optimizer = AdamWConfig::new()
        .with_beta_2(0.99)
        .with_weight_decay(0.01)
        .with_grad_clipping(Some(GradientClippingConfig::Norm(1.0)))
        .init();
    let start = Instant::now();
    for step in 0..LANGUAGE_STEPS {
        let lists = [batches.lists(step, &mut rng)?, batches.lists(step, &mut rng)?];
        let recall = lists.each_ref().map(|lists| |model: &Showo| Ok(vec![losses.answers(model, lists, 0)?]));
        let (values, gradients) = in_two_threads(&model, &device, [&recall[0], &recall[1]])?;
        model = optimizer.step(sizes::cosine(step, LANGUAGE_STEPS, WARM_UP, LANGUAGE_RATE), model, gradients);
        report("language", step, start, &["recall", "recall"], &values);
    }
    let start = Instant::now();
    let image = config.mmu_image_length();
    for step in 0..STEPS {
        let images = batches.images(&mut rng)?;
        let visual = batches.visual(&mut rng)?;
        let textual = batches.textual(&mut rng)?;
        let pictures = |model: &Showo| Ok(vec![losses.images(model, &images)?, losses.answers(model, &visual, image)?]);
        let text = |model: &Showo| Ok(vec![losses.answers_to_one_image(model, &textual, image)?]);
        let (values, gradients) = in_two_threads(&model, &device, [&pictures, &text])?;
        model = optimizer.step(sizes::cosine(step, STEPS, WARM_UP, RATE), model, gradients);
        report("decoder", step, start, &["image", "visual", "textual"], &values);
    }
    model.valid().save(&out.join("model.safetensors"))
}

/// Some losses of a model, to be summed.
type Objective<'a> = dyn Fn(&Showo) -> Result<Vec<Tensor<1>>> + Sync + 'a;

/// The losses of both objectives and the gradients of their sum, each objective on a thread of its own.
fn in_two_threads(
    model: &Showo,
    device: &Device,
    [first, second]: [&Objective<'_>; 2],
) -> Result<(Vec<f32>, GradientsParams)> {
    // Graphs that share a parameter are one to burn, and are consumed together: each thread has its own leaves.
    let fork = model.clone().fork(device);
    let run = |objective: &Objective<'_>, model: &Showo| -> Result<(Vec<f32>, GradientsParams)> {
        let losses = objective(model)?;
        let gradients = GradientsParams::from_grads(Tensor::cat(losses.clone(), 0).sum().backward(), model);
        Ok((losses.into_iter().map(Tensor::into_scalar).collect(), gradients))
    };
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| run(first, model));
        let second = run(second, &fork);
        (first.join(), second)
    });
    let (mut values, first) = first.map_err(|_| Error::contract("a training thread panicked"))??;
    let (others, second) = second?;
    values.extend(others);
    let mut sum = GradientsAccumulator::new();
    sum.accumulate(model, first);
    sum.accumulate(model, second);
    Ok((values, sum.grads()))
}

fn report(phase: &str, step: usize, start: Instant, names: &[&str], losses: &[f32]) {
    if (step + 1).is_multiple_of(100) {
        let losses: Vec<String> = names.iter().zip(losses).map(|(name, loss)| format!("{name} {loss:.3}")).collect();
        println!("{phase} step {:>5}  {:>5.0} s  loss: {}", step + 1, start.elapsed().as_secs_f64(), losses.join(", "));
    }
}

/// Prints how the finished model does on the held-out half, as `sync_r1` sees it before its first step.
pub fn evaluate(out: &Path) -> Result<()> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = out.canonicalize().map_err(|e| Error::io("cannot find", out, e))?;
    let config = RunConfig::load(&base.join("sync_r1.toml"), &[format!("policy.model='{}'", out.display())])?;
    let (mut rollouts, updater) = parts(&config, base, &Device::flex())?.split(&config.trainer, config.run.seed)?;
    let Some(mut judge) = evaluator(&config, base, &Device::flex())? else { return Ok(()) };
    let samples = evaluation::evaluate(judge.as_mut(), &mut rollouts, updater.policy(), &mut || {})?;
    for (split, samples) in splits(&samples) {
        let scores = Metrics::of(samples)?;
        let shown = ["reasoning", "image", "joint", "painting/image"]
            .into_iter()
            .filter_map(|name| Some(format!("{name} {:.1} %", 100.0 * scores.get(name)?)));
        println!("{split}: {}", shown.collect::<Vec<_>>().join(", "));
    }
    Ok(())
}
