//! From the structs of the C interface to borrowed Rust: every length, stride and byte is looked at once, here.
#![allow(unsafe_code)]

use counterpoint_abi::*;

use crate::host::{known, sized};
use crate::{Error, Image, Item, Pixels};

/// Why an item is malformed.
type Malformed = String;

/// The text of `raw`.
///
/// # Errors
/// When it is null with a length, or not UTF-8.
///
/// # Safety
/// Unless `raw.data` is null, `raw.size` bytes can be read there during `'a`.
pub(crate) unsafe fn text<'a>(raw: cpt_str, name: &str) -> Result<&'a str, Malformed> {
    if raw.size == 0 {
        return Ok("");
    }
    if raw.data.is_null() || raw.size > isize::MAX as u64 {
        return Err(format!("{name}: expected text, got {} bytes at {:?}", raw.size, raw.data));
    }
    // SAFETY: the caller's promise; the length is one that an object can have.
    let bytes = unsafe { std::slice::from_raw_parts(raw.data, raw.size as usize) };
    if bytes.is_ascii() {
        // SAFETY: ASCII is UTF-8. Most texts are, and this is several times as quick.
        return Ok(unsafe { std::str::from_utf8_unchecked(bytes) });
    }
    std::str::from_utf8(bytes)
        .map_err(|e| format!("{name}: expected UTF-8, got other bytes from byte {}", e.valid_up_to()))
}

/// Bytes from the first of the first pixel to the last of the last.
fn extent(raw: &cpt_image, sample: u64) -> Option<u64> {
    let (across, down) = (u64::from(raw.width).checked_sub(1)?, u64::from(raw.height).checked_sub(1)?);
    let row = across.checked_mul(raw.pixel_stride)?.checked_add(3 * sample)?;
    if raw.pixel_stride < 3 * sample || raw.row_stride < row {
        return None;
    }
    down.checked_mul(raw.row_stride)?.checked_add(row).filter(|&bytes| bytes <= isize::MAX as u64)
}

/// The image that `raw` describes.
///
/// # Errors
/// When it is empty or null, its format is unknown, rows or pixels overlap, or samples of 32 bits are not aligned.
///
/// # Safety
/// If all of that is in order, the bytes from the first pixel to the last can be read during `'a`, and nobody writes them.
unsafe fn image<'a>(raw: &cpt_image, name: &str) -> Result<Image<'a>, Malformed> {
    let &cpt_image { data, width, height, format, row_stride, pixel_stride, .. } = raw;
    // Shifts, for a division by a number that the compiler does not know takes longer than all the rest.
    let shift = match format {
        CPT_RGB_U8 => 0,
        CPT_RGB_F32 => 2,
        _ => return Err(format!("{name}: expected pixel format {CPT_RGB_U8} or {CPT_RGB_F32}, got {format}")),
    };
    let sample = 1 << shift;
    let bytes = extent(raw, sample).ok_or_else(|| {
        format!(
            "{name}: expected an image whose pixels and rows do not overlap, got {width}x{height} with pixels {pixel_stride} \
             bytes and rows {row_stride} bytes apart"
        )
    })?;
    if data.is_null() {
        return Err(format!("{name}: expected pixels, got a null pointer"));
    }
    if [data.addr() as u64, row_stride, pixel_stride].iter().any(|n| n & (sample - 1) != 0) {
        return Err(format!(
            "{name}: expected pixels and strides aligned to {sample} bytes, got pixels at {data:?}, {pixel_stride} and rows \
             {row_stride} bytes apart"
        ));
    }
    let samples = (bytes >> shift) as usize;
    let pixels = if format == CPT_RGB_U8 {
        // SAFETY: not null, not too long; readable by the caller's promise.
        Pixels::U8(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), samples) })
    } else {
        // SAFETY: as above, and aligned; every pattern of bits is an f32.
        Pixels::F32(unsafe { std::slice::from_raw_parts(data.cast::<f32>(), samples) })
    };
    let (row, pixel) = ((row_stride >> shift) as usize, (pixel_stride >> shift) as usize);
    Ok(Image { width: width as usize, height: height as usize, pixels, row, pixel })
}

/// A batch whose structs have all of minor version 0. Its items have still to be looked at.
pub(crate) struct RawBatch {
    pub(crate) head: cpt_batch,
}

/// What a batch holds.
pub(crate) struct Parsed<'a> {
    /// The items that can be scored. Their references are still in `references`.
    pub(crate) items: Vec<Item<'a>>,
    /// All their references, one item after the other.
    pub(crate) references: Vec<Image<'a>>,
    /// How many of them each item has.
    pub(crate) counts: Vec<usize>,
    /// Numbers of the items that cannot be scored, in order, and why.
    pub(crate) malformed: Vec<(usize, Malformed)>,
}

