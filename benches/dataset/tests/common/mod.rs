//! Data sets to test with: those of the repository, and copies to spoil.
#![allow(clippy::unwrap_used, dead_code)]

use std::fs;
use std::path::{Path, PathBuf};

use counterpoint_dataset::{Finding, Report, check};
use tempfile::TempDir;

/// Three concepts with photographs.
pub fn concepts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../unictokens/tests/fixtures/concepts")
}

/// A copy of a folder.
pub fn copy(from: &Path) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    copy_into(from, copy.path());
    copy
}

pub fn copy_into(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_into(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Writes a file, and the folders that it is in.
pub fn write(root: &Path, file: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

/// Replaces a piece of text, which the file must have.
pub fn replace(root: &Path, file: &str, from: &str, to: &str) {
    let text = fs::read_to_string(root.join(file)).unwrap();
    assert!(text.contains(from), "{file} has no {from:?}");
    fs::write(root.join(file), text.replacen(from, to, 1)).unwrap();
}

/// A PNG of one colour, 64 pixels a side.
pub fn png(colour: u8) -> Vec<u8> {
    png_of(64, colour)
}

pub fn png_of(side: u32, colour: u8) -> Vec<u8> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let picture = image::RgbImage::from_pixel(side, side, image::Rgb([colour, 0, 0]));
    picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
    bytes.into_inner()
}

/// Problems of a folder, which must have no others than those at `places`: pairs of file and key, in any order.
pub fn assert_problems(root: &Path, places: &[(&str, &str)]) -> Report {
    let report = check(root).unwrap();
    let mut expected = places.to_vec();
    expected.sort();
    let found: Vec<(&str, &str)> = report.problems.iter().map(|p| (p.file.as_str(), p.key.as_str())).collect();
    assert_eq!(found, expected, "\n{report}");
    assert!(report.problems.iter().all(is_complete), "{report}");
    report
}

fn is_complete(finding: &Finding) -> bool {
    [&finding.expected, &finding.got, &finding.fix].iter().all(|text| !text.is_empty())
}

/// The names of all files below a folder, with their bytes.
pub fn files(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push((path.clone(), fs::read(path).unwrap()));
        }
    }
    all.sort();
    all
}
