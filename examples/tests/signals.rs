//! Signals that end a run, and what schedulers make of it.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod program;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use program::{SHORT, example, named, objects};
use serde_json::Value;

/// What a run says that gets `signal` after its first step, and the folder that it leaves behind.
fn stopped_by(signal: &str) -> (Vec<Value>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let args = long(folder.path());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (said, status) = interrupted(&mut example(&args), signal);
    // Neither a success nor a failure: a scheduler is to start it again.
    assert_eq!(status, Some(75), "{said}");
    (objects(&said), folder)
}

/// A run in `folder` that would take a thousand steps.
fn long(folder: &Path) -> Vec<String> {
    let output = format!("run.output='{}'", folder.display());
    let sets = [output.as_str(), "trainer.steps=1000"].into_iter().chain(SHORT);
    ["--json".to_owned()].into_iter().chain(sets.flat_map(|set| ["--set".to_owned(), set.to_owned()])).collect()
}

/// What `run` says, which gets `signal` after its first step, and its status.
fn interrupted(run: &mut Command, signal: &str) -> (String, Option<i32>) {
    let mut run = run.stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    let mut lines = BufReader::new(run.stdout.take().unwrap());
    while lines.read_line(&mut said).unwrap() > 0 {
        if said.lines().last().unwrap().starts_with("{\"event\":\"step\"") {
            assert!(Command::new("kill").args([signal, &run.id().to_string()]).status().unwrap().success());
            break;
        }
    }
    lines.read_to_string(&mut said).unwrap();
    (said, run.wait().unwrap().code())
}

#[test]
fn under_slurm_a_run_whose_time_is_over_is_put_into_the_queue_again() {
    let folder = tempfile::tempdir().unwrap();
    // In the place of Slurm's own: notes what it is asked.
    let scontrol = folder.path().join("scontrol");
    std::fs::write(&scontrol, "#!/bin/sh\necho \"$@\" >> \"$(dirname \"$0\")/asked\"\n").unwrap();
    std::fs::set_permissions(&scontrol, PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.path().display(), std::env::var("PATH").unwrap());
    let asked = || std::fs::read_to_string(folder.path().join("asked")).unwrap_or_default();
    let job = |more: &[&str]| {
        let mut job = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/slurm.sh"));
        job.args(long(folder.path())).args(more).env("PATH", &path).env("SLURM_JOB_ID", "7");
        job.env("COUNTERPOINT", example(&[]).get_program());
        job
    };
    let (said, status) = interrupted(&mut job(&[]), "-TERM");
    assert_eq!((status, asked().as_str()), (Some(75), "requeue 7\n"), "{said}");
    let steps = named(&objects(&said), "stopped")[0]["step"].as_u64().unwrap();

    // Begun again, it goes on, and is done: no other requeue.
    let output = job(&["--set", &format!("trainer.steps={}", steps + 1)]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let objects = objects(std::str::from_utf8(&output.stdout).unwrap());
    assert_eq!(named(&objects, "resumed")[0]["step"], steps);
    assert_eq!((named(&objects, "step").len(), asked().as_str()), (1, "requeue 7\n"));
}

#[test]
fn sigterm_and_sighup_stop_on_a_step_boundary_with_a_checkpoint() {
    // Under `nohup`, which the run would inherit, SIGHUP is ignored.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).map(str::trim).unwrap_or("0");
    let nohup = u64::from_str_radix(ignored, 16).unwrap() & 1 == 1;
    for signal in if nohup { &["-TERM"][..] } else { &["-TERM", "-HUP"] } {
        let (objects, folder) = stopped_by(signal);
        assert_eq!(named(&objects, "stopping").len(), 1, "{signal}");
        let stopped = named(&objects, "stopped")[0];
        let steps = stopped["step"].as_u64().unwrap();
        assert!((1..1000).contains(&steps), "{signal}: {stopped}");
        assert!(stopped["resume"].as_str().unwrap().contains("--resume"), "{signal}: {stopped}");
        let kept = named(&objects, "checkpoint").last().unwrap()["path"].as_str().unwrap().to_owned();
        assert!(kept.ends_with(&format!("step-{steps:06}")), "{signal}: {kept}");
        assert!(Path::new(&kept).starts_with(folder.path()) && Path::new(&kept).is_dir(), "{signal}: {kept}");
    }
}
