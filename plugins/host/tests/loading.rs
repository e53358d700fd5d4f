//! From a file to a library: versions, sidecars, hashes, discovery. The first look in a child is tested by the bridge, which has the
//! child.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{build, build_with, items, moody};
use counterpoint_host::{Call, ErrorKind, Expert, Library, Loaded, Runner, Sealed, Setup, Sidecar, discover, load};
use serde_json::json;

/// Time for a first look.
const LOOK: Duration = Duration::from_secs(10);

fn scores(library: &'static Library) -> Vec<f64> {
    moody(library, "").unwrap().score(&items(3), &Call::default()).unwrap().values
}

#[test]
fn plugins_of_an_earlier_and_of_a_later_minor_version_work() {
    let folder = tempfile::tempdir().unwrap();
    let builds: [(&str, &[&str]); 3] = [
        ("now", &[]),
        ("early", &["MINOR=0", "SIZE=CPT_PLUGIN_V1_SIZE_0"]),
        ("later", &["MINOR=7", "LATER", "SIZE=sizeof(table)"]),
    ];
    for (name, defines) in builds {
        let library = Library::open(&build(folder.path(), name, defines)).unwrap();
        assert_eq!(scores(library), [0.0, 0.0, 1.0, 0.0, 2.0, 0.0], "{name}");
    }
}

#[test]
fn another_major_version_is_refused_with_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    let error = Library::open(&build(folder.path(), "future", &["MAJOR=2", "MINOR=3"])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Version);
    assert!(error.to_string().contains("got one for 2.3; this host speaks 1.1"), "{error}");
}

#[test]
fn what_is_no_plugin_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("libtext.so");
    std::fs::write(&text, "not a library").unwrap();
    assert_eq!(Library::open(&text).unwrap_err().kind(), ErrorKind::Load);
    let error = Library::open(&build(folder.path(), "nameless", &["cpt_plugin_v1_get=another"])).unwrap_err();
    assert!(error.to_string().contains("expected a plugin, which exports `cpt_plugin_v1_get`"), "{error}");
    assert_eq!(Library::open(&folder.path().join("none.so")).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn a_library_is_loaded_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = build(folder.path(), "once", &[]);
    let first = Library::open(&path).unwrap();
    let roundabout = folder.path().join("..").join(folder.path().file_name().unwrap()).join(path.file_name().unwrap());
    assert!(std::ptr::eq(first, Library::open(&roundabout).unwrap()));
}

#[test]
fn nothing_runs_before_sidecar_and_hash_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let path = build(folder.path(), "moody", &[]);
    let error = load(&path, None, LOOK).unwrap_err();
    assert!(error.kind() == ErrorKind::Manifest && error.to_string().contains("libmoody.so.json"), "{error}");

    let manifest = Library::open(&path).unwrap().manifest().clone();
    let sidecar = Sidecar::of(&path, &manifest).unwrap();
    sidecar.write(&path).unwrap();
    assert_eq!(Sidecar::read(&path).unwrap(), sidecar);
    assert_eq!(scores(load(&path, None, LOOK).unwrap())[2], 1.0);

    // One byte more, and it is another file.
    let other = build(folder.path(), "other", &[]);
    sidecar.write(&other).unwrap();
    std::fs::write(&other, [std::fs::read(&other).unwrap(), vec![0]].concat()).unwrap();
    let error = load(&other, None, LOOK).unwrap_err();
    assert!(error.kind() == ErrorKind::Hash && error.to_string().contains(&sidecar.sha256), "{error}");

    let mut renamed = Sidecar::of(&path, &manifest).unwrap();
    renamed.manifest.experts[0].name = "another".into();
    renamed.write(&path).unwrap();
    assert_eq!(load(&path, None, LOOK).unwrap_err().kind(), ErrorKind::Manifest);
    for damage in ["", "{", "{\"sha256\": 3}", "[]"] {
        std::fs::write(Sidecar::path(&path), damage).unwrap();
        assert_eq!(load(&path, None, LOOK).unwrap_err().kind(), ErrorKind::Manifest, "{damage}");
    }
}

#[cfg(unix)]
#[test]
fn the_sidecar_of_a_link_lies_beside_the_link() {
    let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let built = build(there.path(), "moody", &[]);
    let link = here.path().join("liblinked.so");
    std::os::unix::fs::symlink(&built, &link).unwrap();
    Sidecar::of(&link, Library::open(&built).unwrap().manifest()).unwrap().write(&link).unwrap();
    assert_eq!(discover(here.path()).unwrap()[0].path.file_name(), link.file_name());
    assert!(std::ptr::eq(load(&link, None, LOOK).unwrap(), Library::open(&built).unwrap()));
}

