//! The command line.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use serde_json::Value;

use crate::checks::{ALL, Check};
use crate::job::{Target, Verdict};
use crate::{Finding, install, session};

/// Checks a reward plugin, each check in a child process with a time limit.
///
/// Exit status: 0 when no check failed, 1 when one did or the plugin could not be installed, 2 for a mistake on the command
/// line.
#[derive(Debug, Clone, Parser)]
#[command(name = "counterpoint-validator", version)]
pub struct Options {
    /// The plugin: a shared library
    #[arg(value_name = "PLUGIN", required_unless_present_any = ["list", "command"], conflicts_with = "command")]
    pub plugin: Option<PathBuf>,
    /// Instead of a library: a program that speaks the bridge's protocol, and its arguments. The plugin's file is the argument
    /// after `-m counterpoint_reward`, or else the first that is a file; other arguments that are paths become absolute in the
    /// sidecar
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
    /// Check this expert only, not each of the plugin
    #[arg(long, value_name = "NAME")]
    pub expert: Option<String>,
    /// The experts' settings, a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}", value_parser = object)]
    pub settings: Value,
    /// Folder that paths in the settings are relative to; the plugin's own, or this one for a command
    #[arg(long, value_name = "DIR")]
    pub base: Option<PathBuf>,
    /// Parameters of every item, a JSON object
    #[arg(long, value_name = "JSON", value_parser = object, default_value = r#"{"facts": ["a red ball", "a green tree"], "target": 0}"#)]
    pub params: Value,
    /// Time that a check may take
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub timeout: f64,
    /// Make this check only; may be given again
    #[arg(long, value_name = "CHECK", value_parser = name)]
    pub only: Vec<String>,
    /// List the checks: name, what it is of, and the rule
    #[arg(long)]
    pub list: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// When no check failed: copy the plugin into this folder and write its sidecar manifest there
    #[arg(long, value_name = "DIR", conflicts_with_all = ["only", "expert"])]
    pub install: Option<PathBuf>,
    /// When no check failed: write the plugin's sidecar manifest beside it
    #[arg(long, conflicts_with_all = ["only", "expert", "install"])]
    pub sidecar: bool,
}

fn object(text: &str) -> Result<Value, String> {
    match serde_json::from_str(text) {
        Ok(value @ Value::Object(_)) => Ok(value),
        Ok(_) => Err("expected a JSON object".into()),
        Err(error) => Err(format!("expected a JSON object: {error}")),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.01..=86_400.0).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds from 0.01 to 86400".into()),
    }
}

fn name(text: &str) -> Result<String, String> {
    match Check::named(text) {
        Some(check) => Ok(check.name.to_owned()),
        None => Err("there is no such check; --list names them".into()),
    }
}

/// Does what the command line says.
pub fn run(options: &Options) -> ExitCode {
    match try_run(options, &mut io::stdout().lock()) {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(io::stderr(), "counterpoint-validator: {error}");
            ExitCode::from(1)
        }
    }
}

fn try_run(options: &Options, out: &mut impl Write) -> Result<ExitCode, String> {
    let broken = |e: io::Error| format!("cannot write the report: {e}");
    if options.list {
        for check in ALL {
            let of = match (check.is_for_libraries(), check.is_for_commands()) {
                (true, true) => "both",
                (true, false) => "libraries",
                _ => "commands",
            };
            writeln!(out, "{:<18} {of:<10} {}", check.name, check.rule).map_err(broken)?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let target = match &options.plugin {
        Some(path) if path.extension().is_some_and(|ending| ending == "py") => {
            let path = path.display();
            return Err(format!(
                "expected a shared library, got the Python file {path}; give what serves it in its place: \
                 `[OPTIONS] -- python3 -m counterpoint_reward {path}`"
            ));
        }
        Some(path) => Target::Library(path.canonicalize().map_err(|e| format!("cannot find {}: {e}", path.display()))?),
        None => Target::Command(options.command.clone()),
    };
    let before = install::Source::of(&target);
    let mut reasons: HashMap<String, &str> = HashMap::new();
    let print = |finding: &Finding| {
        let same = match &finding.verdict {
            Verdict::Fail(reason) => {
                let same = reasons.get(reason).copied();
                reasons.entry(reason.clone()).or_insert(finding.check);
                same
            }
            _ => None,
        };
        if options.json { Ok(()) } else { finding.print(out, same) }
    };
    let report = session::check(&target, options, print).map_err(broken)?;
    if options.json {
        let text = serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?;
        writeln!(out, "{text}").map_err(broken)?;
    } else {
        writeln!(out, "{}", report.summary()).map_err(broken)?;
    }
    let installs = options.sidecar || options.install.is_some();
    if report.findings.iter().any(|f| matches!(f.verdict, Verdict::Fail(_))) {
        return match installs {
            true => Err("nothing was written: not every check passed".to_owned()),
            false => Ok(ExitCode::from(1)),
        };
    }
    if installs {
        let manifest = report.manifest.as_ref().ok_or("the plugin has not said what it is")?;
        let to = before?.install(options.install.as_deref(), manifest)?;
        if !options.json {
            writeln!(out, "wrote {}", to.display()).map_err(broken)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
