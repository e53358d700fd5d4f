//! All checks of a plugin, one after the other.

use std::io;

use crate::checks::{ALL, Check};
use crate::parent::{Ended, run};
use crate::{Finding, Job, Options, Report, Target, Verdict};

/// Makes the checks of `target` that `options` ask for; `each` is told of each at once.
///
/// # Errors
/// That of `each`.
pub fn check(
    target: &Target,
    options: &Options,
    mut each: impl FnMut(&Finding) -> io::Result<()>,
) -> io::Result<Report> {
    let job = job(target, options);
    let mut report = Report { plugin: name(target), manifest: None, findings: Vec::new() };
    let mut found = |report: &mut Report, check: &Check, expert: Option<&str>, ended: Ended| {
        let (expert, seconds) = (expert.map(str::to_owned), ended.time.as_secs_f64());
        let finding = Finding { check: check.name, expert, verdict: ended.verdict, seconds };
        each(&finding)?;
        report.findings.push(finding);
        io::Result::Ok(())
    };
    let asked = |check: &&Check| options.only.is_empty() || options.only.iter().any(|name| name == check.name);
    let (experts, plugin): (Vec<_>, Vec<_>) =
        ALL.iter().filter(|c| c.applies_to(target)).partition(|c| c.is_per_expert());

    for check in plugin {
        let introduces = check.introduces();
        if !introduces && !asked(&check) {
            continue;
        }
        let mut ended = run(&Job { check: check.name.into(), ..job.clone() });
        report.manifest = report.manifest.or(ended.manifest.take());
        let failed = matches!(ended.verdict, Verdict::Fail(_));
        if asked(&check) || failed {
            found(&mut report, check, None, ended)?;
        }
        if introduces && failed {
            // Nothing more can be asked of it.
            return Ok(report);
        }
    }
    let named = |name: &&String| options.expert.as_ref().is_none_or(|only| only == *name);
    let manifest = report.manifest.clone();
    let mut names: Vec<&String> = manifest.iter().flat_map(|m| &m.experts).map(|e| &e.name).filter(named).collect();
    // An expert that is not there fails its first check, which says so.
    if names.is_empty() {
        names.extend(&options.expert);
    }
    for expert in names {
        let mut made = true;
        for check in experts.iter().copied().filter(asked) {
            let ended = if made {
                run(&Job { check: check.name.into(), expert: expert.clone(), ..job.clone() })
            } else {
                Ended::skipped("no instance could be made")
            };
            made &= check.name != "create" || !matches!(ended.verdict, Verdict::Fail(_));
            found(&mut report, check, Some(expert), ended)?;
        }
    }
    Ok(report)
}

fn job(target: &Target, options: &Options) -> Job {
    let here = std::env::current_dir().unwrap_or_default();
    let beside = match target {
        Target::Library(path) => path.parent().map(|folder| here.join(folder)),
        Target::Command(_) => None,
    };
    let base = options.base.as_ref().map(|base| here.join(base)).or(beside).unwrap_or(here);
    Job {
        target: target.clone(),
        check: String::new(),
        expert: String::new(),
        settings: options.settings.clone(),
        base,
        params: options.params.to_string(),
        timeout: options.timeout,
        answer: Default::default(),
    }
}

fn name(target: &Target) -> String {
    match target {
        Target::Library(path) => path.display().to_string(),
        Target::Command(words) => words.join(" "),
    }
}
