//! The verifier against the renderer: every scene, jittered, blurred and noisy, and images that show nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, missing_docs)]

use counterpoint::{Key, Stream, Streams};
use counterpoint_unifybench::{Accessory, Colour, Concept, Jitter, Place, Renderer, SIZE, Scene, Truth};
use image::{Rgb, RgbImage};
use rand_distr::{Distribution, StandardNormal};

/// Random numbers of their own for each `purpose`.
fn noise(purpose: &str) -> Stream {
    Streams::new(1).stream(Key::task(0, 0), purpose, 0)
}

/// The mean over a window of `width` by `width` pixels around each pixel.
fn box_blur(image: &RgbImage, width: i32) -> RgbImage {
    let last = SIZE as i32 - 1;
    RgbImage::from_fn(SIZE, SIZE, |x, y| {
        let mut sum = [0_i32; 3];
        for dy in 0..width {
            for dx in 0..width {
                let u = (x as i32 + dx - width / 2).clamp(0, last) as u32;
                let v = (y as i32 + dy - width / 2).clamp(0, last) as u32;
                for (s, &c) in sum.iter_mut().zip(&image.get_pixel(u, v).0) {
                    *s += i32::from(c);
                }
            }
        }
        Rgb(sum.map(|s| (s / (width * width)) as u8))
    })
}

fn noisy(image: &RgbImage, sigma: f64, noise: &mut Stream) -> RgbImage {
    let mut image = image.clone();
    for channel in image.iter_mut() {
        let noise: f64 = StandardNormal.sample(noise);
        *channel = (f64::from(*channel) + sigma * noise).round().clamp(0.0, 255.0) as u8;
    }
    image
}

/// Checks every scene after `change`; reports the smallest margins. Place, accessory and colour must always be right, the
/// concept must never be another one and may be overlooked `overlooked` times.
fn all_right(what: &str, overlooked: usize, mut change: impl FnMut(RgbImage) -> RgbImage) {
    let (renderer, truth) = (Renderer::new().unwrap(), Truth::new().unwrap());
    let mut smallest = [f64::INFINITY; 4];
    let mut wrong = Vec::new();
    let mut missed = 0;
    for (i, scene) in Scene::all().enumerate() {
        let image = change(renderer.render(&scene, Jitter::new(i as u64)));
        let seen = truth.observe(&image).unwrap();
        let m = seen.margins;
        for (s, v) in smallest.iter_mut().zip([m.concept, m.place, m.accessory, m.colour]) {
            *s = s.min(v);
        }
        missed += usize::from(seen.concept.is_none());
        let concept_right = seen.concept.is_none_or(|c| c == scene.concept);
        let rest = (seen.place, seen.accessory, seen.colour);
        if !concept_right || rest != (Some(scene.place), Some(scene.accessory), Some(scene.colour)) {
            wrong.push(format!("{scene:?} was read as {seen:?}"));
        }
    }
    println!("{what}: smallest margins of concept, place, accessory, colour: {smallest:.3?}; missed {missed}");
    assert!(missed <= overlooked, "{what}: the concept was overlooked {missed} times");
    assert!(wrong.is_empty(), "{what}: {} of 1440 wrong: {:#?}", wrong.len(), &wrong[..wrong.len().min(8)]);
}

#[test]
fn every_jittered_scene_is_read_right() {
    all_right("plain", 0, |image| image);
}

#[test]
fn every_scene_is_read_right_after_blur_and_noise() {
    let mut noise = noise("normal");
    all_right("blurred over 5 pixels, noise 8", 0, |image| noisy(&box_blur(&image, 5), 8.0, &mut noise));
    all_right("blurred over 7 pixels, noise 8", 0, |image| noisy(&box_blur(&image, 7), 8.0, &mut noise));
    // A face of 14 pixels above a scarf is nearly flat by then.
    all_right("blurred over 8 pixels, noise 8", 2, |image| noisy(&box_blur(&image, 8), 8.0, &mut noise));
}

#[test]
fn each_attribute_is_judged_on_its_own() {
    let (renderer, truth) = (Renderer::new().unwrap(), Truth::new().unwrap());
    let scene = Scene { concept: Concept::Eve, place: Place::Lake, accessory: Accessory::Scarf, colour: Colour::Blue };
    let image = renderer.render(&scene, Jitter::new(3));
    let verdict = |other: Scene| {
        let v = truth.check(&other, &image).unwrap();
        (v.concept, v.place, v.accessory, v.colour)
    };
    assert_eq!(verdict(scene), (true, true, true, true));
    assert_eq!(verdict(Scene { concept: Concept::Joe, ..scene }), (false, true, true, true));
    assert_eq!(verdict(Scene { place: Place::City, ..scene }), (true, false, true, true));
    assert_eq!(verdict(Scene { accessory: Accessory::Hat, ..scene }), (true, true, false, true));
    assert_eq!(verdict(Scene { colour: Colour::Purple, ..scene }), (true, true, true, false));
}

#[test]
fn images_of_nothing_show_no_concept_and_no_accessory() {
    let truth = Truth::new().unwrap();
    let mut noise = noise("pixels");
    let mut blanks: Vec<RgbImage> =
        (0..=5).map(|level| RgbImage::from_pixel(SIZE, SIZE, Rgb([level * 51; 3]))).collect();
    blanks.extend(Colour::ALL.iter().map(|c| RgbImage::from_pixel(SIZE, SIZE, Rgb(c.rgb()))));
    blanks.push(RgbImage::from_fn(SIZE, SIZE, |_, _| Rgb([0; 3].map(|_: u8| (noise.uniform() * 255.0) as u8))));
    for blank in &blanks {
        let seen = truth.observe(blank).unwrap();
        assert_eq!(
            (seen.concept, seen.accessory, seen.colour),
            (None, None, None),
            "{:?}: {seen:?}",
            blank.get_pixel(0, 0)
        );
    }
    let random = truth.observe(blanks.last().unwrap()).unwrap();
    assert_eq!((random.concept, random.place), (None, None));
}

#[test]
fn an_image_of_another_size_is_refused() {
    let error = Truth::new().unwrap().observe(&RgbImage::new(32, 64)).unwrap_err().to_string();
    assert!(error.contains("64x64") && error.contains("32x64"), "{error}");
}
