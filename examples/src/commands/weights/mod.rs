//! Weight files of any public format: shown, compared, converted, merged and fetched.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod diff;
mod fetch;
mod inspect;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use burn::tensor::FloatDType;
use clap::{Parser, Subcommand, ValueEnum};
use counterpoint::Result;
use counterpoint_weights::{ConvertOptions, Shares, WeightFiles, merge};

/// What to do with which files.
#[derive(Debug, Parser)]
#[command(about = "Shows, compares, converts, merges and fetches weight files of any public format")]
pub struct WeightsArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Every tensor's name, shape, dtype, mean, standard deviation and count of non-finite numbers.
    Inspect {
        /// A file, an index or a folder.
        path: PathBuf,
        /// One JSON object instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// What two weight files do not have in common. Exit status 1 when they differ.
    Diff {
        /// A file, an index or a folder.
        a: PathBuf,
        /// Another.
        b: PathBuf,
        /// The largest absolute difference that counts as equal; dtypes may then differ too.
        #[arg(long, value_name = "NUMBER", value_parser = tolerance)]
        tolerance: Option<f64>,
        /// One JSON object instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Writes A as B, whose ending says the format: .safetensors, .bpk, .pt, .pth, .bin or .ckpt.
    Convert {
        /// A file, an index or a folder.
        a: PathBuf,
        /// The file to write.
        b: PathBuf,
        /// Casts all float tensors.
        #[arg(long)]
        dtype: Option<Float>,
        /// Renames tensors; `$1` in TEXT is the first group. Repeat it for more, which apply one after the other.
        #[arg(long, value_name = "REGEX=TEXT", value_parser = rename)]
        rename: Vec<(String, String)>,
        /// Overwrites B.
        #[arg(long)]
        force: bool,
    },
    /// Writes the mean of several models that were trained from one, as safetensors.
    Merge {
        /// The file to write, .safetensors.
        out: PathBuf,
        /// Files, indices or folders, two or more.
        #[arg(required = true, num_args = 2..)]
        models: Vec<PathBuf>,
        /// The share of each. Default: the same for all.
        #[arg(long, value_name = "NUMBER", num_args = 2..)]
        shares: Vec<f64>,
        /// Shares by the inverse of each tensor's norm, as NAN has them (arXiv 2505.16148).
        #[arg(long, conflicts_with = "shares")]
        inverse_norm: bool,
        /// What all models began as: the norms are then those of what was learned.
        #[arg(long, value_name = "PATH", requires = "inverse_norm")]
        base: Option<PathBuf>,
    },
    /// Where the weights that a run needs are: found, fetched, or which files to put where. Exit status 1 when any is missing.
    Fetch {
        /// The run's config.
        config: PathBuf,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Float {
    F32,
    Bf16,
    F16,
}

fn tolerance(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number >= 0.0 && number.is_finite() => Ok(number),
        _ => Err("expected a number that is not negative".into()),
    }
}

fn rename(text: &str) -> std::result::Result<(String, String), String> {
    let (from, to) = text.split_once('=').ok_or("expected REGEX=TEXT")?;
    Ok((from.into(), to.into()))
}

fn convert(a: &Path, b: &Path, dtype: Option<Float>, rename: &[(String, String)], force: bool) -> Result<()> {
    let dtype = dtype.map(|dtype| match dtype {
        Float::F32 => FloatDType::F32,
        Float::Bf16 => FloatDType::BF16,
        Float::F16 => FloatDType::F16,
    });
    let renamed: Vec<(&str, &str)> = rename.iter().map(|(from, to)| (from.as_str(), to.as_str())).collect();
    let files = WeightFiles::open(a)?;
    files.convert(b, &ConvertOptions { renamed: &renamed, dtype, overwrite: force })?;
    files.notes().iter().for_each(|note| println!("note: {note}"));
    println!("{}: {} tensors", b.display(), files.tensors().len());
    Ok(())
}

fn mean(out: &Path, models: &[PathBuf], shares: &[f64], inverse_norm: bool, base: Option<&Path>) -> Result<()> {
    let models = models.iter().map(|path| WeightFiles::open(path)).collect::<Result<Vec<_>>>()?;
    let base = base.map(WeightFiles::open).transpose()?;
    let equal = vec![1.0 / models.len() as f64; models.len()];
    let shares = match inverse_norm {
        true => Shares::InverseNorm { base: base.as_ref() },
        false => Shares::Given(if shares.is_empty() { &equal } else { shares }),
    };
    merge(&models, shares, out)?;
    println!("{}: the mean of {} models", out.display(), models.len());
    Ok(())
}

/// Does what `args` say. Status 1 when files differ or are missing, 2 when one cannot be read or written.
pub fn run(args: WeightsArgs) -> ExitCode {
    let outcome = match args.what {
        What::Inspect { path, json } => inspect::run(&path, json).map(|()| true),
        What::Diff { a, b, tolerance, json } => diff::run(&a, &b, tolerance, json),
        What::Convert { a, b, dtype, rename, force } => convert(&a, &b, dtype, &rename, force).map(|()| true),
        What::Merge { out, models, shares, inverse_norm, base } => {
            mean(&out, &models, &shares, inverse_norm, base.as_deref()).map(|()| true)
        }
        What::Fetch { config } => fetch::run(&config),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}
