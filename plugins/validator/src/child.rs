//! The child's side: one check in this process.

use std::process::ExitCode;

use crate::checks::Check;
use crate::{Job, Verdict, progress};

/// The first argument of a child; the second is its job.
pub(crate) const CHILD: &str = "counterpoint-validator-check";

/// Makes a check if this process was started for one.
pub fn run_if_child() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next()? != CHILD {
        return None;
    }
    Some(match arguments.next().map(|text| serde_json::from_str::<Job>(&text)) {
        Some(Ok(job)) if progress::open(&job.answer).is_ok() => {
            progress::send(&progress::Line::Verdict(verdict(&job)));
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    })
}

fn verdict(job: &Job) -> Verdict {
    let outcome = match Check::named(&job.check) {
        Some(check) => check.run(job),
        None => Err(format!("there is no check `{}`", job.check)),
    };
    outcome.unwrap_or_else(Verdict::Fail)
}
