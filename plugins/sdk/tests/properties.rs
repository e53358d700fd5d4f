//! Whatever a host sends, valid or not: what is malformed fails alone, and what is not scores what it should.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::*;
use counterpoint_abi::*;
use counterpoint_sdk::{Batch, Description, Error, Expert, Image, Score, Setup, export_rewards};
use proptest::collection::vec;
use proptest::prelude::*;

/// A number that every byte of an item's texts and every sample of its images changes.
struct Sum;

impl Expert for Sum {
    const NAME: &'static str = "sum";

    fn describe() -> Description {
        Description::new("a checksum")
    }

    fn create(_: &Setup<'_>) -> Result<Self, Error> {
        Ok(Self)
    }

    fn score(&mut self, batch: &Batch<'_>) -> Result<Vec<Score>, Error> {
        batch.each(|item| {
            let texts = [item.prompt(), item.response(), item.class(), item.params_json()];
            let text: f64 = texts.iter().flat_map(|t| t.chars()).map(|c| f64::from(u32::from(c))).sum();
            let images: f64 = item.image().iter().chain(item.references()).map(sum).sum();
            Ok(Score::Value(text + images))
        })
    }
}

/// The sum of the samples of 8 bits: read pixel by pixel, by rows, and as packed copies, which must agree.
fn sum(image: &Image<'_>) -> f64 {
    let packed = image.to_rgb8();
    let floats = image.to_rgb_f32();
    assert_eq!(packed.len(), image.width() * image.height() * 3);
    for y in 0..image.height() {
        let _ = image.row(y);
        for x in 0..image.width() {
            let at = (y * image.width() + x) * 3;
            let pixel = image.pixel(x, y);
            assert_eq!(pixel, floats[at..at + 3]);
            assert_eq!(pixel.map(|v| (v.clamp(0.0, 1.0) * 255.0).round() as u8), packed[at..at + 3]);
        }
    }
    packed.iter().map(|&v| f64::from(v)).sum()
}

export_rewards!(Sum);

/// Numbers of an image that may or may not fit together.
#[derive(Debug, Clone)]
struct Shape {
    width: u32,
    height: u32,
    format: u32,
    row: u64,
    pixel: u64,
    offset: usize,
}

fn shape() -> impl Strategy<Value = Shape> {
    let stride = || prop_oneof![8 => 0..64_u64, 4 => (0..64_u64).prop_map(|n| n * 4), 1 => any::<u64>()];
    let side = || prop_oneof![12 => 1..5_u32, 1 => Just(0), 1 => any::<u32>()];
    let tight = (side(), side(), 1..3_u32, 0..9_u64, 0..3_u64, 0..2_usize).prop_map(
        |(width, height, format, gap, wide, at)| {
            let size = if format == CPT_RGB_F32 { 4 } else { 1 };
            let pixel = (3 + wide) * size;
            let row = u64::from(width).saturating_mul(pixel).saturating_add(gap * size);
            Shape { width, height, format, row, pixel, offset: at * 4 }
        },
    );
    let any = (side(), side(), 0..4_u32, stride(), stride(), 0..8_usize)
        .prop_map(|(width, height, format, row, pixel, offset)| Shape { width, height, format, row, pixel, offset });
    prop_oneof![tight, any]
}

impl Shape {
    /// Bytes that the image takes when it is one: a model of the header's words, in numbers that cannot overflow.
    fn bytes(&self) -> Option<usize> {
        let size = match self.format {
            CPT_RGB_U8 => 1_u128,
            CPT_RGB_F32 => 4,
            _ => return None,
        };
        let (row, pixel) = (u128::from(self.row), u128::from(self.pixel));
        if self.width == 0 || self.height == 0 {
            return None;
        }
        let one_row = u128::from(self.width - 1) * pixel + 3 * size;
        let aligned = [row, pixel, self.offset as u128].iter().all(|n| n % size == 0);
        let bytes = u128::from(self.height - 1) * row + one_row;
        let fits = pixel >= 3 * size && row >= one_row && aligned;
        // An image that no memory could hold is none either.
        (fits && bytes <= isize::MAX as u128).then(|| usize::try_from(bytes).unwrap_or(usize::MAX))
    }
}

/// An image in memory that ends where its last sample does, and its sum.
struct Memory {
    words: Vec<u32>,
    raw: cpt_image,
    sum: Option<f64>,
}

fn memory(shape: &Shape) -> Option<Memory> {
    let bytes = shape.bytes();
    // A valid image of gigabytes is nothing for a test.
    if bytes.is_some_and(|bytes| bytes > 1 << 16) {
        return None;
    }
    let mut words = vec![0_u32; (shape.offset + bytes.unwrap_or(0)).div_ceil(4)];
    // SAFETY: bytes of the same vector.
    let all = unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), words.len() * 4) };
    let sum = bytes.map(|_| {
        // Garbage wherever no sample is.
        all.fill(0xC5);
        let mut sum = 0.0;
        for y in 0..u64::from(shape.height) {
            for x in 0..u64::from(shape.width) {
                for channel in 0..3 {
                    let value = (y * 31 + x * 7 + channel * 3) as u8;
                    sum += f64::from(value);
                    let at = shape.offset + (y * shape.row + x * shape.pixel) as usize;
                    if shape.format == CPT_RGB_U8 {
                        all[at + channel as usize] = value;
                    } else {
                        let at = at + 4 * channel as usize;
                        all[at..at + 4].copy_from_slice(&(f32::from(value) / 255.0).to_ne_bytes());
                    }
                }
            }
        }
        sum
    });
    let raw = cpt_image {
        data: words.as_ptr().wrapping_byte_add(shape.offset).cast(),
        width: shape.width,
        height: shape.height,
        format: shape.format,
        reserved: 7,
        row_stride: shape.row,
        pixel_stride: shape.pixel,
    };
    Some(Memory { words, raw, sum })
}

