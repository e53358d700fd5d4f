//! Image files of every kind, against what PIL's `convert("RGB")` makes of them (`fixtures/pictures/make.py`).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use counterpoint::{ErrorKind, Result};
use counterpoint_unictokens::Picture;
use image::RgbImage;

#[derive(serde::Deserialize)]
struct Expected {
    mode: String,
    size: (u32, u32),
    rgb: String,
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/pictures").join(name)
}

fn load(path: &Path) -> Result<Arc<RgbImage>> {
    Picture { path: path.to_owned(), questions: Vec::new() }.load()
}

fn expected() -> BTreeMap<String, Expected> {
    serde_json::from_slice(&std::fs::read(fixture("expected.json")).unwrap()).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// The largest difference of two images' numbers.
fn apart(name: &str, expected: &Expected) -> u8 {
    let image = load(&fixture(name)).unwrap();
    assert_eq!(image.dimensions(), expected.size, "{name}");
    let rgb = bytes(&expected.rgb);
    assert_eq!(image.as_raw().len(), rgb.len(), "{name}");
    image.as_raw().iter().zip(&rgb).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn pngs_of_every_kind_are_those_of_pil_bit_for_bit() {
    let expected = expected();
    let pngs: Vec<_> = expected.iter().filter(|(name, _)| name.ends_with(".png")).collect();
    assert_eq!(pngs.len(), 12);
    for (name, expected) in pngs {
        // PIL clips grey of 16 bits without alpha; here its upper 8 bits are taken.
        if expected.mode != "I;16" {
            assert_eq!(apart(name, expected), 0, "{name} ({})", expected.mode);
        }
    }
}

#[test]
fn of_sixteen_bits_the_upper_eight_are_taken() {
    let grey = load(&fixture("grey_16.png")).unwrap();
    let first: Vec<u8> = grey.pixels().take(4).map(|p| p.0[0]).collect();
    // 0, 255, 256 and 65535.
    assert_eq!(first, [0, 0, 1, 255]);
    assert!(grey.pixels().all(|p| p.0 == [p.0[0]; 3]));
}

#[test]
fn jpegs_of_every_kind_are_those_of_pil_but_for_the_rounding_of_the_decoder() {
    for (name, expected) in expected().iter().filter(|(name, _)| name.ends_with(".jpg")) {
        let apart = apart(name, expected);
        assert!(apart <= 3, "{name} ({}): {apart} apart", expected.mode);
    }
}

#[test]
fn a_photograph_that_was_stored_on_its_side_stands_upright() {
    let file = std::fs::read(fixture("rotated.jpg")).unwrap();
    assert!(file.windows(4).any(|w| w == b"Exif"));
    assert_eq!(load(&fixture("rotated.jpg")).unwrap().dimensions(), (16, 24));
}

#[test]
fn files_that_are_cut_off_damaged_or_empty_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = match load(&path) {
            Err(error) => error,
            Ok(image) => panic!("{name} of {} bytes was read as {:?}", bytes.len(), image.dimensions()),
        };
        assert_eq!(error.kind(), ErrorKind::Data);
        let text = format!("{error:#}");
        assert!(text.contains("cannot decode") && text.contains(name), "{text}");
        text
    };
    for name in expected().keys() {
        let whole = std::fs::read(fixture(name)).unwrap();
        for quarters in 1..4 {
            refused(name, &whole[..whole.len() * quarters / 4]);
        }
    }
    assert!(refused("empty.png", b"").contains("the file is empty"));
    refused("text.png", b"no image at all");
    refused("other.png", b"GIF89a");
    let mut damaged = std::fs::read(fixture("rgba.png")).unwrap();
    let data = damaged.windows(4).position(|w| w == b"IDAT").unwrap() + 10;
    damaged[data] ^= 0xff;
    refused("damaged.png", &damaged);
    // All data are there, and the end is not.
    let whole = std::fs::read(fixture("rgb.jpg")).unwrap();
    assert!(refused("end.jpg", &whole[..whole.len() - 2]).contains("cut off"));
    assert_eq!(load(&folder.path().join("nowhere.png")).unwrap_err().kind(), ErrorKind::Data);
}

#[test]
fn the_content_decides_and_not_the_ending() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("0.png");
    std::fs::copy(fixture("rgb.jpg"), &path).unwrap();
    assert_eq!(load(&path).unwrap(), load(&fixture("rgb.jpg")).unwrap());
}
