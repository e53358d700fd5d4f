//! Every parser of bytes that somebody else wrote, as a function of these bytes that must come back: without a panic, in little time
//! and in memory that the bytes' number bounds. What it makes of them does not matter here.
//!
//! `.ci/fuzz SECONDS` and `.ci/fuzz-all SECONDS` try each with libFuzzer; the tests give each its corpus.
//!
//! This crate is for Unix, as the bridge is, and empty elsewhere.
#![cfg(unix)]

use std::io::Read;
use std::path::Path;

use counterpoint::config::RunConfig;
use counterpoint_bridge::frame::{Decoder, Step};
use counterpoint_host::Manifest;
use counterpoint_weights::WeightFiles;

/// A function that takes bytes of any kind.
pub type Parser = fn(&[u8]);

/// All of them, by the names of their targets and corpora.
pub const PARSERS: [(&str, Parser); 8] = [
    ("torch", torch),
    ("safetensors", safetensors),
    ("burnpack", burnpack),
    ("frames", frames),
    ("manifest", manifest),
    ("config", config),
    ("picture", picture),
    ("answer", answer),
];

/// A file of `torch.save`: zip, tar or bare, and the pickle in it.
pub fn torch(bytes: &[u8]) {
    weights(bytes, "model.bin");
}

/// A safetensors file.
pub fn safetensors(bytes: &[u8]) {
    weights(bytes, "model.safetensors");
}

/// A burnpack file.
pub fn burnpack(bytes: &[u8]) {
    weights(bytes, "model.bpk");
}

fn weights(bytes: &[u8], name: &str) {
    let Ok(folder) = tempfile::tempdir() else { return };
    let path = folder.path().join(name);
    if std::fs::write(&path, bytes).is_err() {
        return;
    }
    if let Ok(files) = WeightFiles::open(&path) {
        for tensor in files.tensors() {
            let _read = files.read(&tensor.name);
        }
    }
}

/// What comes over the pipe of a plugin's process, in pieces. The first byte says how long they are.
pub fn frames(bytes: &[u8]) {
    let Some((&most, bytes)) = bytes.split_first() else { return };
    let mut pipe = Pieces { bytes, most: usize::from(most).max(1) };
    let mut decoder = Decoder::new(1 << 16);
    while let Ok(Step::Frame(frame)) = decoder.step(&mut pipe) {
        manifest(&frame.header);
        let _body = frame.body.bytes();
    }
}

struct Pieces<'a> {
    bytes: &'a [u8],
    most: usize,
}

impl Read for Pieces<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let n = to.len().min(self.most);
        self.bytes.read(&mut to[..n])
    }
}

/// What a plugin says of itself.
pub fn manifest(bytes: &[u8]) {
    let _manifest = Manifest::parse(bytes, "the manifest");
}

/// A run's TOML, and its first line as an override of it.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let overrides: Vec<String> = text.lines().take(1).map(str::to_owned).collect();
    for overrides in [&[][..], &overrides] {
        if let Ok(config) = RunConfig::from_toml(text, overrides) {
            let _valid = config.validate();
        }
    }
}

/// A photograph.
pub fn picture(bytes: &[u8]) {
    let _picture = counterpoint_pictures::decode(bytes);
}

/// What a policy wrote as the answer to a mathematical question: both sides, parted by a zero byte.
pub fn answer(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (gold, answer) = text.split_once('\0').unwrap_or((text, text));
    let _same = counterpoint_answers::same_value(gold, answer);
}

/// Where the corpora are.
pub fn corpora() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"))
}
