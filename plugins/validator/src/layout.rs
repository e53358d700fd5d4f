//! Puts a call's arguments into memory, in all the ways that the interface allows.

use std::io;
use std::mem::size_of;
use std::ptr;

use counterpoint_abi::*;

use crate::callbacks::Callbacks;
use crate::pages::{Pages, Place};
use crate::samples::{Channels, Picture, Sample};
use crate::subject::{Answers, Call};

/// What the values are before the call: a NaN that no arithmetic makes, so that an unwritten slot is told from a NaN.
pub const UNWRITTEN_VALUE: u64 = 0x7FF8_DEAD_BEEF_0001;
/// What is put where a plugin must not look.
const GARBAGE: u8 = 0xA5;

/// How arguments lie in memory.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Garbage after the known fields of each struct, in bytes: a multiple of 8.
    pub garbage: usize,
    /// Garbage after each item, and after each image.
    pub gap: usize,
    /// The host's minor version.
    pub minor: u32,
    /// Where inputs lie.
    pub inputs: Place,
    /// Whether inputs are in pages that can only be read.
    pub read_only: bool,
    /// Where values and status lie.
    pub outputs: Place,
}

impl Default for Layout {
    fn default() -> Self {
        Self { garbage: 0, gap: 0, minor: CPT_ABI_MINOR, inputs: Place::Loose, read_only: false, outputs: Place::Loose }
    }
}

/// Arguments in memory, and what owns them.
#[derive(Debug)]
pub struct Arguments {
    memory: Vec<Pages>,
    layout: Layout,
    /// What the host's callbacks wrote.
    pub callbacks: Box<Callbacks>,
}

impl Arguments {
    /// No arguments yet.
    pub fn new(layout: &Layout, call: &Call) -> Self {
        Self { memory: Vec::new(), layout: *layout, callbacks: Callbacks::new(call.cancelled, call.deadline) }
    }

    /// The host's table.
    ///
    /// # Errors
    /// The system's, as of the functions below.
    pub fn host(&mut self) -> io::Result<*const cpt_host> {
        let mut host = self.callbacks.table(self.layout.minor);
        host.struct_size += self.layout.garbage as u32;
        self.put_struct(host, self.layout.garbage)
    }

    /// The argument of `create`.
    pub fn setup(&mut self, expert: &[u8], settings: &[u8], base: &[u8]) -> io::Result<*const cpt_setup> {
        let setup = cpt_setup {
            struct_size: (size_of::<cpt_setup>() + self.layout.garbage) as u32,
            reserved: 0,
            expert: self.text(expert)?,
            settings: self.text(settings)?,
            base: self.text(base)?,
        };
        self.put_struct(setup, self.layout.garbage)
    }

    /// The samples, as `score` is given them.
    pub fn batch(&mut self, samples: &[Sample], call: &Call) -> io::Result<*const cpt_batch> {
        let Layout { garbage, gap, .. } = self.layout;
        let item_stride = size_of::<cpt_item>() + gap;
        let mut items = self.array(samples.len(), size_of::<cpt_item>())?;
        for (i, sample) in samples.iter().enumerate() {
            let item = self.item(sample)?;
            items.write(i * item_stride, item);
        }
        let deadline = call.deadline.map_or(0, |d| d.as_nanos() as u64);
        let batch = cpt_batch {
            struct_size: (size_of::<cpt_batch>() + garbage) as u32,
            item_stride: item_stride as u32,
            image_stride: (size_of::<cpt_image>() + gap) as u32,
            reserved: 0,
            items: items.as_ptr().cast(),
            n_items: samples.len() as u64,
            seed: call.seed,
            deadline_ns: deadline,
        };
        self.memory.push(items);
        self.put_struct(batch, garbage)
    }

    fn item(&mut self, sample: &Sample) -> io::Result<cpt_item> {
        let image_stride = size_of::<cpt_image>() + self.layout.gap;
        let image = match &sample.image {
            Some(picture) => {
                let image = self.image(picture)?;
                self.put_struct(image, self.layout.gap)?
            }
            None => ptr::null(),
        };
        let mut references = ptr::null();
        if !sample.references.is_empty() {
            let mut array = self.array(sample.references.len(), size_of::<cpt_image>())?;
            for (j, picture) in sample.references.iter().enumerate() {
                array.write(j * image_stride, self.image(picture)?);
            }
            references = array.as_ptr().cast_const().cast();
            self.memory.push(array);
        }
        Ok(cpt_item {
            prompt: self.text(&sample.prompt)?,
            response: self.text(&sample.response)?,
            class_name: self.text(&sample.class)?,
            params: self.text(&sample.params)?,
            image,
            references,
            n_references: sample.references.len() as u64,
            candidate: sample.candidate,
        })
    }

