//! Sync-R1: a small unified model learns personalised reasoning and generation from one reward.
//!
//! `cargo run --release --example sync_r1` trains on the embedded default, evaluates before and after on the held-out
//! half and leaves everything in `runs/sync_r1/`.

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use counterpoint::trainer::Outcome;
use counterpoint::{Error, Result, StopToken, Trainer};
use counterpoint_examples::{Evaluation, HeldOut, Progress, RecipeArgs, RunFolder, device, parts, save_grid};
use counterpoint_unifybench::HeldOutTable;

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sync_r1.toml");

fn main() -> ExitCode {
    let args = RecipeArgs::parse();
    let progress = Progress::new(args.output());
    match run(&args, &progress) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            progress.error(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(args: &RecipeArgs, progress: &Progress) -> Result<()> {
    let (config, base) = args.load(Path::new(CONFIG))?;
    let held_out = HeldOut::new(&config, &base)?;
    let parts = parts(&config, &base, &device(&args.device)?)?;

    let stop = StopToken::new();
    let (on_signal, shown) = (stop.clone(), progress.clone());
    ctrlc::set_handler(move || {
        on_signal.set();
        shown.stopping();
    })
    .map_err(|e| Error::config("cannot listen for Ctrl-C").with_source(e))?;

    let mut trainer = Trainer::new(parts, config.trainer.clone(), config.run.seed)?;
    let folder = if args.resume {
        let (folder, checkpoint) = RunFolder::resume(&config)?;
        trainer = trainer.with_folder(folder.path(), config.to_toml()?);
        trainer.resume(&checkpoint)?;
        progress.resumed(&checkpoint, trainer.progress().step);
        folder
    } else {
        let folder = RunFolder::create(&config)?;
        trainer = trainer.with_folder(folder.path(), config.to_toml()?);
        let stage = progress.stage("before", 0);
        let before = held_out.evaluate(trainer.parts_mut())?;
        drop(stage);
        keep(&folder, "before", &before)?;
        folder
    };

    progress.start(&config.run.name, &config.trainer, trainer.progress().step);
    let shown = progress.clone();
    trainer.on_event(move |event| shown.show(event));
    let outcome = trainer.run(&stop)?;
    progress.finish();
    if outcome == Outcome::Cancelled {
        progress.stopped(trainer.progress().step, &args.resume_command("sync_r1"));
        return Ok(());
    }

    let stage = progress.stage("after", 0);
    let after = held_out.evaluate(trainer.parts_mut())?;
    drop(stage);
    keep(&folder, "after", &after)?;
    let before: std::collections::BTreeMap<String, _> = serde_json::from_str(&folder.read("before.json")?)
        .map_err(|e| Error::data("before.json is not an evaluation").with_source(e))?;
    let mut table = HeldOutTable::default();
    for (pathway, after) in after.metrics {
        if let Some(&before) = before.get(&pathway) {
            table.push(pathway, before, after);
        }
    }
    folder.write("held_out.json", &table.to_json()?)?;
    progress.table(&table, "shares in %, verified by the renderer's truth");
    progress.done(folder.path());
    Ok(())
}

/// Keeps an evaluation in the run's folder: its numbers, and its images with prompt and reasoning.
fn keep(folder: &RunFolder, name: &str, evaluation: &Evaluation) -> Result<()> {
    let metrics = serde_json::to_string_pretty(&evaluation.metrics)
        .map_err(|e| Error::data("cannot write the evaluation as JSON").with_source(e))?;
    folder.write(&format!("{name}.json"), &metrics)?;
    save_grid(&evaluation.cells, 8, &folder.path().join("samples").join(format!("{name}.png")))
}
