//! The captioner: the prompt of each image, token by token.
#![allow(clippy::print_stdout)]

use std::path::Path;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use counterpoint::{Key, Result, Stream, Streams};
use counterpoint_encoders::blip2::VisionConfig;
use counterpoint_encoders::captioner::TextDecoderConfig;
use counterpoint_encoders::{CaptionerConfig, ImageProcessorConfig, TextTokenizer};
use counterpoint_shapes::{CELL, Prompt, Relation, SIZE, Seen, Thing, observe, render};
use counterpoint_weights::Precision;
use image::{Rgb, RgbImage, imageops};

use super::language::{CLS, DEC, LONGEST, SEP, write};
use crate::prompts::Prompts;
use crate::towers;
use crate::towers::images::processor;
use crate::towers::optimise::{train, training_device};

const STEPS: usize = 2500;
const BATCH: usize = 32;
/// Pixels along a side of a quarter of a thing.
const QUARTER: u32 = CELL / 2;
/// Share of images that are spoiled as a tokenizer spoils them.
const SPOILED: f32 = 0.6;
/// Share of images some of whose things are put together from quarters of others, as a painter's mistakes are.
const MALFORMED: f32 = 0.5;
/// Share of a malformed image's quarters of things that are exchanged.
const EXCHANGED: f32 = 0.3;

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
        let drawn = prompts.iter().map(|prompt| lesson(prompt, &mut stream)).collect::<Result<Vec<_>>>()?;
        let (images, texts): (Vec<RgbImage>, Vec<String>) = drawn.into_iter().unzip();
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

/// An image and its caption.
fn lesson(prompt: &Prompt, stream: &mut Stream) -> Result<(RgbImage, String)> {
    let image = render(&prompt.scene(stream), stream);
    if stream.uniform() >= MALFORMED {
        return Ok((spoiled(image, stream), prompt.to_string()));
    }
    let image = malformed(image, stream);
    let seen = observe(&image)?;
    let caption = if prompt.verdict(&seen).image { prompt.to_string() } else { described(&seen) };
    Ok((spoiled(image, stream), caption))
}

/// The image with some quarters of its things, and some of its ground, exchanged for those of other things: a quarter is what a code
/// paints.
fn malformed(mut image: RgbImage, stream: &mut Stream) -> RgbImage {
    let known = Prompts::known();
    let other = known.draw(stream);
    let other = render(&other.scene(stream), stream);
    let quarters: Vec<(u32, u32)> = (0..SIZE / QUARTER)
        .flat_map(|row| (0..SIZE / QUARTER).map(move |column| (column * QUARTER, row * QUARTER)))
        .collect();
    let full = |image: &RgbImage, at: (u32, u32)| {
        let of = imageops::crop_imm(image, at.0, at.1, QUARTER, QUARTER).to_image();
        of.pixels().any(|pixel| pixel.0.iter().max() > Some(&100))
    };
    let things: Vec<(u32, u32)> = quarters.iter().copied().filter(|&at| full(&image, at)).collect();
    let sources: Vec<(u32, u32)> = quarters.iter().copied().filter(|&at| full(&other, at)).collect();
    for at in things {
        if stream.uniform() < EXCHANGED {
            let from = match stream.below(3) {
                0 => quarters[stream.below(quarters.len())],
                _ => sources[stream.below(sources.len())],
            };
            let quarter = imageops::crop_imm(&other, from.0, from.1, QUARTER, QUARTER).to_image();
            imageops::replace(&mut image, &quarter, at.0.into(), at.1.into());
        }
    }
    if stream.below(4) == 0 {
        let (from, at) = (sources[stream.below(sources.len())], quarters[stream.below(quarters.len())]);
        let quarter = imageops::crop_imm(&other, from.0, from.1, QUARTER, QUARTER).to_image();
        imageops::replace(&mut image, &quarter, at.0.into(), at.1.into());
    }
    image
}

/// The prompt of what an image shows; where there is none, its things one by one, `a shape` for what is none of this world.
fn described(seen: &Seen) -> String {
    let prompt = match seen.all_known().as_deref() {
        Some(&[(thing, _)]) => Some(Prompt::One(thing)),
        Some(all @ &[(first, _), _, ..]) if all.len() <= 4 && all.iter().all(|(thing, _)| *thing == first) => {
            Some(Prompt::Several(all.len(), first))
        }
        // Cells are seen row by row.
        Some(&[(a, at), (b, to)]) => Some(match (at.row == to.row, at.column == to.column) {
            (true, _) => Prompt::Placed(a, Relation::LeftOf, b),
            (_, true) => Prompt::Placed(a, Relation::Above, b),
            _ => Prompt::Two(a, b),
        }),
        _ => None,
    };
    let thing = |thing: &Option<Thing>| thing.map_or("a shape".to_owned(), |thing| thing.to_string());
    let listed = || seen.cells.iter().map(|(what, _)| thing(what)).collect::<Vec<_>>().join(" and ");
    prompt.map_or_else(listed, |prompt| prompt.to_string())
}

/// The image, blurred and with noise now and then, as a tokenizer spoils it.
fn spoiled(image: RgbImage, stream: &mut Stream) -> RgbImage {
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
    let images: Vec<RgbImage> =
        prompts.iter().map(|prompt| spoiled(render(&prompt.scene(&mut stream), &mut stream), &mut stream)).collect();
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
