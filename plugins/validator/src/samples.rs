//! Items to be scored, made the same way every time.

use counterpoint_host::{ExpertManifest, Need};

/// An item of its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sample {
    /// Bytes that should be UTF-8.
    pub prompt: Vec<u8>,
    /// As above.
    pub response: Vec<u8>,
    /// As above.
    pub class: Vec<u8>,
    /// JSON, or nothing.
    pub params: Vec<u8>,
    /// The generated image.
    pub image: Option<Picture>,
    /// The concept's images.
    pub references: Vec<Picture>,
    /// Number within the group.
    pub candidate: u64,
}

/// Three channels of each pixel, in one of two types.
#[derive(Debug, Clone, PartialEq)]
pub enum Channels {
    /// 0 to 255.
    U8(Vec<u8>),
    /// 0 to 1.
    F32(Vec<f32>),
}

/// An image with distances in samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// From a row to the next.
    pub row: usize,
    /// From a pixel to the next.
    pub pixel: usize,
    /// The samples.
    pub channels: Channels,
    /// A pixel format to claim in the place of the true one.
    pub format: Option<u32>,
}

impl Picture {
    /// A packed image whose pixels follow from `seed`; of `f32` or of `u8`.
    pub fn new(width: usize, height: usize, float: bool, seed: u64) -> Self {
        let mut random = Random(seed);
        let shade = random.below(160);
        let value = |i: usize, random: &mut Random| (shade + random.below(64) + (i % (3 * width)) as u64 % 32) as u8;
        let bytes: Vec<u8> = (0..width * height * 3).map(|i| value(i, &mut random)).collect();
        Self::packed(width, height, float, bytes)
    }

    /// A packed image that is as light as `shade` says of column and row.
    pub fn drawn(width: usize, height: usize, float: bool, shade: impl Fn(usize, usize) -> u8) -> Self {
        let bytes = (0..width * height * 3).map(|i| shade(i / 3 % width, i / 3 / width)).collect();
        Self::packed(width, height, float, bytes)
    }

    fn packed(width: usize, height: usize, float: bool, bytes: Vec<u8>) -> Self {
        let channels = if float {
            Channels::F32(bytes.iter().map(|b| f32::from(*b) / 255.0).collect())
        } else {
            Channels::U8(bytes)
        };
        Self { width, height, row: 3 * width, pixel: 3, channels, format: None }
    }

    /// The same packed image with `pixel` samples from a pixel to the next and `gap` more after each row but the last, which
    /// hold what no image holds.
    pub fn spread(&self, pixel: usize, gap: usize) -> Self {
        let row = self.width * pixel + gap;
        let place = |i: usize| (i / (3 * self.width)) * row + (i / 3 % self.width) * pixel + i % 3;
        let size = (self.height - 1) * row + (self.width - 1) * pixel + 3;
        let channels = match &self.channels {
            Channels::U8(from) => {
                let mut to = vec![0xEE; size];
                from.iter().enumerate().for_each(|(i, v)| to[place(i)] = *v);
                Channels::U8(to)
            }
            Channels::F32(from) => {
                let mut to = vec![f32::NAN; size];
                from.iter().enumerate().for_each(|(i, v)| to[place(i)] = *v);
                Channels::F32(to)
            }
        };
        Self { row, pixel, channels, ..self.clone() }
    }
}

/// Items for one expert.
#[derive(Debug, Clone)]
pub struct Kit {
    /// Parameters of every item, as JSON.
    pub params: String,
    /// The expert needs a generated image.
    pub image: bool,
    /// The expert needs a reference image.
    pub reference: bool,
}

const TEXTS: [&str; 6] = [
    "a photo of a red ball on the grass",
    "Describe <sks> in one sentence.",
    "The dog is called Bo, and it likes “cheese”.",
    "漢字とかな、naïve café 🙂",
    "x",
    "two lines\nand a tab\t, then the same words again and again and again and again and again and again and again",
];
const SIZES: [(usize, usize); 6] = [(8, 8), (13, 7), (32, 24), (2, 5), (64, 64), (17, 33)];

impl Kit {
    /// Items that have what `expert` needs, with `params`.
    pub fn new(expert: &ExpertManifest, params: &str) -> Self {
        Self { params: params.to_owned(), image: expert.needs(Need::Image), reference: expert.needs(Need::Reference) }
    }

    /// Item number `i`: every number another item.
    pub fn sample(&self, i: usize) -> Sample {
        let picture = |k: usize| {
            let (width, height) = SIZES[(i + k) % SIZES.len()];
            Picture::new(width, height, (i + k) % 2 == 1, (i * 31 + k) as u64)
        };
        let references = i % 3 + usize::from(self.reference);
        Sample {
            prompt: TEXTS[i % TEXTS.len()].into(),
            response: format!("{} ({i})", TEXTS[(i + 1) % TEXTS.len()]).into(),
            class: ["person", "dog", ""][i % 3].into(),
            params: self.params.clone().into(),
            image: (self.image || i % 4 != 3).then(|| picture(0)),
            references: (1..=references).map(picture).collect(),
            candidate: i as u64 % 8,
        }
    }

    /// The first `n` items.
    pub fn samples(&self, n: usize) -> Vec<Sample> {
        (0..n).map(|i| self.sample(i)).collect()
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end
    }
}

#[cfg(test)]
mod tests {
    use super::{Channels, Picture};

    #[test]
    fn a_spread_picture_has_the_same_pixels_and_poison_between_them() {
        let packed = Picture::new(3, 2, false, 1);
        let spread = packed.spread(4, 5);
        assert_eq!((spread.row, spread.pixel), (17, 4));
        let (Channels::U8(from), Channels::U8(to)) = (&packed.channels, &spread.channels) else { unreachable!() };
        assert_eq!(to.len(), 17 + 8 + 3);
        for y in 0..2 {
            for x in 0..3 {
                assert_eq!(from[y * 9 + x * 3..][..3], to[y * 17 + x * 4..][..3]);
            }
        }
        assert_eq!(to[3], 0xEE);
    }
}
