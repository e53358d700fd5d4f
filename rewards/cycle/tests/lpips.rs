//! LPIPS against the package lpips (fixtures/make.py), and the reward by it.
#![cfg(feature = "lpips")]
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use common::{close, expected, folder, images, numbers, sample};
use counterpoint::{ErrorKind, Judges, Reward, Score};
use counterpoint_cycle::{BertScore, CaptionPart, Captions, CycleConfig, Distance, LpipsPart, Net};
use counterpoint_weights::Precision;
use image::RgbImage;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};

/// The convolutions of a backbone: slice, torchvision's number, channels out and in, side of the kernel.
type Layers = &'static [(usize, &'static str, usize, usize, usize)];

const ALEX: Layers =
    &[(1, "0", 64, 3, 11), (2, "3", 192, 64, 5), (3, "6", 384, 192, 3), (4, "8", 256, 384, 3), (5, "10", 256, 256, 3)];

const VGG: Layers = &[
    (1, "0", 64, 3, 3),
    (1, "2", 64, 64, 3),
    (2, "5", 128, 64, 3),
    (2, "7", 128, 128, 3),
    (3, "10", 256, 128, 3),
    (3, "12", 256, 256, 3),
    (3, "14", 256, 256, 3),
    (4, "17", 512, 256, 3),
    (4, "19", 512, 512, 3),
    (4, "21", 512, 512, 3),
    (5, "24", 512, 512, 3),
    (5, "26", 512, 512, 3),
    (5, "28", 512, 512, 3),
];

/// Of SqueezeNet: slice, number, channels in, squeezed and expanded (to each half).
const FIRES: [(usize, usize, usize, usize, usize); 8] = [
    (2, 3, 64, 16, 64),
    (2, 4, 128, 16, 64),
    (3, 6, 128, 32, 128),
    (3, 7, 256, 32, 128),
    (4, 9, 256, 48, 192),
    (5, 10, 384, 48, 192),
    (6, 11, 384, 64, 256),
    (7, 12, 512, 64, 256),
];

/// Names and shapes of the whole network, as the package has them.
fn shapes(net: Net) -> Vec<(String, Vec<usize>)> {
    let mut shapes = Vec::new();
    let mut conv = |name: String, out: usize, channels: usize, side: usize| {
        shapes.push((format!("net.{name}.weight"), vec![out, channels, side, side]));
        shapes.push((format!("net.{name}.bias"), vec![out]));
    };
    let widths: &[usize] = match net {
        Net::Alex => &[64, 192, 384, 256, 256],
        Net::Vgg => &[64, 128, 256, 512, 512],
        Net::Squeeze => &[64, 128, 256, 384, 384, 512, 512],
    };
    if net == Net::Squeeze {
        conv("slice1.0".into(), 64, 3, 3);
        for (slice, number, channels, narrow, wide) in FIRES {
            let name = |part: &str| format!("slice{slice}.{number}.{part}");
            conv(name("squeeze"), narrow, channels, 1);
            conv(name("expand1x1"), wide, narrow, 1);
            conv(name("expand3x3"), wide, narrow, 3);
        }
    } else {
        for &(slice, number, out, channels, side) in if net == Net::Alex { ALEX } else { VGG } {
            conv(format!("slice{slice}.{number}"), out, channels, side);
        }
    }
    shapes
        .extend(widths.iter().enumerate().map(|(i, &width)| (format!("lin{i}.model.1.weight"), vec![1, width, 1, 1])));
    shapes.sort();
    shapes
}

/// The numbers of `weight` and `fill` of make.py.
fn values(seed: usize, name: &str, shape: &[usize]) -> Vec<f32> {
    let hash = |place: usize| {
        let mut h = (place as u32).wrapping_mul(0x9E37_79B1).wrapping_add((seed as u32).wrapping_mul(0x85EB_CA77));
        h ^= h >> 15;
        h = h.wrapping_mul(0x2C1B_3C6D);
        h ^= h >> 12;
        (f64::from(h) / 2.0_f64.powi(32) - 0.5) as f32
    };
    let scaled = |value: f32| match shape.len() {
        _ if name.starts_with("lin") => value + 0.5,
        1 => value * 0.2,
        _ => value * (24.0 / shape[1..].iter().product::<usize>() as f64).sqrt() as f32,
    };
    (0..shape.iter().product()).map(|place| scaled(hash(place))).collect()
}