#[cfg(unix)]
#[test]
fn a_sidecar_is_not_written_through_a_link() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().unwrap();
    let path = build(folder.path(), "moody", &[]);
    let sidecar = Sidecar::of(&path, Library::open(&path).unwrap().manifest()).unwrap();
    let precious = folder.path().join("precious");
    std::fs::write(&precious, "mine").unwrap();
    symlink(&precious, Sidecar::path(&path)).unwrap();
    symlink(&precious, Sidecar::path(&path).with_extension("part")).unwrap();
    sidecar.write(&path).unwrap();
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "mine");
    assert!(!Sidecar::path(&path).is_symlink());
    assert_eq!(Sidecar::read(&path).unwrap(), sidecar);
}

#[test]
fn a_file_that_was_replaced_is_not_taken_for_what_was_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let path = build(folder.path(), "moody", &[]);
    let seal = || Sidecar::of(&path, Library::open(&path).unwrap().manifest()).unwrap().write(&path).unwrap();
    seal();
    load(&path, None, LOOK).unwrap();
    load(&path, None, LOOK).unwrap();
    // Put in its place by a rename, as an installer does: what is loaded keeps its own file.
    let other = build(folder.path(), "other", &["CAPABILITIES=0"]);
    std::fs::rename(&other, &path).unwrap();
    seal();
    let error = load(&path, None, LOOK).unwrap_err();
    assert!(error.kind() == ErrorKind::Load && error.to_string().contains("restart the program"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn what_was_hashed_is_what_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = build(folder.path(), "moody", &[]);
    // Found out from elsewhere, so that nothing of the file itself is loaded yet.
    let twin = folder.path().join("twin.so");
    std::fs::copy(&path, &twin).unwrap();
    let manifest = Library::open(&twin).unwrap().manifest();
    Sidecar::of(&path, manifest).unwrap().write(&path).unwrap();
    // After the hash and before the load another plugin takes its place: in the first look, which lies between the two.
    let other = build(folder.path(), "other", &["CAPABILITIES=0"]);
    let answer = json!({ "capabilities": 0, "manifest": manifest });
    let script = format!("cat '{}' > '{}'\necho '{answer}'", other.display(), path.display());
    let library = load(&path, Some(&looker(folder.path(), &script)), LOOK).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&other).unwrap());
    assert_eq!(library.capabilities(), Library::open(&twin).unwrap().capabilities());
    assert_ne!(library.capabilities(), Library::open(&other).unwrap().capabilities());
}

#[cfg(target_os = "linux")]
#[test]
fn nobody_writes_to_what_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = build(folder.path(), "moody", &[]);
    let sealed = Sealed::of(&path).unwrap();
    assert_ne!(sealed.loadable(), path);
    let mut copy = std::fs::File::options().write(true).open(sealed.loadable()).unwrap();
    let error = std::io::Write::write_all(&mut copy, b"x").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied, "{error}");
    assert!(copy.set_len(0).is_err());
}

#[cfg(target_os = "linux")]
#[test]
fn libraries_beside_a_plugin_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = build(folder.path(), "moody", &[]);
    let beside = build(folder.path(), "needed_beside", &["cpt_plugin_v1_get=needed"]);
    let from = format!("-L{}", folder.path().display());
    let link = ["-Wl,--no-as-needed", "-Wl,-rpath,$ORIGIN", &from, "-lneeded_beside"];
    let linked = build_with(folder.path(), "linked", &[], &link);
    // Not where it was built.
    let there = tempfile::tempdir().unwrap();
    for file in [&linked, &beside] {
        std::fs::copy(file, there.path().join(file.file_name().unwrap())).unwrap();
    }
    std::fs::remove_file(beside).unwrap();
    let linked = there.path().join(linked.file_name().unwrap());
    assert_eq!(Sealed::of(&linked).unwrap().loadable(), linked);
    assert_eq!(scores(Library::open(&linked).unwrap()), scores(Library::open(&path).unwrap()));
}

#[test]
fn a_first_look_that_cannot_be_taken_stops_the_load() {
    let folder = tempfile::tempdir().unwrap();
    let path = build(folder.path(), "moody", &[]);
    Sidecar::of(&path, Library::open(&path).unwrap().manifest()).unwrap().write(&path).unwrap();
    for program in ["/bin/false", "/bin/true", "/nowhere/at/all"] {
        let error = load(&path, Some(&Runner::at(program)), LOOK).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Probe, "{program}: {error}");
    }
}

