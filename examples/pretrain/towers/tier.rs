//! The text encoder: facts that differ are far apart, one fact in other words is near.
#![allow(clippy::print_stdout)]

use std::collections::HashSet;
use std::path::Path;

use burn::tensor::{Device, Tensor};
use counterpoint::{Key, Result, Stream, Streams};
use counterpoint_encoders::bert::Pooling;
use counterpoint_encoders::{BertConfig, TextTokenizer, dot};
use counterpoint_tier::{TierConfig, tier};
use counterpoint_unifybench::{Accessory, Colour, Concept, Place, Scene};

use super::Options;
use super::draws::{below, subset};
use super::language::{fact, wording, write_tokenizer};
use super::optimise::{auc, mean, own_column, train as optimise, training_device};
use super::scenes::{Attribute, changed, held_out};

const STEPS: usize = 1500;
const BATCH: usize = 72;
const TEMPERATURE: f64 = 0.1;

fn config(vocab_size: usize) -> BertConfig {
    BertConfig {
        vocab_size,
        hidden_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        intermediate_size: 128,
        max_position_embeddings: 64,
        use_task_id: true,
        ..BertConfig::default()
    }
}

/// What is said is independent of the concept: one scene per fact, those of held-out scenes left out.
fn training_facts() -> Vec<Scene> {
    let kept: HashSet<String> = held_out().iter().map(fact).collect();
    let mut scenes = Vec::new();
    for &place in Place::ALL {
        for &accessory in Accessory::ALL {
            scenes.extend(Colour::ALL.iter().map(|&colour| Scene { concept: Concept::Ada, place, accessory, colour }));
        }
    }
    scenes.retain(|s| !kept.contains(&fact(s)));
    scenes
}

pub(super) fn train(options: &Options, dir: &Path) -> Result<()> {
    let config = config(write_tokenizer(dir)?);
    let tokenizer = TextTokenizer::load(dir, config.max_position_embeddings)?;
    let device = training_device(options.tower_seed);
    let streams = Streams::new(options.tower_seed);
    let facts = training_facts();
    println!("tier: {} facts", facts.len());
    let tower = optimise(options, "tier", STEPS, 2e-3, config.init(&device)?, |tower, step| {
        let mut stream = streams.stream(Key::task(step as u64, 0), "tier", 0);
        let batch: Vec<Scene> = subset(&mut stream, BATCH, facts.len()).into_iter().map(|i| facts[i]).collect();
        // One side is worded as the data set does half of the time: that is what the candidate facts are.
        let mut texts: Vec<String> =
            batch.iter().map(|s| if stream.uniform() < 0.5 { fact(s) } else { wording(s, &mut stream) }).collect();
        texts.extend(batch.iter().map(|s| wording(s, &mut stream)));
        let text = tokenizer.encode(&texts, &device)?;
        let embedded = tower.embed(text.ids, &text.keep, Pooling::Mean);
        let n = batch.len();
        let cosines = embedded.clone().narrow(0, 0, n).matmul(embedded.narrow(0, n, n).transpose());
        // TIER reads the cosines of 8 facts as if they were one-hot: so train them to be.
        let one_hot = (cosines.clone() - Tensor::<2>::eye(n, &device)).square().sum() / n as f64;
        let logits = cosines / TEMPERATURE;
        Ok(own_column(logits.clone()) + own_column(logits.transpose()) + one_hot)
    })?;
    tower.save(&config, dir)
}

/// Right: the held-out fact in other words. Wrong: the same words about a fact with one attribute changed.
pub(super) fn measure(dir: &Path) -> Result<()> {
    let mut expert = TierConfig::new(dir).init(&Device::flex())?;
    let mut stream: Stream = Streams::new(0).stream(Key::task(0, 0), "measure tier", 0);
    let mut cosine = |a: &str, b: &str| -> Result<f64> {
        let rows = expert.embed(&[a, b])?;
        Ok(dot(&rows[0], &rows[1]))
    };
    let (mut right, mut wrong) = (Vec::new(), Vec::new());
    for scene in held_out() {
        for _ in 0..4 {
            right.push(cosine(&wording(&scene, &mut stream), &fact(&scene))?);
            for attribute in [Attribute::Place, Attribute::Accessory, Attribute::Colour] {
                let others = changed(scene, attribute);
                let other = others[below(&mut stream, others.len())];
                wrong.push(cosine(&wording(&other, &mut stream), &fact(&scene))?);
            }
        }
    }
    println!(
        "tier: AUC {:.4} on held-out facts; mean cosine right {:.3}, one attribute wrong {:.3}",
        auc(&right, &wrong),
        mean(&right),
        mean(&wrong)
    );
    // The reward itself, as it will be asked for.
    let (mut fits, mut other, mut near) = (Vec::new(), Vec::new(), Vec::new());
    for &concept in Concept::ALL {
        let scenes = concept.facts();
        let facts: Vec<String> = scenes.iter().map(fact).collect();
        for (k, &scene) in scenes.iter().enumerate() {
            let mut score = |text: &str| -> Result<f64> {
                let cosines = facts.iter().map(|f| cosine(text, f)).collect::<Result<Vec<f64>>>()?;
                Ok(tier(&cosines, k))
            };
            fits.push(score(&facts[k])?);
            other.push(score(&facts[(k + 1) % facts.len()])?);
            let colours = changed(scene, Attribute::Colour);
            near.push(score(&fact(&colours[below(&mut stream, colours.len())]))?);
        }
    }
    println!(
        "tier: mean TIER of the fitting fact {:.3}, of another fact {:.3}, of the fitting fact in a wrong colour {:.3}",
        mean(&fits),
        mean(&other),
        mean(&near)
    );
    Ok(())
}
