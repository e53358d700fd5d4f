//! The text encoder whose token states compare captions: each token's state tells the tokens around it, so that a word among other words
//! is another state.
#![allow(clippy::print_stdout)]

use std::path::Path;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};
use counterpoint::{Key, Result, Streams};
use counterpoint_encoders::bert::{BertEncoder, TokenTypes};
use counterpoint_encoders::{BertConfig, TextTokenizer};
use counterpoint_shapes::Prompt;

use super::language::{LONGEST, write};
use crate::prompts::Prompts;
use crate::towers;
use crate::towers::optimise::{train, training_device};

const STEPS: usize = 800;
const BATCH: usize = 64;
/// The neighbours that a state tells, by their distance.
const OFFSETS: [i64; 5] = [-2, -1, 0, 1, 2];

/// The encoder with a head for each neighbour.
#[derive(Module, Debug)]
struct Taught {
    bert: BertEncoder,
    heads: Vec<Linear>,
}

pub fn run(out: &Path, seed: u64) -> Result<()> {
    let config = BertConfig {
        vocab_size: write(out)?,
        hidden_size: 64,
        num_hidden_layers: 2,
        num_attention_heads: 4,
        intermediate_size: 128,
        max_position_embeddings: LONGEST,
        ..BertConfig::default()
    };
    let tokenizer = TextTokenizer::load(out, LONGEST)?;
    let device = training_device(seed);
    let streams = Streams::new(seed);
    let known = Prompts::known();
    let head = |_| LinearConfig::new(config.hidden_size, config.vocab_size).init(&device);
    let taught = Taught { bert: config.init(&device)?, heads: OFFSETS.iter().map(head).collect() };
    let options = towers::Options::default();
    let trained = train(&options, "bert", STEPS, 2e-3, taught, |taught, step| {
        let mut stream = streams.stream(Key::task(step as u64, 0), "bert", 0);
        let texts: Vec<String> = (0..BATCH).map(|_| known.draw(&mut stream)).map(|p: Prompt| p.to_string()).collect();
        let text = tokenizer.encode(&texts, &device)?;
        let [rows, length] = text.ids.dims();
        let hidden = taught.bert.forward(text.ids.clone(), &text.keep, TokenTypes::default());
        let ids: Vec<i64> = text.ids.into_data().iter::<i64>().collect();
        let mut loss = Tensor::<1>::zeros([1], &device);
        for (head, offset) in taught.heads.iter().zip(OFFSETS) {
            // Padding beyond either end.
            let neighbour = |at: usize| {
                let (row, place) = (at / length, (at % length) as i64 + offset);
                if (0..length as i64).contains(&place) { ids[row * length + place as usize] } else { 0 }
            };
            let targets: Vec<i64> = (0..ids.len()).map(neighbour).collect();
            let targets = Tensor::<3, Int>::from_data(TensorData::new(targets, [rows, length, 1]), &device);
            let counts: Vec<f32> = ids.iter().map(|&id| if id == 0 { 0.0 } else { 1.0 }).collect();
            let counts = Tensor::<3>::from_data(TensorData::new(counts, [rows, length, 1]), &device);
            let chosen = log_softmax(head.forward(hidden.clone()), 2).gather(2, targets);
            loss = loss - (chosen * counts.clone()).sum() / counts.sum();
        }
        Ok(loss)
    })?;
    trained.bert.save(&config, out)?;
    println!("bert: written to {}", out.display());
    Ok(())
}
