//! Prompts, images and questions as files, in the columns of CoRL's data.

use std::path::Path;

use counterpoint::{Error, Key, Result, Streams};
use serde_json::json;

use crate::language::question;
use crate::prompt::{Category, Prompt};
use crate::render;

/// Rows of each category for training.
const TRAINING: usize = 60;
/// Rows of each category that are held out, and as many to choose settings by.
const HELD_OUT: usize = 18;
const SEED: u64 = 7;

/// Writes `train.jsonl`, `validation.jsonl`, `held_out.jsonl` and `images/` into `folder`. The prompts of the last two are none of training's;
/// no row is in both. The same bytes on every machine.
///
/// # Errors
/// [`Io`](counterpoint::ErrorKind::Io) when a file cannot be written.
pub fn write(folder: &Path) -> Result<()> {
    let images = folder.join("images");
    std::fs::create_dir_all(&images).map_err(|e| Error::io("cannot create", &images, e))?;
    let streams = Streams::new(SEED);
    let mut training = String::new();
    let [mut validation, mut held_out] = [String::new(), String::new()];
    for (number, category) in (0..).zip(Category::ALL) {
        let mut order = streams.stream(Key::task(0, number), "prompts", 0);
        let [mut known, mut unknown] = [Vec::new(), Vec::new()];
        for prompt in Prompt::all().into_iter().filter(|prompt| prompt.category() == category) {
            if prompt.is_held_out() { unknown.push(prompt) } else { known.push(prompt) }
        }
        for prompts in [&mut known, &mut unknown] {
            for i in (1..prompts.len()).rev() {
                prompts.swap(i, order.below(i + 1));
            }
        }
        let row = |part: &str, index: usize, prompt: &Prompt| -> Result<String> {
            let mut stream = streams.stream(Key::task(1, number), part, index as u64);
            let scene = prompt.scene(&mut stream);
            let name = format!("images/{part}-{}-{index:02}.png", category.name());
            let path = folder.join(&name);
            let image = render(&scene, &mut stream);
            image.save(&path).map_err(|e| Error::data(format!("cannot write {}", path.display())).with_source(e))?;
            let asked = question(&scene, &mut stream);
            let row = json!({
                "prompt": prompt.to_string(), "real_image": name, "qa_problem": asked.problem,
                "qa_solution": format!("<answer> {} </answer>", asked.solution), "qa_type": asked.kind,
            });
            Ok(format!("{row}\n"))
        };
        for index in 0..TRAINING {
            training.push_str(&row("train", index, &known[index % known.len()])?);
        }
        if !unknown.is_empty() {
            // Halves of one shuffled list.
            let (first, second) = unknown.split_at(unknown.len() / 2);
            for index in 0..HELD_OUT {
                validation.push_str(&row("validation", index, &first[index % first.len()])?);
                held_out.push_str(&row("held_out", index, &second[index % second.len()])?);
            }
        }
    }
    for (name, rows) in [("train.jsonl", training), ("validation.jsonl", validation), ("held_out.jsonl", held_out)] {
        let path = folder.join(name);
        std::fs::write(&path, rows).map_err(|e| Error::io("cannot write", &path, e))?;
    }
    Ok(())
}
