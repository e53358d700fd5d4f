//! The captioner: the prompt of each image, token by token.
#![allow(clippy::print_stdout)]

use std::path::Path;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use counterpoint::{Key, Result, Stream, Streams};
use counterpoint_encoders::blip2::VisionConfig;
use counterpoint_encoders::captioner::TextDecoderConfig;
use counterpoint_encoders::{CaptionerConfig, ImageProcessorConfig, TextTokenizer};
use counterpoint_shapes::{Prompt, SIZE, render};
use counterpoint_weights::Precision;
use image::{Rgb, RgbImage, imageops};

use super::language::{CLS, DEC, LONGEST, SEP, write};
use crate::prompts::Prompts;
use crate::towers;
use crate::towers::images::processor;
use crate::towers::optimise::{train, training_device};

const STEPS: usize = 1500;
const BATCH: usize = 32;
/// Share of images that are spoiled as a tokenizer spoils them.
const SPOILED: f32 = 0.6;

fn config(words: usize) -> CaptionerConfig {
    let width = 64;
    CaptionerConfig {
        vision_config: VisionConfig {
            hidden_size: width,
            intermediate_size: 128,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            image_size: SIZE as usize,
            patch_size: 8,
            ..VisionConfig::default()
        },
        text_config: TextDecoderConfig {
            vocab_size: words,
            hidden_size: width,
            encoder_hidden_size: width,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            intermediate_size: 128,
            max_position_embeddings: LONGEST,
            bos_token_id: DEC as usize,
            sep_token_id: SEP as usize,
            ..TextDecoderConfig::default()
        },
    }
}

pub fn run(out: &Path, seed: u64) -> Result<()> {
    let config = config(write(out)?);
    let processor = processor(SIZE);
    processor.write(out)?;
    let processor = processor.init()?;
    let tokenizer = TextTokenizer::load(out, LONGEST)?;
    let device = training_device(seed);
    let streams = Streams::new(seed);
    let known = Prompts::known();
    let options = towers::Options::default();
    let trained = train(&options, "captioner", STEPS, 2e-3, config.init(&device)?, |captioner, step| {
        let mut stream = streams.stream(Key::task(step as u64, 0), "captioner", 0);
        let prompts: Vec<Prompt> = (0..BATCH).map(|_| known.draw(&mut stream)).collect();
        let images: Vec<RgbImage> = prompts.iter().map(|prompt| drawn(prompt, &mut stream)).collect();
        let texts: Vec<String> = prompts.iter().map(Prompt::to_string).collect();
        // [CLS] a red circle [SEP]: a caption begins with a token of its own.
        let text = tokenizer.encode(&texts, &device)?;
        let [rows, length] = text.ids.dims();
        let ids: Vec<i64> = text.ids.into_data().iter::<i64>().collect();
        let begun = ids.iter().map(|&id| if id == i64::from(CLS) { i64::from(DEC) } else { id }).collect::<Vec<_>>();
        let tensor = |ids: Vec<i64>| Tensor::<2, Int>::from_data(TensorData::new(ids, [rows, length]), &device);
        let logits = captioner.logits(
            processor.forward(&images.iter().collect::<Vec<_>>(), &device)?,
            tensor(begun).narrow(1, 0, length - 1),
        )?;
        let targets = tensor(ids.clone()).narrow(1, 1, length - 1);
        let counts: Vec<f32> = ids.iter().map(|&id| if id == 0 { 0.0 } else { 1.0 }).collect();
        let counts = Tensor::<2>::from_data(TensorData::new(counts, [rows, length]), &device).narrow(1, 1, length - 1);
        let chosen = log_softmax(logits, 2).gather(2, targets.unsqueeze_dim::<3>(2)).squeeze_dim::<2>(2);
        Ok((chosen * counts.clone()).sum().neg() / counts.sum())
    })?;
    trained.save(&config, out)?;
    measure(out, seed)
}

/// An image of a prompt, some of them spoiled.
fn drawn(prompt: &Prompt, stream: &mut Stream) -> RgbImage {
    let image = render(&prompt.scene(stream), stream);
    if stream.uniform() >= SPOILED {
        return image;
    }
    let blurred = imageops::blur(&image, 0.3 + 0.9 * stream.uniform());
    let noise = 24.0 * stream.uniform();
    let mut spoil = |value: u8| (f32::from(value) + noise * (stream.uniform() + stream.uniform() - 1.0)) as u8;
    RgbImage::from_fn(SIZE, SIZE, |x, y| Rgb(blurred.get_pixel(x, y).0.map(&mut spoil)))
}

/// Prints how many captions of held-out prompts' images are the prompt, word by word.
fn measure(out: &Path, seed: u64) -> Result<()> {
    let device = Device::flex();
    let captioner = CaptionerConfig::load(out, Precision::F32, &device)?;
    let (processor, tokenizer) = (ImageProcessorConfig::read(out)?.init()?, TextTokenizer::load(out, LONGEST)?);
    let mut stream = Streams::new(seed).stream(Key::task(0, 1), "measure captioner", 0);
    let held_out = Prompts::held_out();
    let prompts: Vec<Prompt> = (0..128).map(|_| held_out.draw(&mut stream)).collect();
    let images: Vec<RgbImage> = prompts.iter().map(|prompt| drawn(prompt, &mut stream)).collect();
    let pixels = processor.forward(&images.iter().collect::<Vec<_>>(), &device)?;
    let captions = captioner.caption(pixels, &[], LONGEST - 2)?;
    let mut right = 0;
    for (prompt, caption) in prompts.iter().zip(captions) {
        let asked = tokenizer.encode(&[prompt.to_string()], &device)?;
        let asked: Vec<u32> = asked.ids.into_data().iter::<i64>().map(|id| id as u32).collect();
        // `a and b` is `b and a`.
        let same = |words: &[u32]| {
            let mut words = words.to_vec();
            words.sort_unstable();
            words
        };
        let exact = matches!(prompt, Prompt::Placed(..));
        let words = &asked[1..asked.len() - 1];
        right += usize::from(if exact { words == caption } else { same(words) == same(&caption) });
    }
    println!("captioner: {right} of {} captions of held-out prompts are right", prompts.len());
    Ok(())
}
