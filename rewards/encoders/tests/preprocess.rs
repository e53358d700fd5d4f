//! Preprocessing against Pillow's results, and the tokenizer's batches.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use burn::tensor::Device;
use counterpoint_encoders::preprocess::Size;
use counterpoint_encoders::{ImageProcessorConfig, TextTokenizer};
use image::RgbImage;

fn picture(name: &str) -> RgbImage {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/preprocess").join(name);
    image::open(path).unwrap().to_rgb8()
}

/// Settings that leave the bytes as they are after resizing and cropping.
fn bytes() -> ImageProcessorConfig {
    ImageProcessorConfig { do_rescale: false, do_normalize: false, ..Default::default() }
}

fn check(config: &ImageProcessorConfig, expected: &str) {
    let expected = picture(expected);
    let got = config.init().unwrap().forward(&[&picture("source.png")], &Device::flex()).unwrap();
    let (width, height) = (expected.width() as usize, expected.height() as usize);
    assert_eq!(got.dims(), [1, 3, height, width]);
    let got = got.into_data().try_to_vec::<f32>().unwrap();
    for (i, pixel) in expected.pixels().enumerate() {
        for channel in 0..3 {
            assert_eq!(got[channel * width * height + i], f32::from(pixel.0[channel]), "pixel {i}, channel {channel}");
        }
    }
}

#[test]
fn resizing_is_pillows_bit_for_bit() {
    let size = Size::Exact { height: 24, width: 24 };
    check(&ImageProcessorConfig { size, resample: 3, ..bytes() }, "bicubic_24x24.png");
    check(&ImageProcessorConfig { size, resample: 2, ..bytes() }, "bilinear_24x24.png");
    check(&ImageProcessorConfig { size, resample: 1, ..bytes() }, "lanczos_24x24.png");
    check(&ImageProcessorConfig { size, resample: 0, ..bytes() }, "nearest_24x24.png");
}

#[test]
fn shortest_edge_and_centre_crop() {
    let config: ImageProcessorConfig = serde_json::from_str(
        r#"{"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 64}, "resample": 3,
            "do_center_crop": true, "crop_size": {"height": 56, "width": 56}, "do_rescale": false, "do_normalize": false}"#,
    )
    .unwrap();
    assert_eq!(config.init().unwrap().output_size(), Some([56, 56]));
    check(&config, "bicubic_shortest64_crop56.png");
}

#[test]
fn values_are_rescaled_and_normalised() {
    let config = ImageProcessorConfig {
        do_resize: false,
        image_mean: [0.5, 0.25, 0.0],
        image_std: [0.5, 0.25, 2.0],
        ..Default::default()
    };
    let image = RgbImage::from_pixel(1, 1, image::Rgb([255, 0, 51]));
    let got = config.init().unwrap().forward(&[&image], &Device::flex()).unwrap();
    let got = got.into_data().try_to_vec::<f32>().unwrap();
    for (got, expected) in got.iter().zip([1.0, -1.0, 0.1]) {
        assert!((got - expected).abs() < 1e-6, "{got} {expected}");
    }
}

#[test]
fn a_crop_beyond_the_image_is_black() {
    let config = ImageProcessorConfig { do_resize: false, do_center_crop: true, crop_size: Size::Side(4), ..bytes() };
    let image = RgbImage::from_pixel(2, 2, image::Rgb([9, 9, 9]));
    let got = config.init().unwrap().forward(&[&image], &Device::flex()).unwrap();
    let got = got.into_data().try_to_vec::<f32>().unwrap();
    let z = 0.0;
    assert_eq!(got[..16], [z, z, z, z, z, 9.0, 9.0, z, z, 9.0, 9.0, z, z, z, z, z]);
}

#[test]
fn images_that_cannot_be_used_are_refused() {
    let processor = bytes().init().unwrap();
    let none: [&RgbImage; 0] = [];
    assert!(processor.forward(&none, &Device::flex()).is_err());
    assert!(processor.forward(&[&RgbImage::new(0, 3)], &Device::flex()).is_err());
    let free = ImageProcessorConfig { do_resize: false, ..bytes() }.init().unwrap();
    let sizes = [&RgbImage::new(2, 2), &RgbImage::new(3, 2)];
    assert!(free.forward(&sizes, &Device::flex()).unwrap_err().to_string().contains("2x2 and 3x2"));
    let bad = ImageProcessorConfig { resample: 9, ..bytes() };
    assert!(bad.init().is_err());
}

const TOKENIZER: &str = r#"{
  "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
  "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null, "decoder": null,
  "model": {"type": "WordLevel", "vocab": {"[PAD]": 0, "[UNK]": 1, "red": 2, "hat": 3}, "unk_token": "[UNK]"}
}"#;

#[test]
fn texts_are_padded_cut_and_masked() {
    let tokenizer = TextTokenizer::from_bytes(TOKENIZER.as_bytes(), 3).unwrap();
    assert_eq!(tokenizer.vocab_size(), 4);
    let batch = tokenizer.encode(&["red", "red hat blue red red"], &Device::flex()).unwrap();
    assert_eq!(batch.ids.into_data().iter::<i64>().collect::<Vec<_>>(), [2, 0, 0, 2, 3, 1]);
    assert_eq!(batch.keep.into_data().iter::<bool>().collect::<Vec<_>>(), [true, false, false, true, true, true]);
    assert!(tokenizer.encode(&["red", ""], &Device::flex()).is_err());
    assert!(TextTokenizer::from_bytes(b"{}", 3).is_err());
}
