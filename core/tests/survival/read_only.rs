//! Folders that cannot be written to are found before anything is computed.

use std::fs;
use std::path::Path;

use counterpoint::{ErrorKind, Trainer};

use super::child::child;
use super::common::{config, listen, parts, trainer, weights};
use super::disk_full::small_disk;

/// That the first step fails with the path, before it has drawn anything, and so does every other.
fn refused(mut trainer: Trainer, path: &Path) {
    let log = listen(&mut trainer);
    let before = weights(&mut trainer);
    for _ in 0..2 {
        let error = trainer.step().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");
    }
    assert!(log.lock().unwrap().is_empty(), "{:?}", log.lock().unwrap());
    assert!(trainer.progress().step == 0 && weights(&mut trainer) == before);
}

fn fresh() -> Trainer {
    trainer(parts(), config(3))
}

pub(super) fn a_file_where_a_folder_should_be() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    for folder in [file.clone(), file.join("run")] {
        refused(fresh().with_folder(&folder), &folder);
    }
    assert_eq!(fs::read(&file).unwrap(), b"");
}

pub(super) fn a_folder_where_the_metrics_should_be() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("metrics.jsonl")).unwrap();
    refused(fresh().with_folder(root.path()), &root.path().join("metrics.jsonl"));
}

#[cfg(target_os = "linux")]
pub(super) fn file_systems_that_not_even_root_writes_to() {
    for folder in ["/proc/counterpoint", "/sys/counterpoint"] {
        refused(fresh().with_folder(Path::new(folder)), Path::new(folder));
    }
}

/// Role: the process that has a file system of its own.
pub(super) fn reads_only(disk: &Path) {
    let folder = disk.join("run");
    let mut begun = fresh().with_folder(&folder);
    begun.step().unwrap();
    begun.save().unwrap();
    drop(begun);
    let remounted = std::process::Command::new("mount").args(["-o", "remount,ro"]).arg(disk).status().unwrap();
    assert!(remounted.success());
    refused(fresh().with_folder(&folder), &folder);
    let mut again = fresh().with_folder(&folder);
    let error = again.resume(&folder.join("checkpoints/step-000001")).unwrap_err();
    assert!(error.kind() == ErrorKind::Io && error.to_string().contains("checkpoints/.lock"), "{error}");
    // Going on from there elsewhere needs no right to write.
    let mut elsewhere = fresh().with_folder(disk.with_extension("other"));
    elsewhere.resume(&folder.join("checkpoints/step-000001")).unwrap();
    fs::remove_dir_all(disk.with_extension("other")).unwrap();
    println!("\nmessage: {error:#}");
}

#[cfg(target_os = "linux")]
pub(super) fn a_read_only_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let Some(command) = small_disk(dir.path()) else { return };
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let output = child(&command, "read_only::reads_only", dir.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("message: "), "{text}");
}
