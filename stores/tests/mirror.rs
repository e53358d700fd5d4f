//! Checkpoints in a store: complete or not there, as many as on disk, and back again.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use counterpoint::checkpoint::{Keep, Reader, Writer, latest};
use counterpoint::{ErrorKind, Event, Observer};
use counterpoint_stores::Mirror;
use counterpoint_stores::object_store::local::LocalFileSystem;
use counterpoint_stores::object_store::memory::InMemory;
use counterpoint_stores::object_store::path::Path as Key;
use counterpoint_stores::object_store::{ObjectStore, ObjectStoreExt};
use futures_util::{FutureExt, TryStreamExt};

/// A checkpoint of two files, of which the last `keep` are kept.
fn write(root: &Path, step: u64, content: &str, keep: usize) -> PathBuf {
    let writer = Writer::begin(root, step).unwrap();
    fs::create_dir_all(writer.dir().join("policy")).unwrap();
    fs::write(writer.dir().join("policy/weights.bin"), content.repeat(1000)).unwrap();
    fs::write(writer.dir().join("state.json"), content).unwrap();
    writer.commit(Keep { last: keep, best: false }).unwrap()
}

fn tell(mirror: &mut Mirror, step: u64, path: &Path) {
    let go_on = mirror.event(&Event::Checkpoint { step, path }).unwrap();
    assert!(go_on.is_continue());
}

/// What is in a store in memory, which answers at once.
fn objects(store: &dyn ObjectStore) -> Vec<String> {
    let listed = store.list(None).map_ok(|object| object.location.to_string()).try_collect::<Vec<_>>();
    let mut found = listed.now_or_never().unwrap().unwrap();
    found.sort();
    found
}

fn of(steps: &[u64]) -> Vec<String> {
    let files = ["manifest.json", "policy/weights.bin", "state.json"];
    steps.iter().flat_map(|step| files.map(|file| format!("runs/first/step-{step:06}/{file}"))).collect()
}

#[test]
fn a_store_holds_what_the_run_keeps_and_gives_it_back() {
    let (here, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let mut mirror = Mirror::new(store.clone(), "runs/first").unwrap();
    assert_eq!(mirror.fetch(elsewhere.path()).unwrap(), None);
    for (step, kept) in [(10, &[10][..]), (20, &[10, 20]), (30, &[20, 30])] {
        tell(&mut mirror, step, &write(here.path(), step, "a", 2));
        assert_eq!(objects(&*store), of(kept));
    }
    // Another machine, which has nothing, and is told of it once.
    let mut other = Mirror::new(store.clone(), "runs/first").unwrap();
    let newest = other.fetch(elsewhere.path()).unwrap().unwrap();
    assert_eq!(Some(&newest), latest(elsewhere.path()).unwrap().as_ref());
    assert_eq!(Reader::open(&newest).unwrap().step(), 30);
    assert_eq!(fs::read(newest.join("policy/weights.bin")).unwrap(), "a".repeat(1000).into_bytes());
    assert_eq!(other.fetch(elsewhere.path()).unwrap(), Some(newest));
    // It goes on from there: what it fetched is its own now, what else is there is not.
    tell(&mut other, 40, &write(elsewhere.path(), 40, "b", 1));
    assert_eq!(objects(&*store), of(&[20, 40]));
}

#[test]
fn a_history_that_was_abandoned_is_replaced() {
    let root = tempfile::tempdir().unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let mut mirror = Mirror::new(store.clone(), "runs/first").unwrap();
    tell(&mut mirror, 10, &write(root.path(), 10, "first", 2));
    fs::rename(root.path().join("step-000010"), root.path().join("superseded-000010")).unwrap();
    tell(&mut mirror, 10, &write(root.path(), 10, "second", 2));
    assert_eq!(objects(&*store), of(&[10]));
    let elsewhere = tempfile::tempdir().unwrap();
    let newest = mirror.fetch(elsewhere.path()).unwrap().unwrap();
    assert_eq!(fs::read_to_string(newest.join("state.json")).unwrap(), "second");
}

#[test]
fn half_a_copy_is_none_and_a_changed_one_is_refused_by_name() {
    let (here, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let mut mirror = Mirror::new(store.clone(), "runs/first").unwrap();
    tell(&mut mirror, 10, &write(here.path(), 10, "a", 3));
    tell(&mut mirror, 20, &write(here.path(), 20, "a", 3));
    let at = |name: &str| Key::from(format!("runs/first/{name}"));
    store.delete(&at("step-000020/manifest.json")).now_or_never().unwrap().unwrap();
    let newest = mirror.fetch(elsewhere.path()).unwrap().unwrap();
    assert_eq!(Reader::open(&newest).unwrap().step(), 10, "half a copy is passed over");
    fs::remove_dir_all(&newest).unwrap();
    store.put(&at("step-000010/state.json"), "b".into()).now_or_never().unwrap().unwrap();
    let error = mirror.fetch(elsewhere.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Checkpoint);
    assert!(error.to_string().contains("state.json"), "{error}");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0, "nothing is half fetched");
    // What is half there is completed.
    mirror.sync(here.path()).unwrap();
    assert_eq!(objects(&*store), of(&[10, 20]));
}

#[test]
fn a_store_that_is_away_costs_the_run_nothing_and_is_caught_up_with() {
    let (here, mount) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = mount.path().join("store");
    fs::create_dir(&folder).unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(LocalFileSystem::new_with_prefix(&folder).unwrap());
    let mut mirror = Mirror::new(store, "runs/first").unwrap();
    fs::remove_dir(&folder).unwrap();
    fs::write(&folder, "no folder").unwrap();
    let first = write(here.path(), 10, "a", 3);
    tell(&mut mirror, 10, &first);
    let error = mirror.sync(here.path()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Io);
    assert!(format!("{error:#}").contains("runs/first/step-000010"), "{error:#}");
    fs::remove_file(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    tell(&mut mirror, 20, &write(here.path(), 20, "a", 3));
    for step in ["step-000010", "step-000020"] {
        assert!(Reader::open(&folder.join("runs/first").join(step)).is_ok(), "{step} is there, as on disk");
    }
}

#[test]
fn addresses_that_lead_nowhere_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let here = tempfile::tempdir().unwrap();
    let mut mirror = Mirror::open(&format!("file://{}/copies", folder.path().display())).unwrap();
    tell(&mut mirror, 10, &write(here.path(), 10, "a", 1));
    assert!(Reader::open(&folder.path().join("copies/step-000010")).is_ok());
    for address in ["", "bucket/path", "s3://bucket/path", "ftp://host/path"] {
        let error = Mirror::open(address).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.to_string().contains("s3://BUCKET/PATH") && error.to_string().contains(address), "{error}");
    }
    assert!(Mirror::new(Arc::new(InMemory::new()), "a//b").unwrap_err().to_string().contains("a//b"));
}
