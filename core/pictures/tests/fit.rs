//! Squares out of photographs, byte for byte those of Pillow; see `fixtures/make.py`.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use counterpoint_pictures::fit;
use image::RgbImage;

fn read(path: &str) -> RgbImage {
    image::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap().into_rgb8()
}

#[test]
fn short_side_and_middle_are_those_of_pillow() {
    for (name, side) in [("61x97", 24), ("61x97", 75), ("120x90", 33), ("120x90", 64)] {
        let photo = read(&format!("../../rewards/encoders/tests/fixtures/preprocess/photo_{name}.png"));
        let expected = read(&format!("tests/fixtures/{name}_{side}.png"));
        assert!(fit(&photo, side) == expected, "{name} at {side}");
    }
}

#[test]
fn what_fits_stays_as_it_is_and_nothing_is_made_of_nothing() {
    let image = RgbImage::from_fn(8, 8, |x, y| image::Rgb([x as u8, y as u8, 3]));
    assert_eq!(fit(&image, 8), image);
    assert_eq!(fit(&RgbImage::new(0, 0), 8).dimensions(), (0, 0));
    assert_eq!(fit(&RgbImage::new(1, 5000), 8).dimensions(), (8, 8));
}
