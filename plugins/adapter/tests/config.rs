//! What a config may say of a plugin, and what it is told when that is wrong. Calls, failures and child processes are tested where
//! there is a program that runs children: with the recipes.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use counterpoint::registry::{BuildContext, named_reward};
use counterpoint::{ErrorKind, Judges, Result, Reward, Sample, Score, Task};
use counterpoint_bad_plugins::build;
use counterpoint_host::{Library, Sidecar};
use counterpoint_plugins as _;

/// A folder with the plugin `good`, whose expert has the outputs `light` and `length`.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let plugin = build("good", folder.path());
    Sidecar::of(&plugin, Library::open(&plugin).unwrap().manifest()).unwrap().write(&plugin).unwrap();
    (folder, plugin)
}

fn reward(base: &Path, settings: &str) -> Result<Box<dyn Reward>> {
    let mut table: toml::Table = settings.parse().unwrap();
    table.insert("kind".to_owned(), "plugin".into());
    named_reward("mine", &table, &BuildContext::new(Device::flex(), base))
}

#[test]
fn a_plugin_is_found_by_its_file_or_in_its_folder_from_the_configs_folder() {
    let (folder, plugin) = folder();
    let sample = Sample::new(&Task::new(0, ""), 0, "abc".into(), "de".into(), None);
    let file = plugin.file_name().unwrap().to_str().unwrap();
    let place = format!("path = '{file}'");
    for settings in ["path = '.'", "path = '.'\nexpert = 'good'", &place, &format!("{place}\ninstances = 3")] {
        let mut reward = reward(folder.path(), &format!("{settings}\noutput = 'length'")).unwrap();
        assert_eq!(reward.name(), "mine");
        assert_eq!(reward.score(std::slice::from_ref(&sample)).unwrap(), [Score::Value(5.0)], "{settings}");
    }
    let mut light = reward(folder.path(), &place).unwrap();
    let scores = light.score(&[sample]).unwrap();
    assert_eq!(scores, [Score::Value(f64::from(b'd' as u16 + b'e' as u16) / (2.0 * 255.0))], "the first output");
}

#[test]
fn an_empty_base_is_the_current_folder() {
    let (_folder, plugin) = folder();
    assert!(reward(Path::new(""), &format!("path = '{}'", plugin.display())).is_ok());
}

#[test]
fn what_is_wrong_is_named_with_the_reward_and_the_key() {
    let (folder, plugin) = folder();
    let refused = |settings: &str| {
        let error = reward(folder.path(), settings).err().unwrap();
        let message = error.to_string();
        assert!(message.starts_with("rewards.mine: "), "{message}");
        (error.kind(), message)
    };
    let config = |settings: &str, words: &str| {
        let (kind, message) = refused(settings);
        assert!(kind == ErrorKind::Config && message.contains(words), "{kind:?}: {message}");
    };
    config("", "expected path (a library or folder) or command, got neither");
    config("path = '.'\ncommand = ['x']", "got both");
    config("command = []", "command: expected a program");
    config("pth = '.'", "did you mean `path`?");
    config("path = '.'\nexpert = 'better'", "(good), got `better`");
    config("path = '.'\noutput = 'colour'", "(outputs: light, length)");
    config("path = '.'\njudges = 'taste'", "judges");
    config("path = '.'\ndeadline_s = 0.0", "deadline_s: expected seconds above 0");
    config("path = '.'\ninstances = 0", "instances: expected 1 or more");
    config(
        "path = '.'\nisolation = 'process'\ninstances = 2",
        "instances: expected 1 for a plugin in a process of its own",
    );
    config("path = '.'\ndeadline_s = 1.0\ninstances = 2", "as one with deadline_s is, got 2");
    config("path = '.'\nisolation = 'jail'", "isolation");
    config("path = '.'\nprocess = { grace_s = -1.0 }", "grace_s");
    config("command = ['/nowhere/at/all']", "/nowhere/at/all");
    // This test program does not run children, and there is none beside it.
    config("path = '.'\nisolation = 'process'", "run_if_child()");
    config("path = '.'\ndeadline_s = 1.0", "run_if_child()");
    assert_eq!(refused("path = 'none.so'").0, ErrorKind::Io);

    // A file of its own: the library that is loaded must not change.
    let damaged = folder.path().join("damaged");
    std::fs::create_dir(&damaged).unwrap();
    let copy = damaged.join(plugin.file_name().unwrap());
    std::fs::write(&copy, "another file").unwrap();
    std::fs::copy(Sidecar::path(&plugin), Sidecar::path(&copy)).unwrap();
    config("path = 'damaged'", "expected the SHA-256 of its sidecar manifest");
    std::fs::remove_file(Sidecar::path(&copy)).unwrap();
    config("path = 'damaged'", "(none), got none; a plugin is a file with a sidecar manifest beside it");
    config(&format!("path = '{}'", copy.display()), "expected a sidecar manifest");
}

