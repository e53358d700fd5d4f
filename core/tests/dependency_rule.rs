//! Who may know whom: the core knows nobody, kernels, weights, samplers and readers of data know the core, policies know core,
//! kernels, weights, pictures and samplers, rewards know core, kernels, weights, pictures and towers, what loads plugins knows no engine, and only examples, benches and fuzz targets see everything.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::Table;

/// Our packages that a package of this folder may depend on, by folder; `None` is all of them.
fn allowed(folder: &str) -> Option<&'static [&'static str]> {
    match folder {
        "core" | "core/pictures" | "plugins/abi" => Some(&[]),
        "benches/corl/parquet" => Some(&[]),
        "benches/corl" => Some(&["core", "core/pictures", "benches/corl/parquet"]),
        "benches/shapes" => Some(&["core", "rewards/answers", "benches/corl"]),
        "benches/dataset" => Some(&["core/pictures"]),
        "plugins/sdk" | "plugins/host" | "plugins/validator/bad-plugins" => Some(&["plugins/abi"]),
        "plugins/bridge" => Some(&["plugins/abi", "plugins/host"]),
        "plugins/validator" => Some(&["plugins/abi", "plugins/host", "plugins/bridge"]),
        "plugins/adapter" => Some(&["core", "plugins/abi", "plugins/host", "plugins/bridge"]),
        "core/kernels" | "core/weights" | "samplers" | "report" | "sinks" | "stores" => Some(&["core"]),
        "benches/unictokens" => Some(&["core", "core/pictures"]),
        "benches/unifybench" => Some(&["core", "benches/unictokens"]),
        "benches" | "examples" | "fuzz" => None,
        "policies/common" => Some(&["core", "core/kernels", "core/weights"]),
        _ if folder.starts_with("policies/") => {
            Some(&["core", "core/kernels", "core/pictures", "core/weights", "samplers", "policies/common"])
        }
        _ if folder.starts_with("rewards/") => {
            Some(&["core", "core/kernels", "core/pictures", "core/weights", "rewards/encoders", "plugins/sdk"])
        }
        _ if folder.starts_with("plugins/") => Some(&[]),
        _ => panic!("{folder}: no rule says what this package may depend on; add one here and in the design"),
    }
}

fn manifest(folder: &Path) -> Table {
    let path = folder.join("Cargo.toml");
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())).parse().unwrap()
}

/// Folders of our packages that `manifest` depends on, in `sections`.
fn ours(root: &Path, manifest: &Table, sections: &[&str]) -> BTreeSet<String> {
    let workspace = self::manifest(root);
    let shared = workspace["workspace"]["dependencies"].as_table().unwrap();
    let mut tables: Vec<&Table> = vec![manifest];
    // Those of `[target.'cfg(..)']` count as well.
    if let Some(targets) = manifest.get("target").and_then(toml::Value::as_table) {
        tables.extend(targets.values().filter_map(toml::Value::as_table));
    }
    let dependencies = tables.into_iter().flat_map(|t| sections.iter().filter_map(move |s| t.get(*s)?.as_table()));
    let path = |(name, value): (&String, &toml::Value)| {
        assert!(value.get("package").is_none(), "{name}: a renamed dependency hides what it is");
        let own = value.get("path").or_else(|| shared.get(name)?.get("path"))?;
        Some(own.as_str().unwrap().trim_start_matches("../").to_owned())
    };
    dependencies.flat_map(|table| table.iter().filter_map(path)).collect()
}

#[test]
fn every_package_depends_only_on_those_it_may_know() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let workspace = manifest(&root);
    let members = workspace["workspace"]["members"].as_array().unwrap();
    let mut seen = 0;
    for folder in members.iter().map(|m| m.as_str().unwrap()) {
        let manifest = manifest(&root.join(folder));
        let mut sections = vec!["dependencies", "build-dependencies"];
        // Tests may use more than the code does, but those of the core stand alone too.
        if folder == "core" {
            sections.push("dev-dependencies");
        }
        let known = ours(&root, &manifest, &sections);
        seen += known.len();
        let Some(allowed) = allowed(folder) else { continue };
        let too_much: Vec<&String> = known.iter().filter(|k| !allowed.contains(&k.as_str())).collect();
        assert!(too_much.is_empty(), "{folder} may depend on {allowed:?} and depends on {too_much:?} as well");
    }
    assert!(seen > 20, "only {seen} dependencies among our own packages were found: the test looks in the wrong place");
}

#[test]
fn a_package_that_knows_too_much_is_found() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest: Table = "dependencies.counterpoint-showo.workspace = true
        target.'cfg(unix)'.dependencies.counterpoint-tier.workspace = true
        dependencies.serde.workspace = true"
        .parse()
        .unwrap();
    let known: Vec<String> = ours(&root, &manifest, &["dependencies"]).into_iter().collect();
    assert_eq!(known, ["policies/showo", "rewards/tier"]);
}
