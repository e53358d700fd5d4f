//! The report of a run that is there, written anew.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;

use clap::Args;
use counterpoint::config::RunConfig;
use counterpoint::{Judged, Result};

use crate::args::device_of;
use crate::run::{AFTER, BEFORE, CONFIG, REPORT};
use crate::{RunFolder, report_run};

/// Which run, and what its files do not say of it.
#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The folder of one run.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Where it was trained, which the report says. Default: the config's `placement.learner`, and `flex` (the CPU) without it.
    #[arg(long)]
    device: Option<String>,
}

/// Writes `report.html` of the run that `args` name from what is in its folder. It is said to be of this machine.
///
/// # Errors
/// [`Data`](counterpoint::ErrorKind::Data) when there is no run, or a file of it is damaged; [`Io`](counterpoint::ErrorKind::Io).
pub fn run(args: &ReportArgs) -> Result<()> {
    let folder = RunFolder::begun(args.run.clone())?;
    let config = RunConfig::load(&folder.path().join(CONFIG), &[])?;
    let device = device_of(args.device.as_deref(), &config)?;
    let before: Vec<Judged> = folder.read_json(BEFORE)?;
    let after: Option<Vec<Judged>> = folder.has(AFTER).then(|| folder.read_json(AFTER)).transpose()?;
    report_run(&folder, &device, &before, after.as_deref())?;
    println!("wrote {}", folder.path().join(REPORT).display());
    Ok(())
}
