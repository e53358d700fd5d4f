//! What is said of a plugin.

use std::io::{self, Write};

use counterpoint_host::Manifest;
use serde::Serialize;

use crate::Verdict;

/// One check of one expert, or of the plugin.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Name of the check.
    pub check: &'static str,
    /// Name of the expert; none for a check of the whole plugin.
    pub expert: Option<String>,
    /// How it ended.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Time that it took.
    pub seconds: f64,
}

/// All findings of a plugin.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The library's path, or the command.
    pub plugin: String,
    /// What the plugin says of itself, if it could be asked.
    pub manifest: Option<Manifest>,
    /// In the order of the checks, expert by expert.
    pub findings: Vec<Finding>,
}

impl Finding {
    /// Writes a line of the table; `same` is an earlier check that failed for the same reason.
    ///
    /// # Errors
    /// The writer's.
    pub fn print(&self, out: &mut impl Write, same: Option<&str>) -> io::Result<()> {
        let (verdict, detail) = match &self.verdict {
            Verdict::Pass(detail) => ("pass", detail),
            Verdict::Fail(reason) => ("FAIL", reason),
            Verdict::Skipped(reason) => ("skipped", reason),
        };
        let expert = self.expert.as_deref().unwrap_or("-");
        let detail = same.map_or_else(|| brief(detail), |check| format!("as `{check}`"));
        let line = format!("{:<18} {expert:<16} {verdict:<8} {:>7.2} s  {detail}", self.check, self.seconds);
        writeln!(out, "{}", line.trim_end())?;
        out.flush()
    }
}

/// A reason in a line: of a traceback its last call in a file and its end, which say where and what; --json has it all.
fn brief(detail: &str) -> String {
    let mut lines = detail.trim().lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    let Some(last) = lines.next_back() else { return first.to_owned() };
    // As Python writes it: `File "brightness.py", line 12, in score`.
    let place = lines.rev().find_map(|line| line.strip_prefix("File ")).map_or(String::new(), |at| format!(" ({at})"));
    format!("{first} [...] {last}{place}")
}

impl Report {
    /// How many checks ended how.
    pub fn summary(&self) -> String {
        let count = |is: fn(&Verdict) -> bool| self.findings.iter().filter(|f| is(&f.verdict)).count();
        let passed = count(|v| matches!(v, Verdict::Pass(_)));
        let failed = count(|v| matches!(v, Verdict::Fail(_)));
        let skipped = count(|v| matches!(v, Verdict::Skipped(_)));
        format!("{}: {passed} passed, {failed} failed, {skipped} skipped", self.plugin)
    }
}
