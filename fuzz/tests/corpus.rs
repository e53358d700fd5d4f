//! Every parser takes its corpus: good files, and what made it fail once.
#![cfg(unix)]
#![allow(clippy::unwrap_used)]

use counterpoint_fuzz::{PARSERS, corpora};

#[test]
fn every_parser_comes_back() {
    for (name, parse) in PARSERS {
        let files: Vec<_> =
            std::fs::read_dir(corpora().join(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!files.is_empty(), "{name}");
        for file in files {
            let bytes = std::fs::read(&file).unwrap();
            assert!(std::panic::catch_unwind(|| parse(&bytes)).is_ok(), "{}", file.display());
        }
    }
}
