//! Preprocessing against Pillow's results and those of the published processors (fixtures/preprocess/make.py).
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use counterpoint_encoders::preprocess::Size;
use counterpoint_encoders::{ImageProcessor, ImageProcessorConfig};
use image::RgbImage;
use safetensors::SafeTensors;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/preprocess")
}

fn picture(name: &str) -> RgbImage {
    image::open(folder().join(name)).unwrap().to_rgb8()
}

/// An image that needs no file, as in make.py.
fn pattern(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| image::Rgb([0, 1, 2].map(|c| ((x * 7 + y * 13 + c * 29) % 256) as u8)))
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
    check(&ImageProcessorConfig { size, resample: 4, ..bytes() }, "box_24x24.png");
    check(&ImageProcessorConfig { size, resample: 5, ..bytes() }, "hamming_24x24.png");
    let size = Size::Exact { height: 2, width: 2 };
    let edges = ImageProcessorConfig { size, resample: 4, ..bytes() };
    same(&edges.init().unwrap(), &pattern(5, 5), "box.5x5.2");
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

/// The published settings of a processor at another size, as in make.py.
fn published(name: &str, side: u32) -> ImageProcessor {
    let mut config = ImageProcessorConfig::read(&folder().join(name)).unwrap();
    let exact = Size::Exact { height: side, width: side };
    match name {
        "clip" => (config.size, config.crop_size) = (Size::Shortest { shortest_edge: side }, exact),
        "dinov2" => (config.size, config.crop_size) = (Size::Shortest { shortest_edge: side * 8 / 7 }, exact),
        _ => config.size = exact,
    }
    config.init().unwrap()
}

/// Fails unless `processor` makes exactly the values called `name` of `image`.
fn same(processor: &ImageProcessor, image: &RgbImage, name: &str) {
    let bytes = std::fs::read(folder().join("expected.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let expected = file.tensor(name).unwrap();
    let got = processor.forward(&[image], &Device::flex()).unwrap();
    assert_eq!(got.dims()[1..], *expected.shape(), "{name}");
    let got = got.into_data().try_to_vec::<f32>().unwrap();
    let expected = expected.data().chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
    for (i, (got, expected)) in got.into_iter().zip(expected).enumerate() {
        assert_eq!(got, expected, "{name}: value {i}");
    }
}

#[test]
fn clip_dinov2_and_blip2_see_what_their_originals_see() {
    for name in ["clip", "dinov2", "blip2"] {
        for photo in ["photo_120x90", "photo_61x97"] {
            for side in [56, 27] {
                same(&published(name, side), &picture(&format!("{photo}.png")), &format!("{name}.{photo}.{side}"));
            }
        }
    }
    let dinov2 = ImageProcessorConfig::read(&folder().join("dinov2")).unwrap().init().unwrap();
    assert_eq!(dinov2.output_size(), Some([224, 224]));
    dinov2.check_gives(224, &folder()).unwrap();
    let error = dinov2.check_gives(196, &folder()).unwrap_err().to_string();
    assert!(error.contains("to give images of 196x196, got 224x224"), "{error}");
    same(&dinov2, &picture("photo_120x90.png"), "dinov2.photo_120x90.224");
}

#[test]
fn one_pixel_and_very_long_images_are_seen_as_the_originals_see_them() {
    for name in ["clip", "dinov2", "blip2"] {
        for (width, height) in [(1, 1), (1, 500), (4000, 3), (50, 300)] {
            same(&published(name, 28), &pattern(width, height), &format!("{name}.{width}x{height}.28"));
        }
        let error = published(name, 28).forward(&[&RgbImage::new(0, 7)], &Device::flex()).unwrap_err();
        assert!(error.to_string().contains("0x7"), "{error}");
    }
}

#[test]
fn a_crop_that_reaches_beyond_the_image_is_padded_as_the_original_pads() {
    let clip = ImageProcessorConfig {
        do_resize: false,
        crop_size: Size::Exact { height: 7, width: 10 },
        ..ImageProcessorConfig::read(&folder().join("clip")).unwrap()
    };
    for (width, height) in [(5, 4), (5, 9), (13, 4)] {
        same(&clip.init().unwrap(), &pattern(width, height), &format!("clip.{width}x{height}.pad"));
    }
}

#[test]
fn images_of_a_batch_do_not_touch_each_other() {
    let processor = published("dinov2", 28);
    let images: Vec<RgbImage> = (1..9).map(|i| pattern(10 * i, 70 - 5 * i)).collect();
    let batch = processor.forward(&images.iter().collect::<Vec<_>>(), &Device::flex()).unwrap();
    for (i, image) in images.iter().enumerate() {
        let alone = processor.forward(&[image], &Device::flex()).unwrap().into_data();
        assert_eq!(batch.clone().narrow(0, i, 1).into_data(), alone);
    }
}

#[test]
fn a_result_too_large_to_be_meant_is_refused_and_a_crop_of_it_is_cheap() {
    let free = ImageProcessorConfig { size: Size::Shortest { shortest_edge: 1024 }, ..bytes() };
    let long = RgbImage::new(1, 100_000);
    let error = free.init().unwrap().forward(&[&long], &Device::flex()).unwrap_err().to_string();
    assert!(error.contains("1024x102400000"), "{error}");
    let cropped = ImageProcessorConfig { do_center_crop: true, ..free };
    assert_eq!(cropped.init().unwrap().forward(&[&long], &Device::flex()).unwrap().dims(), [1, 3, 224, 224]);
    let error = cropped.init().unwrap().forward(&[&RgbImage::new(1, 3_000_000)], &Device::flex()).unwrap_err();
    assert!(error.to_string().contains("1024x3072000000"), "{error}");
}

#[test]
fn what_a_file_leaves_out_is_its_processors_own() {
    let read = |json: &str| serde_json::from_str::<ImageProcessorConfig>(json);
    let clip = read(r#"{"feature_extractor_type": "CLIPFeatureExtractor"}"#).unwrap();
    assert!(clip.do_center_crop && clip.size == Size::Shortest { shortest_edge: 224 });
    let blip = read(r#"{"image_processor_type": "BlipImageProcessor"}"#).unwrap();
    assert!(!blip.do_center_crop && blip.size == Size::Exact { height: 384, width: 384 });
    let square = read(r#"{"image_processor_type": "BlipImageProcessor", "size": 30}"#).unwrap();
    assert_eq!(square.size, Size::Exact { height: 30, width: 30 });
    assert_eq!(read("{}").unwrap(), ImageProcessorConfig::default());
    let dir = tempfile::tempdir().unwrap();
    clip.write(dir.path()).unwrap();
    assert_eq!(ImageProcessorConfig::read(dir.path()).unwrap(), clip);

    let error = read(r#"{"image_processor_type": "ViTImageProcessor"}"#).unwrap_err().to_string();
    assert!(error.contains("BlipImageProcessor"), "{error}");
    let error = read(r#"{"size": {"shortest_edge": 5, "longest_edge": 9}}"#).unwrap_err().to_string();
    assert!(error.contains("longest_edge Some(9)"), "{error}");
}
