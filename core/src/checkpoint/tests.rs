#![allow(clippy::unwrap_used, clippy::expect_used)]
use std::fs;
use std::path::{Path, PathBuf};

use super::{FORMAT, Keep, Reader, Writer, latest};
use crate::{ErrorKind, Result};

const KEEP: Keep = Keep { last: 3, best: true };

fn write(root: &Path, step: u64, metric: f64, keep: Keep) -> PathBuf {
    let mut writer = Writer::begin(root, step).unwrap();
    fs::write(writer.dir().join("weights.bin"), vec![7_u8; 3000]).unwrap();
    fs::create_dir(writer.dir().join("filter")).unwrap();
    fs::write(writer.dir().join("filter/state.txt"), step.to_string()).unwrap();
    writer.metric(metric);
    writer.commit(keep).unwrap()
}

fn names(root: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(root).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|n| n != ".lock");
    names.sort();
    names
}

fn refused(result: Result<Reader>) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checkpoint);
    error.to_string()
}

#[test]
fn what_was_written_is_read_back() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().join("made/on/demand");
    let dir = write(&root, 123, 0.5, KEEP);
    assert_eq!(dir, root.join("step-000123"));
    let reader = Reader::open(&dir).unwrap();
    assert_eq!((reader.step(), reader.metric()), (123, Some(0.5)));
    assert_eq!(fs::read_to_string(reader.path("filter/state.txt").unwrap()).unwrap(), "123");
    let message = reader.path("other.bin").unwrap_err().to_string();
    assert!(message.contains("expected a file `other.bin`") && message.contains("weights.bin"), "{message}");
}

#[test]
fn damage_is_refused_with_the_file_and_the_previous_intact_checkpoint() {
    type Damage = fn(&Path);
    let flip: Damage = |dir| {
        let path = dir.join("weights.bin");
        let mut bytes = fs::read(&path).unwrap();
        bytes[1234] ^= 1;
        fs::write(path, bytes).unwrap();
    };
    let cases: [(Damage, &str); 8] = [
        (
            |d| fs::File::options().write(true).open(d.join("weights.bin")).unwrap().set_len(2999).unwrap(),
            "weights.bin is damaged: expected bytes 3000, got 2999",
        ),
        (flip, "weights.bin is damaged: expected sha256 "),
        (|d| fs::remove_file(d.join("filter/state.txt")).unwrap(), "state.txt is missing"),
        (|d| fs::write(d.join("extra.txt"), "").unwrap(), "extra.txt is not in manifest.json"),
        (|d| fs::remove_file(d.join("manifest.json")).unwrap(), "manifest.json is missing"),
        (|d| fs::write(d.join("manifest.json"), "{\"format\": 2,").unwrap(), "manifest.json is damaged"),
        (|d| fs::write(d.join("manifest.json"), [0xff, 0xfe]).unwrap(), "manifest.json is damaged"),
        (|d| edit_manifest(d, "\"step\": 20", "\"step\": 21"), "manifest.json is damaged: expected sha256 "),
    ];
    for (damage, expected) in cases {
        let root = tempfile::tempdir().unwrap();
        let [oldest, older, newest] = [5, 10, 20].map(|step| write(root.path(), step, 0.0, KEEP));
        flip(&older);
        damage(&newest);
        let message = refused(Reader::open(&newest));
        assert!(message.contains(expected), "expected {expected}, got {message}");
        let offer = format!("the previous intact checkpoint is {}; to go on from it, move the other", oldest.display());
        assert!(message.contains(&offer), "{message}");
        Reader::open(&oldest).unwrap();
        let message = refused(Reader::open(&older));
        assert!(message.contains(&oldest.display().to_string()), "{message}");
    }
}

#[test]
fn without_an_earlier_intact_checkpoint_the_error_says_so() {
    let root = tempfile::tempdir().unwrap();
    let dir = write(root.path(), 1, 0.0, KEEP);
    write(root.path(), 2, 0.0, KEEP);
    fs::write(dir.join("weights.bin"), "short").unwrap();
    assert!(refused(Reader::open(&dir)).ends_with("there is no earlier intact checkpoint beside it"));
}

fn edit_manifest(dir: &Path, from: &str, to: &str) {
    let path = dir.join("manifest.json");
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(path, text.replace(from, to)).unwrap();
}

#[test]
fn every_flipped_byte_of_a_manifest_is_found() {
    let root = tempfile::tempdir().unwrap();
    // A number with more digits than it needs: changing the last of them does not change what it says.
    let dir = write(root.path(), 1, 0.1 + 0.2, KEEP);
    let path = dir.join("manifest.json");
    let good = fs::read(&path).unwrap();
    assert!(String::from_utf8_lossy(&good).contains("0.30000000000000004"));
    for at in 0..good.len() {
        for bit in [0, at % 8] {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            fs::write(&path, bad).unwrap();
            let message = refused(Reader::open(&dir));
            assert!(message.contains("manifest.json"), "bit {bit} of byte {at}: {message}");
        }
        fs::write(&path, &good[..at]).unwrap();
        assert!(refused(Reader::open(&dir)).contains("manifest.json is damaged"), "cut at {at}");
    }
    fs::write(&path, good).unwrap();
    Reader::open(&dir).unwrap();
}

#[test]
fn the_previous_checkpoint_is_found_by_number_and_not_by_name() {
    let root = tempfile::tempdir().unwrap();
    let [before, after] = [999_999, 1_000_000].map(|step| write(root.path(), step, 0.0, KEEP));
    fs::remove_file(after.join("weights.bin")).unwrap();
    assert!(refused(Reader::open(&after)).contains(&before.display().to_string()));
}