impl RawBatch {
    /// # Errors
    /// When the struct or a stride is smaller than in minor version 0, or there are items at a null pointer.
    ///
    /// # Safety
    /// `raw` is null, or points to a batch of the size that it says.
    pub(crate) unsafe fn new(raw: *const cpt_batch) -> Result<Self, Error> {
        // SAFETY: the caller's promise.
        let head = unsafe { sized(raw, CPT_BATCH_SIZE_0, "cpt_batch") }?;
        let strides =
            [("item_stride", head.item_stride, CPT_ITEM_SIZE_0), ("image_stride", head.image_stride, CPT_IMAGE_SIZE_0)];
        for (name, stride, least) in strides {
            if stride < least {
                return Err(Error::new(format!("cpt_batch: expected an {name} of {least} or more, got {stride}")));
            }
        }
        let bytes = head.n_items.checked_mul(u64::from(head.item_stride));
        if bytes.is_none_or(|bytes| bytes > isize::MAX as u64) || (head.items.is_null() && head.n_items > 0) {
            return Err(Error::new(format!("cpt_batch: expected items, got {} at {:?}", head.n_items, head.items)));
        }
        Ok(Self { head })
    }

    pub(crate) fn len(&self) -> usize {
        self.head.n_items as usize
    }

    /// Looks at all items.
    ///
    /// # Safety
    /// What the items point to can be read during `'a`, and nobody writes it.
    pub(crate) unsafe fn parse<'a>(&self) -> Parsed<'a> {
        let n = self.len();
        let mut parsed = Parsed {
            items: Vec::with_capacity(n),
            references: Vec::new(),
            counts: Vec::with_capacity(n),
            malformed: Vec::new(),
        };
        for i in 0..n {
            let stride = self.head.item_stride;
            // SAFETY: the host has `n` items, each of `item_stride` bytes.
            let raw = unsafe { known(self.head.items.byte_add(i * stride as usize), stride) };
            let before = parsed.references.len();
            // SAFETY: the caller's promise.
            if let Err(reason) = unsafe { self.item(&raw, &mut parsed) } {
                parsed.references.truncate(before);
                parsed.malformed.push((i, reason));
            }
        }
        parsed
    }

    /// Appends one item and its references to `parsed`; only references, when it is malformed.
    ///
    /// # Safety
    /// As of `parse`.
    unsafe fn item<'a>(&self, raw: &cpt_item, parsed: &mut Parsed<'a>) -> Result<(), Malformed> {
        let stride = self.head.image_stride;
        let image = if raw.image.is_null() {
            None
        } else {
            // SAFETY: the host has one image there, of `image_stride` bytes.
            Some(unsafe { self::image(&known(raw.image, stride), "image") }?)
        };
        if raw.references.is_null() && raw.n_references > 0 {
            return Err(format!("references: expected images, got {} at a null pointer", raw.n_references));
        }
        for j in 0..raw.n_references {
            let at = raw.references.wrapping_byte_add(j as usize * stride as usize);
            // SAFETY: the host has `n_references` images there, each of `image_stride` bytes.
            parsed.references.push(unsafe { self::image(&known(at, stride), "reference") }?);
        }
        // SAFETY: the caller's promise.
        let [prompt, response, class, params] = unsafe {
            [
                text(raw.prompt, "prompt")?,
                text(raw.response, "response")?,
                text(raw.class_name, "class_name")?,
                text(raw.params, "params")?,
            ]
        };
        let candidate = raw.candidate;
        parsed.items.push(Item { prompt, response, class, params, image, references: &[], candidate });
        parsed.counts.push(raw.n_references as usize);
        Ok(())
    }
}

/// Where the answers go.
pub(crate) struct RawScores {
    head: cpt_scores,
}

impl RawScores {
    /// # Errors
    /// When the struct is smaller than in minor version 0, has room for another number of outputs, or is null or not aligned.
    ///
    /// # Safety
    /// `raw` is null, or points to a struct of the size that it says, which has room for `items` items that nobody else reads or
    /// writes during the call.
    pub(crate) unsafe fn new(raw: *const cpt_scores, items: usize, outputs: usize) -> Result<Self, Error> {
        // SAFETY: the caller's promise.
        let head = unsafe { sized(raw, CPT_SCORES_SIZE_0, "cpt_scores") }?;
        if head.n_outputs as usize != outputs {
            return Err(Error::new(format!("cpt_scores: expected n_outputs of {outputs}, got {}", head.n_outputs)));
        }
        let null = head.values.is_null() || head.status.is_null();
        if items > 0 && (null || !head.values.is_aligned() || !head.status.is_aligned()) {
            return Err(Error::new(format!(
                "cpt_scores: expected aligned values and status, got {:?} and {:?}",
                head.values, head.status
            )));
        }
        Ok(Self { head })
    }

    /// Writes the values of item `item`.
    ///
    /// # Safety
    /// `item` is below the number of items, and `values` has as many values as there are outputs.
    pub(crate) unsafe fn values(&self, item: usize, values: &[f64]) {
        let first = item * self.head.n_outputs as usize;
        for (k, &value) in values.iter().enumerate() {
            // SAFETY: there is room for every output of every item.
            unsafe { self.head.values.add(first + k).write(value) }
        }
    }

    /// Writes the status of item `item`.
    ///
    /// # Safety
    /// `item` is below the number of items.
    pub(crate) unsafe fn status(&self, item: usize, status: i32) {
        // SAFETY: there is room for every item.
        unsafe { self.head.status.add(item).write(status) }
    }
}