#[test]
fn samples_that_lack_what_an_expert_needs_never_reach_it() {
    let folder = tempfile::tempdir().unwrap();
    // It ends the process at an item without an image or a reference.
    let source = "#include <stdlib.h>\n#define NEEDS \"[\\\"image\\\", \\\"reference\\\"]\"\n\
                  #define ON_ITEM(instance, host, batch, i) if (!item->image || item->n_references == 0) abort();\n\
                  #include \"good.h\"\n";
    let plugin = counterpoint_bad_plugins::build_source("needy", source, folder.path());
    Sidecar::of(&plugin, Library::open(&plugin).unwrap().manifest()).unwrap().write(&plugin).unwrap();
    let image = |side| std::sync::Arc::new(image::RgbImage::from_pixel(side, side, image::Rgb([51; 3])));
    let task = |references| Task::new(0, "").with_references(references);
    let sample = |task: &Task, image| Sample::new(task, 0, String::new(), String::new(), image);
    let (with, without) = (task(vec![image(2)]), task(Vec::new()));
    let samples = [
        sample(&with, None),
        sample(&with, Some(image(3))),
        sample(&without, Some(image(3))),
        sample(&with, Some(image(0))),
    ];
    let scores = reward(folder.path(), "path = '.'").unwrap().score(&samples).unwrap();
    assert!(matches!(&scores[0], Score::Abstain(why) if why.contains("no image")), "{scores:?}");
    assert!(matches!(scores[1], Score::Value(v) if (v - 0.2).abs() < 1e-6), "{scores:?}");
    assert!(matches!(&scores[2], Score::Abstain(why) if why.contains("no reference image")), "{scores:?}");
    assert!(matches!(&scores[3], Score::Fail(why) if why.contains("without pixels")), "{scores:?}");
}

/// A folder with the plugin `good`, whose expert has `needs` and says that it judges `judges`.
fn says(needs: &str, judges: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let quoted = |text: &str| text.replace('"', "\\\"");
    let (needs, keys) = (quoted(needs), quoted(&format!(", \"judges\": \"{judges}\"")));
    let source = format!("#define NEEDS \"{needs}\"\n#define KEYS \"{keys}\"\n#include \"good.h\"\n");
    let plugin = counterpoint_bad_plugins::build_source("says", &source, folder.path());
    Sidecar::of(&plugin, Library::open(&plugin).unwrap().manifest()).unwrap().write(&plugin).unwrap();
    folder
}

#[test]
fn a_reward_judges_what_its_manifest_says_unless_the_config_says_otherwise() {
    let (silent, _) = folder();
    let painter = says("[\"image\"]", "generation");
    let judges = |folder: &tempfile::TempDir, more: &str| {
        reward(folder.path(), &format!("path = '.'\n{more}")).unwrap().judges()
    };
    assert_eq!(judges(&silent, ""), Judges::Both);
    assert_eq!(judges(&silent, "judges = 'understanding'"), Judges::Understanding);
    assert_eq!(judges(&painter, ""), Judges::Generation);
    assert_eq!(judges(&painter, "judges = 'both'"), Judges::Both);
    let error = reward(painter.path(), "path = '.'\njudges = 'understanding'").err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().contains("judges: expected \"generation\" or \"both\""), "{error}");
}
