//! Items that own what they hold.

use counterpoint_abi::*;
use serde::Serialize;

/// One sample, to be built up: `TestItem::new().response("a red hat").params(&json!({ "target": 0 }))`.
#[derive(Debug, Clone, Default)]
pub struct TestItem {
    prompt: String,
    response: String,
    class: String,
    params: String,
    image: Option<TestImage>,
    references: Vec<TestImage>,
    candidate: u64,
}

/// The structs that an item of the C interface points to.
pub(super) struct Parts {
    image: Option<cpt_image>,
    references: Vec<cpt_image>,
}

impl TestItem {
    /// Empty texts, no images, candidate 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this prompt.
    pub fn prompt(mut self, prompt: impl Into<String>) -> Self {
        self.prompt = prompt.into();
        self
    }

    /// With this answer of the policy.
    pub fn response(mut self, response: impl Into<String>) -> Self {
        self.response = response.into();
        self
    }

    /// With this concept class.
    pub fn class(mut self, class: impl Into<String>) -> Self {
        self.class = class.into();
        self
    }

    /// With these parameters. What cannot be JSON becomes the empty text.
    pub fn params(self, params: &impl Serialize) -> Self {
        self.params_json(serde_json::to_string(params).unwrap_or_default())
    }

    /// With these parameters, as JSON or what is none.
    pub fn params_json(mut self, params: impl Into<String>) -> Self {
        self.params = params.into();
        self
    }

    /// With this image.
    pub fn image(mut self, image: TestImage) -> Self {
        self.image = Some(image);
        self
    }

    /// With one more reference image.
    pub fn reference(mut self, image: TestImage) -> Self {
        self.references.push(image);
        self
    }

    /// With this number within its group.
    pub fn candidate(mut self, candidate: u64) -> Self {
        self.candidate = candidate;
        self
    }

    pub(super) fn parts(&self) -> Parts {
        Parts {
            image: self.image.as_ref().map(TestImage::raw),
            references: self.references.iter().map(TestImage::raw).collect(),
        }
    }

    /// The item, borrowing itself and `parts`.
    pub(super) fn raw(&self, parts: &Parts) -> cpt_item {
        cpt_item {
            prompt: cpt_str::of(&self.prompt),
            response: cpt_str::of(&self.response),
            class_name: cpt_str::of(&self.class),
            params: cpt_str::of(&self.params),
            image: parts.image.as_ref().map_or(std::ptr::null(), std::ptr::from_ref),
            references: parts.references.as_ptr(),
            n_references: parts.references.len() as u64,
            candidate: self.candidate,
        }
    }
}

/// An image, to be built up. One without pixels fails its item.
#[derive(Debug, Clone)]
pub struct TestImage {
    width: u32,
    height: u32,
    samples: Samples,
    /// Samples from a row to the next.
    row: usize,
}

#[derive(Debug, Clone)]
enum Samples {
    U8(Vec<u8>),
    F32(Vec<f32>),
}

impl TestImage {
    /// Of `height * width * 3` samples, 0 to 255.
    ///
    /// # Panics
    /// When there is another number.
    pub fn rgb8(width: u32, height: u32, samples: impl Into<Vec<u8>>) -> Self {
        Self::new(width, height, Samples::U8(samples.into()))
    }

    /// Of `height * width * 3` samples, 0 to 1.
    ///
    /// # Panics
    /// When there is another number.
    pub fn rgb_f32(width: u32, height: u32, samples: impl Into<Vec<f32>>) -> Self {
        Self::new(width, height, Samples::F32(samples.into()))
    }

    /// Of one grey, 0 to 255.
    pub fn grey(width: u32, height: u32, level: u8) -> Self {
        Self::rgb8(width, height, vec![level; width as usize * height as usize * 3])
    }

    /// The same image with a gap of `gap` samples after each row, full of values that are none of the image's.
    pub fn padded(self, gap: usize) -> Self {
        fn pad<T: Copy>(samples: &[T], row: usize, garbage: Vec<T>) -> Vec<T> {
            samples.chunks(row.max(1)).flat_map(|row| [row, &garbage].concat()).collect()
        }
        let row = self.row;
        let samples = match &self.samples {
            Samples::U8(samples) => Samples::U8(pad(samples, row, vec![0xA5; gap])),
            Samples::F32(samples) => Samples::F32(pad(samples, row, vec![f32::NAN; gap])),
        };
        Self { samples, row: row + gap, ..self }
    }

    fn new(width: u32, height: u32, samples: Samples) -> Self {
        let row = width as usize * 3;
        let needed = row * height as usize;
        let length = match &samples {
            Samples::U8(samples) => samples.len(),
            Samples::F32(samples) => samples.len(),
        };
        assert!(length == needed, "expected {needed} samples for an image of {width}x{height}, got {length}");
        Self { width, height, samples, row }
    }

    fn raw(&self) -> cpt_image {
        let (data, format, size) = match &self.samples {
            Samples::U8(samples) => (samples.as_ptr().cast(), CPT_RGB_U8, 1),
            Samples::F32(samples) => (samples.as_ptr().cast(), CPT_RGB_F32, 4),
        };
        cpt_image {
            data,
            width: self.width,
            height: self.height,
            format,
            reserved: 0,
            row_stride: (self.row * size) as u64,
            pixel_stride: 3 * size as u64,
        }
    }
}
