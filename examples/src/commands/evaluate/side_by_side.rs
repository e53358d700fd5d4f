//! The same prompts by every method.

use counterpoint::{Error, Judged, Result};
use counterpoint_report::{Answer, Cell as Shown, Gallery};

use super::image_name;
use super::models::Model;
use crate::{Cell, RunFolder, save_grid};

/// Tasks of which images are shown side by side.
const SHOWN: usize = 24;
/// Images in a row of the grid, about.
const COLUMNS: usize = 8;

/// The first image of some tasks by every method, in `side_by_side.png` and for the report.
pub fn side_by_side(
    title: String,
    folder: &RunFolder,
    models: &[Model],
    judged: &[Vec<Judged>],
    names: &[&str],
) -> Result<Gallery> {
    let of_methods: Vec<(&Model, &Vec<Judged>)> =
        names.iter().filter_map(|name| models.iter().zip(judged).find(|(model, _)| model.method == *name)).collect();
    let path = |model: &Model, task: u64| {
        let own = folder.path().join(&model.method).join(format!("seed-{}", model.config.run.seed));
        own.join(image_name(task, 0))
    };
    let image = |model: &Model, task: u64| {
        let path = path(model, task);
        let opened = path.is_file().then(|| image::open(&path)).transpose();
        opened
            .map(|i| i.map(image::DynamicImage::into_rgb8))
            .map_err(|e| Error::io("cannot read", &path, std::io::Error::other(e)))
    };
    let first: &[Judged] = judged.first().map_or(&[], Vec::as_slice);
    let tasks = first.chunk_by(|a, b| a.task == b.task).map(|of_task| &of_task[0]);
    let painted: Vec<&Judged> = tasks.filter(|sample| path(of_methods[0].0, sample.task).is_file()).collect();
    let count = painted.len().min(SHOWN);
    let (mut grid, mut cells) = (Vec::new(), Vec::new());
    for sample in (0..count).map(|i| painted[i * painted.len() / count]) {
        let mut answers = Vec::new();
        for (model, samples) in &of_methods {
            let Some(own) = samples.iter().find(|own| own.task == sample.task) else { continue };
            let image = image(model, sample.task)?;
            if let Some(image) = &image {
                let caption = format!("{}\n{}\nIR: {}", model.method, own.prompt, own.response);
                grid.push(Cell { image: image.clone(), caption });
            }
            answers
                .push((model.method.clone(), Answer { reasoning: own.response.clone(), image, verdicts: Vec::new() }));
        }
        let truth = Some(sample.answer.clone()).filter(|answer| !answer.is_empty());
        cells.push(Shown { prompt: format!("{}: {}", sample.split, sample.prompt), truth, answers });
    }
    if !grid.is_empty() {
        // As many tasks in a row as fit, the methods of each beside each other.
        let methods = of_methods.len();
        save_grid(&grid, (methods * (COLUMNS / methods).max(1)) as u32, &folder.path().join("side_by_side.png"))?;
    }
    let note = "The first image of some tasks, drawn with the same random numbers by every method.".to_owned();
    Ok(Gallery { title, note, cells })
}
