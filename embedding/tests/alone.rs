//! This package stands outside: its only dependency is the engine, by path, without default features.
#![allow(clippy::unwrap_used)]

use counterpoint::toml::{Table, Value};

#[test]
fn the_engine_is_the_only_dependency_and_its_default_features_are_off() {
    let manifest: Table = include_str!("../Cargo.toml").parse().unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    assert_eq!(dependencies.keys().collect::<Vec<_>>(), ["counterpoint"]);
    let engine = dependencies["counterpoint"].as_table().unwrap();
    assert_eq!(engine["path"].as_str(), Some("../core"));
    assert_eq!(engine["default-features"].as_bool(), Some(false));
    for other in ["dev-dependencies", "build-dependencies", "target"] {
        assert!(!manifest.contains_key(other), "{other}");
    }
    assert_eq!(manifest["workspace"], Value::Table(Table::new()), "a workspace of its own");
}