    fn image(&mut self, picture: &Picture) -> io::Result<cpt_image> {
        let (bytes, size, format) = match &picture.channels {
            Channels::U8(samples) => (samples.clone(), 1, CPT_RGB_U8),
            Channels::F32(samples) => (samples.iter().flat_map(|s| s.to_ne_bytes()).collect(), 4, CPT_RGB_F32),
        };
        Ok(cpt_image {
            data: self.put(&bytes)?.cast(),
            width: picture.width as u32,
            height: picture.height as u32,
            format: picture.format.unwrap_or(format),
            reserved: 0,
            row_stride: (picture.row * size) as u64,
            pixel_stride: (picture.pixel * size) as u64,
        })
    }

    fn text(&mut self, text: &[u8]) -> io::Result<cpt_str> {
        let loose = self.layout.inputs == Place::Loose;
        let data = if text.is_empty() && loose { ptr::null() } else { self.put(text)? };
        Ok(cpt_str { data, size: text.len() as u64 })
    }

    /// Room for `n` structs of `size` bytes with garbage after each.
    fn array(&mut self, n: usize, size: usize) -> io::Result<Pages> {
        let bytes = vec![GARBAGE; n * (size + self.layout.gap)];
        let mut pages = Pages::new(bytes.len(), self.layout.inputs)?;
        pages.fill(0, &bytes);
        Ok(pages)
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<*const u8> {
        let mut pages = Pages::new(bytes.len(), self.layout.inputs)?;
        pages.fill(0, bytes);
        let data = pages.as_ptr();
        self.memory.push(pages);
        Ok(data)
    }

    /// `value` with `garbage` bytes after it.
    fn put_struct<T: Copy>(&mut self, value: T, garbage: usize) -> io::Result<*const T> {
        let mut pages = Pages::new(size_of::<T>() + garbage, self.layout.inputs)?;
        pages.write(0, value);
        pages.fill(size_of::<T>(), &vec![GARBAGE; garbage]);
        let data = pages.as_ptr().cast_const().cast();
        self.memory.push(pages);
        Ok(data)
    }

    /// Makes the inputs read-only where the layout says so. The last thing before a call.
    pub fn seal(&self) -> io::Result<()> {
        if self.layout.read_only { self.memory.iter().try_for_each(Pages::protect) } else { Ok(()) }
    }
}

/// The host's buffers that `score` fills.
#[derive(Debug)]
pub struct Outputs {
    values: Pages,
    status: Pages,
    items: usize,
    outputs: usize,
}

impl Outputs {
    /// Buffers for `items` items of `outputs` outputs, unwritten.
    ///
    /// # Errors
    /// The system's.
    pub fn new(items: usize, outputs: usize, place: Place) -> io::Result<Self> {
        let mut values = Pages::new(items * outputs * size_of::<f64>(), place)?;
        let mut status = Pages::new(items * size_of::<i32>(), place)?;
        (0..items * outputs).for_each(|k| values.write(k * 8, f64::from_bits(UNWRITTEN_VALUE)));
        (0..items).for_each(|k| status.write(k * 4, CPT_UNWRITTEN));
        Ok(Self { values, status, items, outputs })
    }

    /// The struct that `score` is given.
    ///
    /// # Errors
    /// The system's.
    pub fn scores(&self, arguments: &mut Arguments) -> io::Result<*const cpt_scores> {
        let garbage = arguments.layout.garbage;
        let scores = cpt_scores {
            struct_size: (size_of::<cpt_scores>() + garbage) as u32,
            n_outputs: self.outputs as u32,
            values: self.values.as_ptr().cast(),
            status: self.status.as_ptr().cast(),
        };
        arguments.put_struct(scores, garbage)
    }

    /// What is in the buffers now.
    pub fn answers(&self, callbacks: &Callbacks) -> Answers {
        Answers {
            outputs: self.outputs,
            values: (0..self.items * self.outputs).map(|k| self.values.read(k * 8)).collect(),
            status: (0..self.items).map(|k| self.status.read(k * 4)).collect(),
            reasons: callbacks.take_reasons(),
        }
    }
}