/// The network's file, its names changed by `rename`; with what the package's files have twice, and the constants.
fn write(path: &Path, net: Net, rename: impl Fn(&str) -> String) {
    let mut tensors: Vec<(String, Vec<usize>, Vec<u8>)> = Vec::new();
    for (seed, (name, shape)) in shapes(net).into_iter().enumerate() {
        let bytes: Vec<u8> = values(seed, &name, &shape).into_iter().flat_map(f32::to_le_bytes).collect();
        if let Some(number) = name.strip_prefix("lin").and_then(|rest| rest.strip_suffix(".model.1.weight")) {
            tensors.push((format!("lins.{number}.model.1.weight"), shape.clone(), bytes.clone()));
        }
        tensors.push((rename(&name), shape, bytes));
    }
    tensors.push(("scaling_layer.shift".into(), vec![1, 3, 1, 1], vec![0; 12]));
    let views = tensors
        .iter()
        .map(|(name, shape, bytes)| (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap()));
    serialize_to_file(views, None, path).unwrap();
}

/// The part with the network in a new folder.
fn part(net: Net, size: u32) -> (tempfile::TempDir, LpipsPart) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    write(&path, net, str::to_owned);
    let part = LpipsPart { net, size, ..LpipsPart::new(folder.path()) };
    (folder, part)
}

#[test]
fn distances_are_those_of_the_package() {
    let (images, expected) = (images(), expected());
    let pairs: Vec<(usize, usize)> = serde_json::from_value(expected["lpips"]["pairs"].clone()).unwrap();
    let cases = [("alex", Net::Alex, 224), ("squeeze", Net::Squeeze, 224), ("vgg", Net::Vgg, 64)];
    for (name, net, size) in cases.into_iter().chain([("alex", Net::Alex, 32), ("squeeze", Net::Squeeze, 63)]) {
        let (_folder, part) = part(net, size);
        let distance = Distance::load(&part, &Device::flex()).unwrap();
        let others = numbers(&expected["lpips"][format!("{name}_{size}")]);
        let asked: Vec<(&RgbImage, &RgbImage)> = pairs.iter().map(|&(i, j)| (&*images[i], &*images[j])).collect();
        let got = distance.between(&asked).unwrap();
        assert_eq!(got.len(), 3);
        for (got, other) in got.iter().zip(&others) {
            close(*got, *other, &format!("{name} at {size}"));
        }
        assert_eq!(distance.between(&[(&images[0], &images[0])]).unwrap(), [0.0]);
        assert!(distance.between(&[]).unwrap().is_empty());
    }
}

#[test]
fn names_of_torchvision_torchmetrics_and_burn_are_known_too() {
    let expected = numbers(&expected()["lpips"]["alex_32"]);
    let images = images();
    let folder = tempfile::tempdir().unwrap();
    let check = |file: &str, rename: &dyn Fn(&str) -> String| {
        let path = folder.path().join(file);
        write(&path, Net::Alex, rename);
        let part = LpipsPart { net: Net::Alex, size: 32, ..LpipsPart::new(path) };
        let distance = Distance::load(&part, &Device::flex()).unwrap();
        close(distance.between(&[(&images[0], &images[1])]).unwrap()[0], expected[0], file);
    };
    let without_slice = |name: &str| match name.strip_prefix("net.slice") {
        Some(rest) => format!("features.{}", rest.split_once('.').unwrap().1),
        None => name.to_owned(),
    };
    check("torchvision.safetensors", &without_slice);
    check("torchmetrics.safetensors", &|name| name.replace("net.slice", "net.slices."));
    let burn = |name: &str| {
        let mut name = without_slice(name).replace(".model.1.", ".");
        for (number, conv) in [("0", 1), ("3", 2), ("6", 3), ("8", 4), ("10", 5)] {
            name = name.replace(&format!("features.{number}."), &format!("extractor.conv{conv}."));
        }
        name
    };
    check("burn.safetensors", &burn);
}

