//! The command line.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::report::Report;
use crate::{ConceptType, DeriveOptions, Error, Fact, NewConcept, Result, begin, check, convert, derive};

/// Checks and begins data sets of personal concepts, in the layout of UniCTokens.
///
/// Exit status: 0 when all is well, 1 when there is a problem or something could not be done, 2 for a mistake on the command line.
#[derive(Debug, Clone, Parser)]
#[command(name = "unifybench", version)]
pub struct Options {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Find everything that is wrong with a data set
    ///
    /// Other layouts are recognised: of Yo'LLaVA, MC-LLaVA and DreamBench names and photographs are checked.
    Check {
        /// The data set
        dir: PathBuf,
        /// How to print what is found
        #[arg(long, value_enum, default_value_t = Format::Text)]
        format: Format,
    },
    /// Begin a concept of your own, in a new data set or in one that is there
    New {
        /// The data set
        dir: PathBuf,
        /// The concept's name; in texts it is written <NAME>
        #[arg(long)]
        name: String,
        /// What it is, such as cat or "young woman"
        #[arg(long, value_name = "NOUN")]
        class: String,
        /// Folder of its photographs (PNG, JPEG)
        #[arg(long, value_name = "FOLDER")]
        photos: PathBuf,
        /// Text file of facts: one a line, as `fact | prompt that needs it`
        #[arg(long, value_name = "FILE")]
        facts: Option<PathBuf>,
        /// How many photographs, the last by name, are held out; a quarter where it is left out
        #[arg(long, value_name = "N")]
        test: Option<usize>,
        /// A sentence about it
        #[arg(long, value_name = "SENTENCE")]
        info: Option<String>,
        /// What sort of concept it is
        #[arg(long = "type", value_enum)]
        kind: Option<ConceptType>,
    },
    /// Rewrite a data set of Yo'LLaVA, MC-LLaVA or DreamBench to this layout, and list what is still to be written
    Convert {
        /// The data set
        dir: PathBuf,
        /// The new data set; it must not be there
        out: PathBuf,
        /// How many photographs of each concept, the last, are held out where the data set has no such half
        #[arg(long, value_name = "N", default_value_t = 0)]
        test: usize,
    },
    /// Derive the training samples that UniCTokens' scripts read, showo_training_data_stage_{1,2,3}/
    Derive {
        /// The data set
        dir: PathBuf,
        /// Folder to write to; the data set's own where it is left out
        #[arg(long)]
        out: Option<PathBuf>,
        /// What is drawn follows from it
        #[arg(long, default_value_t = 0)]
        seed: u64,
        /// What the paths of pictures begin with; DIR where it is left out
        #[arg(long, value_name = "PATH")]
        prefix: Option<String>,
        /// At most so many hard negatives of each concept, the hardest
        #[arg(long, value_name = "N")]
        hard_negatives: Option<usize>,
    },
}

/// How a report is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Does what `options` say, and prints what came of it.
pub fn run(options: &Options) -> ExitCode {
    match execute(&options.command) {
        Ok((text, code)) => {
            // A reader that went away has seen enough.
            let _ = io::stdout().lock().write_all(text.as_bytes());
            code
        }
        Err(e) => {
            let _ = writeln!(io::stderr().lock(), "error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn execute(command: &Command) -> Result<(String, ExitCode)> {
    let done = |text| Ok((text, ExitCode::SUCCESS));
    match command {
        Command::Check { dir, format } => {
            let report = check(dir)?;
            let code = if report.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
            Ok((print(&report, *format)?, code))
        }
        Command::New { dir, name, class, photos, facts, test, info, kind } => {
            let facts = facts.as_deref().map(read_facts).transpose()?.unwrap_or_default();
            let concept = NewConcept {
                name: name.clone(),
                class: class.clone(),
                photos: photos.clone(),
                facts,
                test: *test,
                info: info.clone(),
                kind: *kind,
            };
            let report = begin(dir, &concept)?;
            done(format!("{report}\nwrote <{name}> to {}\n", dir.display()))
        }
        Command::Convert { dir, out, test } => {
            let converted = convert(dir, out, *test)?;
            let mut text = format!("wrote {}, from the layout of {}\n", out.display(), converted.from);
            text += &part("files that have no place there", converted.left.iter().map(String::as_str));
            let missing: Vec<String> = converted.report.problems.iter().map(ToString::to_string).collect();
            text += &part("still to be written by you", missing.iter().map(String::as_str));
            done(text)
        }
        Command::Derive { dir, out, seed, prefix, hard_negatives } => {
            let options = DeriveOptions {
                seed: *seed,
                out: out.clone(),
                prefix: prefix.clone(),
                hard_negatives: *hard_negatives,
            };
            let line = |d: crate::Derived| {
                let [one, two, three] = d.samples;
                format!("<{}>: {one}, {two} and {three} samples in stages 1, 2 and 3\n", d.name)
            };
            done(derive(dir, &options)?.into_iter().map(line).collect())
        }
    }
}

fn print(report: &Report, format: Format) -> Result<String> {
    match format {
        Format::Text => Ok(report.to_string()),
        Format::Json => {
            let text = serde_json::to_string_pretty(report).map_err(|e| Error::data(e.to_string()))?;
            Ok(text + "\n")
        }
    }
}

/// A list under its heading; nothing where the list is empty.
fn part<'a>(heading: &str, entries: impl ExactSizeIterator<Item = &'a str>) -> String {
    if entries.len() == 0 {
        return String::new();
    }
    let heading = format!("\n{heading}:\n");
    heading + &entries.map(|entry| format!("- {}\n", entry.replace('\n', "\n  "))).collect::<String>()
}

fn read_facts(path: &Path) -> Result<Vec<Fact>> {
    let text = std::fs::read_to_string(path).map_err(|e| Error::io("cannot read (as UTF-8)", path, e))?;
    Fact::parse(&text).map_err(|e| Error::data(format!("{}:\n{e}", path.display())))
}