#[test]
fn a_newer_format_is_refused_with_both_versions() {
    let root = tempfile::tempdir().unwrap();
    let dir = write(root.path(), 1, 0.0, KEEP);
    let newer = format!("\"format\": {},\n  \"unheard_of\": 1", FORMAT + 1);
    edit_manifest(&dir, &format!("\"format\": {FORMAT}"), &newer);
    let message = refused(Reader::open(&dir));
    assert!(message.contains(&format!("expected format version {FORMAT}, got {}", FORMAT + 1)), "{message}");
    assert!(message.contains(concat!("this is counterpoint ", env!("CARGO_PKG_VERSION"))), "{message}");
}

#[test]
fn latest_passes_over_what_is_not_complete() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(latest(&root.path().join("missing")).unwrap(), None);
    assert_eq!(latest(root.path()).unwrap(), None);
    let newest = write(root.path(), 9, 0.0, KEEP);
    for other in [".tmp-30-1", "step-000040", "step-x", "step-50", "superseded-000060"] {
        fs::create_dir(root.path().join(other)).unwrap();
    }
    assert_eq!(latest(root.path()).unwrap(), Some(newest));
    let newest = write(root.path(), 1_000_000, 0.0, KEEP);
    assert_eq!(latest(root.path()).unwrap(), Some(newest));
}

#[test]
fn what_a_dead_writer_left_is_removed_by_the_next() {
    let root = tempfile::tempdir().unwrap();
    let leftover = root.path().join(format!(".tmp-3-{}", std::process::id()));
    fs::create_dir_all(leftover.join("deep")).unwrap();
    fs::create_dir_all(root.path().join(".tmp-3-1")).unwrap();
    fs::create_dir_all(root.path().join(".tmp-pruned-2")).unwrap();
    write(root.path(), 3, 0.0, KEEP);
    assert_eq!(names(root.path()), ["step-000003"]);
}

#[test]
fn a_writer_that_gives_up_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let writer = Writer::begin(root.path(), 3).unwrap();
    fs::write(writer.dir().join("half"), "written").unwrap();
    drop(writer);
    assert!(names(root.path()).is_empty());
}

#[test]
fn two_writers_at_once_are_refused() {
    let root = tempfile::tempdir().unwrap();
    let first = Writer::begin(root.path(), 3).unwrap();
    let error = Writer::begin(root.path(), 4).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checkpoint);
    let message = error.to_string();
    assert!(message.contains(&format!("{} is in use by process {}", root.path().display(), std::process::id())));
    assert!(message.contains("which is this one; drop its other trainer or writer first"), "{message}");
    first.commit(KEEP).unwrap();
    Writer::begin(root.path(), 4).unwrap();
}

#[test]
fn the_newest_and_the_best_are_kept() {
    let root = tempfile::tempdir().unwrap();
    let keep = Keep { last: 2, best: true };
    for (step, metric) in [(1, 0.1), (2, 0.9), (3, f64::NAN), (4, 0.2), (5, 0.3)] {
        write(root.path(), step, metric, keep);
    }
    assert_eq!(names(root.path()), ["step-000002", "step-000004", "step-000005"]);
    write(root.path(), 6, 0.4, Keep { last: 0, best: false });
    assert_eq!(names(root.path()), ["step-000006"]);
}

#[test]
fn a_checkpoint_of_the_same_step_takes_its_place_and_the_old_one_is_kept() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), 10, 0.1, KEEP);
    let dir = write(root.path(), 10, 0.2, KEEP);
    write(root.path(), 10, 0.3, KEEP);
    assert_eq!(names(root.path()), ["step-000010", "superseded-000010", "superseded-000010-2"]);
    assert_eq!(Reader::open(&dir).unwrap().metric(), Some(0.3));
}

#[test]
fn the_clocks_of_files_decide_nothing() {
    let root = tempfile::tempdir().unwrap();
    let metric = |step: u64| if step == 20 { 0.9 } else { 0.1 };
    for step in [10, 20, 30, 40] {
        write(root.path(), step, metric(step), Keep { last: 9, best: true });
    }
    // The newest is the oldest by its times, which are far off in both directions: the year 1970, and 2106.
    for (step, seconds) in [(10, 1 << 32), (20, 1 << 31), (30, 1 << 30), (40, 1)] {
        let dir = root.path().join(format!("step-{step:06}"));
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        for path in [dir.join("manifest.json"), dir.join("weights.bin"), dir] {
            fs::File::open(path).unwrap().set_modified(time).unwrap();
        }
    }
    let newest = latest(root.path()).unwrap().unwrap();
    assert_eq!(newest.file_name().unwrap(), "step-000040");
    fs::write(newest.join("weights.bin"), "short").unwrap();
    let previous = root.path().join("step-000030").display().to_string();
    assert!(refused(Reader::open(&newest)).contains(&format!("the previous intact checkpoint is {previous};")));
    write(root.path(), 50, 0.0, Keep { last: 2, best: true });
    assert_eq!(names(root.path()), ["step-000020", "step-000040", "step-000050"]);
}

#[test]
fn a_run_that_was_wound_back_sets_later_checkpoints_aside() {
    let root = tempfile::tempdir().unwrap();
    for step in [10, 20, 30] {
        write(root.path(), step, 0.0, KEEP);
    }
    let newest = write(root.path(), 20, 0.0, KEEP);
    assert_eq!(names(root.path()), ["step-000010", "step-000020", "superseded-000020", "superseded-000030"]);
    assert_eq!(latest(root.path()).unwrap().as_ref(), Some(&newest));
    Reader::open(&newest).unwrap();
}