/// Items `stride` bytes apart, from `offset`, with garbage between them.
fn spread<T: Copy>(items: &[T], stride: usize, offset: usize) -> Vec<u8> {
    let mut bytes = vec![0xDB; offset + items.len() * stride];
    for (i, item) in items.iter().enumerate() {
        // SAFETY: `stride` is the size of an item or more; the place need not be aligned.
        unsafe { bytes.as_mut_ptr().add(offset + i * stride).cast::<T>().write_unaligned(*item) }
    }
    bytes
}

fn cases(n: u32) -> ProptestConfig {
    let n = if cfg!(miri) { n / 250 } else { n };
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(n) }
}

proptest! {
    #![proptest_config(cases(2000))]

    #[test]
    fn images_fail_or_are_read_exactly(
        images in vec(shape(), 1..5),
        references in vec(shape(), 0..4),
        gaps in (0..40_u32, 0..40_u32),
        offset in 0..16_usize,
    ) {
        let images: Vec<Memory> = images.iter().filter_map(memory).collect();
        let references: Vec<Memory> = references.iter().filter_map(memory).collect();
        let (item_stride, image_stride) = (96 + gaps.0, 40 + gaps.1);
        let raw: Vec<cpt_image> = references.iter().map(|m| m.raw).collect();
        let raw = spread(&raw, image_stride as usize, offset);
        // Item `i` has the references from number `i` on.
        let items: Vec<cpt_item> = images.iter().enumerate().map(|(i, image)| cpt_item {
            image: &raw const image.raw,
            references: raw.as_ptr().wrapping_add(offset + i * image_stride as usize).cast(),
            n_references: references.len().saturating_sub(i) as u64,
            ..ITEM
        }).collect();
        let bytes = spread(&items, item_stride as usize, offset);
        let batch = cpt_batch { item_stride, image_stride, items: bytes.as_ptr().wrapping_add(offset).cast(), ..batch(&items) };
        let instance = create("sum", "");
        let answer = score_with(instance, &batch, |_, _| ());
        destroy(instance);
        prop_assert_eq!(answer.code, CPT_OK);
        for (i, image) in images.iter().enumerate() {
            let all = references.get(i..).unwrap_or_default();
            let sum: Option<f64> = std::iter::once(image).chain(all).map(|m| m.sum).sum();
            let got = (answer.status[i] == CPT_VALUE).then_some(answer.values[i]);
            prop_assert_eq!(got, sum, "{:?} {}", image.raw, answer.said.of(i as u64));
            prop_assert_eq!(answer.status[i] == CPT_FAIL, !answer.said.of(i as u64).is_empty());
            prop_assert!(image.words.len() * 4 < 1 << 17);
        }
    }

    #[test]
    fn texts_fail_when_they_are_not_utf8(texts in vec((vec(any::<u8>(), 0..6), "\\PC{0,5}", 0..4_usize, any::<bool>()), 1..6)) {
        let items: Vec<cpt_item> = texts.iter().map(|(bytes, good, place, odd)| {
            let mut four = [text(good.as_bytes()); 4];
            if *odd {
                four[*place] = text(bytes);
            }
            let [prompt, response, class_name, params] = four;
            cpt_item { prompt, response, class_name, params, ..ITEM }
        }).collect();
        let instance = create("sum", "");
        let answer = score(instance, &items);
        destroy(instance);
        prop_assert_eq!(answer.code, CPT_OK);
        for (i, (bytes, good, _, odd)) in texts.iter().enumerate() {
            let sum = |text: &str| text.chars().map(|c| f64::from(u32::from(c))).sum::<f64>();
            let expected = match (odd, std::str::from_utf8(bytes)) {
                (false, _) => Some(4.0 * sum(good)),
                (true, Ok(other)) => Some(3.0 * sum(good) + sum(other)),
                (true, Err(_)) => None,
            };
            let got = (answer.status[i] == CPT_VALUE).then_some(answer.values[i]);
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn structs_are_as_large_as_in_minor_version_0_or_refused(
        sizes in (0..96_u32, 0..48_u32, 0..96_u32),
        strides in (0..192_u32, 0..80_u32),
        n in 0..4_usize,
    ) {
        let items = vec![ITEM; n];
        let bytes = spread(&items, strides.0.max(96) as usize, 0);
        let batch = cpt_batch {
            struct_size: sizes.0,
            item_stride: strides.0,
            image_stride: strides.1,
            items: bytes.as_ptr().cast(),
            ..batch(&items)
        };
        let instance = create("sum", "");
        let answer = score_with(instance, &batch, |host, scores| {
            scores.struct_size = sizes.1;
            host.struct_size = sizes.2;
        });
        destroy(instance);
        let good = sizes.0 >= 48 && sizes.1 >= 24 && sizes.2 >= 48 && strides.0 >= 96 && strides.1 >= 40;
        prop_assert_eq!(answer.code, if good { CPT_OK } else { CPT_ERROR });
        prop_assert_eq!(answer.is_untouched(), !good || n == 0);
        prop_assert_eq!(answer.said.call().is_empty(), good || sizes.2 < 48);
    }
}
