//! Can it learn at all? Easy rewards that must rise within a few steps, and rewards that must change nothing, on any recipe: the
//! first thing to run on a policy, a sampler or an objective of your own.
//!
//!     cargo run --release --example controls -- --config RECIPE.toml

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use counterpoint::controls::{Control, Outcome};
use counterpoint::{Error, Result, SyncGrpoConfig};
use counterpoint_examples::{Progress, RecipeArgs, parts, start};
use serde::Serialize;

const RECIPE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sync_r1.toml");
/// What all of them change: a short run of one group of sixteen per step, both halves weighing alike.
const SHORT: [&str; 7] = [
    "trainer.steps=15",
    "trainer.warmup_steps=1",
    "trainer.group_size=16",
    "trainer.tasks_per_step=1",
    "objective.a_und=1",
    "objective.a_gen=1",
    "evaluation.kind=none",
];

/// Options of the control tasks.
#[derive(Debug, Parser)]
struct ControlArgs {
    #[command(flatten)]
    recipe: RecipeArgs,
    /// The letter of which answers are to have more.
    #[arg(long, default_value_t = 'e')]
    letter: char,
    /// Only these: understanding, generation, both, constant, answer_alone.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    only: Vec<String>,
}

fn main() -> ExitCode {
    let status = |passed| if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    start(|args: &ControlArgs| args.recipe.output(), |args, progress| run(args, progress).map(status))
}

/// Whether all came out as they must.
fn run(ControlArgs { recipe: args, letter, only }: &ControlArgs, progress: &Progress) -> Result<bool> {
    let (config, base) = args.load_with(Path::new(RECIPE), &SHORT.map(str::to_owned))?;
    let device = args.device(&config)?;
    let objective = SyncGrpoConfig::of(&config.objective.kind, &config.objective.settings)?;
    let chosen = chosen(only)?;
    let stage = progress.stage("control tasks", chosen.len() as u64);
    let mut outcomes = Vec::new();
    for control in chosen {
        let parts = parts(&config, &base, &device)?;
        let outcome = control.run(parts, &config.trainer, &objective, *letter, config.run.seed);
        outcomes.push(outcome.map_err(|e: Error| e.at(format_args!("control task `{}`", control.name())))?);
        stage.inc();
    }
    drop(stage);
    let table = Table { outcomes };
    progress
        .table(&table, "mean reward in the first and the last step; rise of the last three over the first in standard errors; how far decisions moved");
    Ok(table.outcomes.iter().all(Outcome::passed))
}

/// The controls of these names, all when there are none.
fn chosen(names: &[String]) -> Result<Vec<Control>> {
    let one = |name: &String| {
        Control::ALL.into_iter().find(|control| control.name() == name).ok_or_else(|| {
            let known = Control::ALL.map(Control::name).join(", ");
            Error::config(format!("--only: expected names of control tasks ({known}), got `{name}`"))
        })
    };
    if names.is_empty() { Ok(Control::ALL.to_vec()) } else { names.iter().map(one).collect() }
}

/// A row for each reward of each control.
#[derive(Serialize)]
struct Table {
    outcomes: Vec<Outcome>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| control | reward | first | last | rise | moved, nats | passed |\n|---|---|---|---|---|---|---|"
        )?;
        let number = |value: Option<&f64>| value.map_or("-".to_owned(), |v| format!("{v:.3}"));
        for outcome in &self.outcomes {
            for curve in &outcome.curves {
                let (control, reward) = (outcome.control.name(), &curve.reward);
                let [first, last, rise] = [curve.means.first(), curve.means.last(), curve.rise().as_ref()].map(number);
                let passed = if outcome.passed() { "yes" } else { "no" };
                writeln!(f, "| {control} | {reward} | {first} | {last} | {rise} | {:.1e} | {passed} |", outcome.moved)?;
            }
        }
        Ok(())
    }
}