#[test]
fn the_reward_is_one_minus_the_mean_distance_to_the_references() {
    let (_folder, part) = part(Net::Alex, 32);
    let images = images();
    // Pairs (0, 1), (1, 2), (2, 0).
    let others = numbers(&expected()["lpips"]["alex_32"]);
    let empty = Arc::new(RgbImage::new(3, 0));
    let samples = [
        sample("", Some(&images[0]), &images[1..]),
        sample("", Some(&images[1]), &[]),
        sample("", Some(&images[1]), &images[2..]),
        sample("", None, &images),
        sample("", Some(&images[1]), &[Arc::clone(&images[1])]),
        sample("", Some(&images[1]), &[empty]),
    ];
    for batch in [1, 2, 16] {
        let config = CycleConfig { lpips: Some(part.clone()), batch, ..CycleConfig::default() };
        let mut reward = config.init(&Device::flex()).unwrap();
        assert_eq!(reward.judges(), Judges::Generation);
        let scores = reward.score(&samples).unwrap();
        close(scores[0].value().unwrap(), 1.0 - (others[0] + others[2]) / 2.0, "two references");
        assert!(matches!(&scores[1], Score::Abstain(why) if why.contains("reference")), "{scores:?}");
        close(scores[2].value().unwrap(), 1.0 - others[1], "one reference");
        assert!(matches!(&scores[3], Score::Abstain(why) if why.contains("image")), "{scores:?}");
        assert_eq!(scores[4], Score::Value(1.0));
        assert!(matches!(&scores[5], Score::Fail(why) if why.contains("pixels")), "{scores:?}");
        let alone: Vec<Score> = samples.iter().flat_map(|s| reward.score(std::slice::from_ref(s)).unwrap()).collect();
        for (together, alone) in scores.iter().zip(&alone) {
            assert_eq!(together.value().is_some(), alone.value().is_some());
            close(together.value().unwrap_or(0.0), alone.value().unwrap_or(0.0), "alone");
        }
    }
}

#[test]
fn both_parts_are_added() {
    let (_folder, lpips) = part(Net::Squeeze, 63);
    let (captioner, bert) = (folder("captioner"), folder("bert"));
    let caption = CaptionPart { max_new_tokens: 12, ..CaptionPart::new(captioner.path(), bert.path()) };
    let (images, device) = (images(), Device::flex());
    let written = Captions::load(&caption, Precision::F32, &device).unwrap().of(&[&images[1]]).unwrap();
    let mut texts = BertScore::load(&caption, Precision::F32, &device).unwrap();
    let f1 = texts.f1(&[(&written[0], "a red hat")]).unwrap()[0];
    let config = CycleConfig { lpips: Some(lpips), caption: Some(caption), ..CycleConfig::default() };
    let mut reward = config.init(&device).unwrap();
    let samples = [sample("a red hat", Some(&images[1]), &images[2..]), sample("a red hat", Some(&images[1]), &[])];
    let scores = reward.score(&samples).unwrap();
    close(scores[0].value().unwrap(), f1 + 1.0 - numbers(&expected()["lpips"]["squeeze_63"])[1], "sum");
    assert!(matches!(&scores[1], Score::Abstain(why) if why.contains("reference")), "no half sums: {scores:?}");
    assert_eq!(reward.judges(), Judges::Both);
}

#[test]
fn files_of_another_network_are_refused_by_name() {
    let (folder, part) = part(Net::Alex, 32);
    let refused = |part: LpipsPart| {
        let config = CycleConfig { lpips: Some(part), ..CycleConfig::default() };
        config.init(&Device::flex()).unwrap_err()
    };
    let other = refused(LpipsPart { net: Net::Vgg, ..part.clone() });
    assert_eq!(other.kind(), ErrorKind::Weights);
    assert!(other.to_string().contains("extractor.conv1_2.weight"), "{other}");
    let path = folder.path().join("half.safetensors");
    write(&path, Net::Alex, |name| if name.starts_with("lin3") { "other".into() } else { name.into() });
    let half = refused(LpipsPart { weights: path, ..part.clone() }).to_string();
    assert!(half.contains("lin3.weight") && half.contains("other"), "{half}");
    let none = refused(LpipsPart { weights: folder.path().join("nowhere"), ..part.clone() }).to_string();
    assert!(none.contains("nowhere"), "{none}");
    assert!(refused(LpipsPart { size: 31, ..part }).to_string().contains("32 or more, got 31"));
}
