//! SIGKILL at random moments, also inside checkpoint writes and before there is a checkpoint.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use counterpoint::{Journal, Key, StopToken, Stream, Streams, Trainer};

use super::child::child;
use super::common::{Faults, Slowly, ToyPolicy, changed, stateful, trainer};
use super::{TrainerConfig, assert_equal, newest, tree};

/// More than twenty children get to before they are killed.
const STEPS: u64 = 240;
const KILLS: u64 = 20;
/// A checkpoint takes four of these.
const PAUSE: Duration = Duration::from_millis(8);

fn marker(folder: &Path) -> PathBuf {
    folder.join("saving")
}

fn run(folder: &Path, pause: Duration) -> Trainer {
    let (parts, config) = stateful();
    let policy = ToyPolicy::new(Faults::default()).saving(Slowly { pause, marker: marker(folder) });
    let config = TrainerConfig { steps: STEPS, checkpoint_every: 3, keep_last: 2, ..config };
    trainer(changed(parts, |p| p.policy = Box::new(policy)), config).with_folder(folder)
}

fn go_on(folder: &Path, pause: Duration) {
    let mut trainer = run(folder, pause);
    match newest(folder) {
        Some(newest) => trainer.resume(&newest).unwrap(),
        None => trainer = trainer.with_journal(Journal::new(folder).overwriting()),
    }
    trainer.run(&StopToken::new()).unwrap();
}

/// Role: the process that is killed.
pub(super) fn trains(folder: &Path) {
    go_on(folder, PAUSE);
}

/// Waits until `until`, as long as the child lives.
fn wait(child: &mut Child, until: impl Fn() -> bool) {
    let started = Instant::now();
    while !until() {
        assert!(started.elapsed() < Duration::from_secs(60), "the child does nothing");
        if let Some(status) = child.try_wait().unwrap() {
            panic!("the child ended before it was killed: {status}");
        }
        sleep(Duration::from_millis(1));
    }
}

fn up_to(stream: &mut Stream, longest: Duration) {
    sleep(longest.mul_f32(stream.uniform()));
}

pub(super) fn a_run_that_is_killed_twenty_times_equals_the_uninterrupted_one() {
    let seed = match std::env::var("SEED_OF_TEST") {
        Ok(seed) => seed.parse().unwrap(),
        Err(_) => SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
    };
    println!("SEED_OF_TEST={seed}");
    let mut stream = Streams::new(seed).stream(Key::task(0, 0), "kills", 0);
    let root = tempfile::tempdir().unwrap();
    let [whole, folder] = ["whole", "killed"].map(|name| root.path().join(name));
    std::fs::create_dir(&whole).unwrap();
    std::fs::create_dir(&folder).unwrap();

    let (mut before_the_first, mut inside, mut gone_on) = (0, 0, 0);
    for n in 0..KILLS {
        let _ = std::fs::remove_file(marker(&folder));
        let metrics = folder.join("metrics.jsonl");
        let begins_at = newest(&folder);
        let bytes = || std::fs::metadata(&metrics).map_or(0, |m| m.len());
        let mut child = child(&[], "kill::trains", &folder).spawn().unwrap();
        match n {
            // While it starts.
            0 => up_to(&mut stream, Duration::from_millis(20)),
            // When the first step is done: the first checkpoint comes after three.
            1 => wait(&mut child, || bytes() > 0),
            // Inside the first checkpoint.
            2 => wait(&mut child, || marker(&folder).exists()),
            // Inside a later one.
            _ if n % 2 == 0 => {
                wait(&mut child, || newest(&folder) != begins_at);
                wait(&mut child, || marker(&folder).exists());
                up_to(&mut stream, PAUSE * 4);
            }
            // Anywhere after a new one.
            _ => {
                wait(&mut child, || newest(&folder) != begins_at);
                up_to(&mut stream, Duration::from_millis(80));
            }
        }
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert!(status.code().is_none(), "expected the end of a killed process, got {status}");
        before_the_first += u64::from(newest(&folder).is_none());
        gone_on += u64::from(newest(&folder) != begins_at);
        inside += u64::from(tree(&folder).iter().any(|p| p.to_string_lossy().contains(".tmp-")));
    }
    let counts =
        format!("{before_the_first} before the first checkpoint, {inside} inside one, {gone_on} after a new one");
    println!("{counts}");
    assert!(before_the_first >= 1 && inside >= 5 && gone_on == KILLS - 3, "of {KILLS} kills {counts}");

    let _ = std::fs::remove_file(marker(&folder));
    go_on(&folder, Duration::ZERO);
    go_on(&whole, Duration::ZERO);
    assert_equal(&folder, &whole, STEPS);
}