/// A program that is started for first looks: it runs `script` in a shell.
#[cfg(unix)]
fn looker(folder: &Path, script: &str) -> Runner {
    let program = folder.join("looker");
    // Written by another process: were it open for writing here while a test beside starts one, it could not be run.
    let text = format!("#!/bin/sh\ncd '{}'\n{script}\n", folder.display());
    let write = "printf %s \"$1\" > \"$0\" && chmod +x \"$0\"";
    let written = std::process::Command::new("sh").args(["-c", write]).arg(&program).arg(text).status().unwrap();
    assert!(written.success());
    Runner::at(program)
}

#[cfg(unix)]
#[test]
fn a_first_look_ends_in_time_and_takes_along_what_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let path = build(folder.path(), "moody", &[]);
    let manifest = Library::open(&path).unwrap().manifest();
    Sidecar::of(&path, manifest).unwrap().write(&path).unwrap();
    let answer = json!({ "capabilities": 0, "manifest": manifest });
    let stays = "sleep 60 & echo $! > stays";
    let gone = || {
        let pid = std::fs::read_to_string(folder.path().join("stays")).unwrap();
        let process = Path::new("/proc").join(pid.trim()).join("stat");
        // A zombie is gone too, but for the one who has to wait for it.
        !std::fs::read_to_string(process).is_ok_and(|stat| !stat.contains(") Z "))
    };
    let scripts = [
        // It answers and ends, while what it started holds its pipes open.
        (format!("{stays}\necho '{answer}'"), None),
        (format!("{stays}\necho 'no such thing' >&2; exit 1"), Some("no such thing")),
        (format!("{stays}\nsleep 60"), Some("expected it to load within")),
    ];
    for (script, refused) in scripts {
        let started = std::time::Instant::now();
        let loaded = load(&path, Some(&looker(folder.path(), &script)), Duration::from_secs(1));
        assert!(started.elapsed() < Duration::from_secs(10), "{script}: {:?}", started.elapsed());
        match (loaded, refused) {
            (Ok(_), None) => {}
            (Err(error), Some(words)) => {
                assert!(error.kind() == ErrorKind::Probe && error.to_string().contains(words), "{error}");
            }
            (loaded, _) => panic!("{script}: {loaded:?}"),
        }
        if cfg!(target_os = "linux") {
            let until = started + Duration::from_secs(10);
            while !gone() && std::time::Instant::now() < until {
                std::thread::sleep(Duration::from_millis(10));
            }
            assert!(gone(), "{script}: what it started is still there");
        }
    }
}

#[test]
fn a_folder_is_searched_by_its_sidecars() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(discover(folder.path()).unwrap(), []);
    assert_eq!(discover(&folder.path().join("none")).unwrap_err().kind(), ErrorKind::Io);
    let path = build(folder.path(), "moody", &[]);
    build(folder.path(), "needed_by_another", &[]);
    let sidecar = Sidecar::of(&path, Library::open(&path).unwrap().manifest()).unwrap();
    sidecar.write(&path).unwrap();
    let script = folder.path().join("kind.py");
    std::fs::write(&script, "# an expert in Python").unwrap();
    let mut other = Sidecar::of(&script, &sidecar.manifest).unwrap();
    other.command = Some(vec!["python3".into(), "-m".into(), "counterpoint_reward".into(), "{file}".into()]);
    other.manifest.experts[0].name = "kind".into();
    other.write(&script).unwrap();
    let found = discover(folder.path()).unwrap();
    assert_eq!(found.len(), 2);
    let names: Vec<&str> = found.iter().flat_map(|f| f.experts().map(|e| e.name.as_str())).collect();
    assert_eq!(names, ["kind", "moody"]);
    let command = found[0].sidecar.command_for(&found[0].path).unwrap();
    assert_eq!(Path::new(&command[3]), found[0].path);
    assert_eq!(load(&script, None, LOOK).unwrap_err().kind(), ErrorKind::Load);

    other.manifest = sidecar.manifest;
    other.write(&script).unwrap();
    let error = discover(folder.path()).unwrap_err();
    assert!(error.to_string().contains("one plugin with an expert `moody`"), "{error}");
}

#[test]
fn experts_and_settings_are_checked_before_the_plugin_is_asked() {
    let (_folder, library) = common::open(&[]);
    let create = |expert: &str, settings: serde_json::Value| {
        Loaded::create(library, &Setup { expert, settings: &settings, base: Path::new("/") }, 1)
    };
    let error = create("mody", json!({})).err().unwrap();
    assert!(error.kind() == ErrorKind::Config && error.to_string().contains("(experts: moody)"), "{error}");
    assert_eq!(create("moody", json!(3)).err().unwrap().kind(), ErrorKind::Config);
}
