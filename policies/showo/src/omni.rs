//! Omni-attention: text is causal, an image sees itself in full.

use burn::tensor::{Bool, Device, Tensor, TensorData};
use counterpoint::{Error, Result};

use crate::config::ShowoConfig;

/// Which keys each query may attend, for a batch of sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    flags: Vec<bool>,
    batch: usize,
    queries: usize,
    keys: usize,
}

impl Allowed {
    /// The mask of text-to-image sequences (`pad.. t2i text soi image eoi`).
    ///
    /// Text is causal and does not see the padding before it; soi, image and eoi see all text and each other.
    /// Text never sees the image, so its keys and values do not change while the image is denoised.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when the sequences differ in length or one has no soi.
    pub fn t2i(config: &ShowoConfig, ids: &[Vec<u32>]) -> Result<Self> {
        let special = config.special_token_ids;
        Self::build(ids, |row| {
            if !row.contains(&special.soi) {
                return Err(Error::data("expected a text-to-image sequence with a soi token, got one without"));
            }
            let in_image = image_positions(row, special.soi, special.eoi);
            let text_start = row.iter().rposition(|&id| id == special.pad).map_or(0, |last| last + 1);
            Ok(move |query: usize, key: usize| {
                if in_image[query] {
                    key >= text_start
                } else {
                    key <= query && (query < text_start || key >= text_start)
                }
            })
        })
    }

    /// The mask of understanding sequences (`mmu soi image eoi text`): causal, and all see everything up to eoi.
    ///
    /// Padding, if any, follows the text, where no text sees it.
    ///
    /// # Errors
    /// [`Data`](counterpoint::ErrorKind::Data) when the sequences differ in length or one has no eoi.
    pub fn mmu(config: &ShowoConfig, ids: &[Vec<u32>]) -> Result<Self> {
        let eoi = config.special_token_ids.eoi;
        Self::build(ids, |row| {
            let end = row
                .iter()
                .position(|&id| id == eoi)
                .ok_or_else(|| Error::data("expected an understanding sequence with an eoi token, got one without"))?;
            Ok(move |query: usize, key: usize| key <= query || key <= end)
        })
    }

    /// The mask of any one understanding sequence of `length` tokens whose image is complete: as [`mmu`](Self::mmu).
    pub fn text_after_image(config: &ShowoConfig, length: usize) -> Self {
        let end = config.mmu_image_length() - 1;
        let flags = (0..length * length).map(|at| at % length <= at / length || at % length <= end).collect();
        Self { flags, batch: 1, queries: length, keys: length }
    }

    fn build<F: Fn(usize, usize) -> bool>(ids: &[Vec<u32>], rule: impl Fn(&[u32]) -> Result<F>) -> Result<Self> {
        let length = ids.first().map_or(0, Vec::len);
        let mut flags = Vec::with_capacity(ids.len() * length * length);
        for (i, row) in ids.iter().enumerate() {
            if row.len() != length {
                return Err(Error::data(format!(
                    "sequence {i}: expected {length} tokens as in sequence 0, got {}",
                    row.len()
                )));
            }
            let may = rule(row).map_err(|e| e.at(format!("sequence {i}")))?;
            flags.extend((0..length * length).map(|at| may(at / length, at % length)));
        }
        Ok(Self { flags, batch: ids.len(), queries: length, keys: length })
    }

    /// The flags, row-major over `[batch, queries, keys]`.
    pub fn flags(&self) -> &[bool] {
        &self.flags
    }

    /// `[batch, queries, keys]`.
    pub fn shape(&self) -> [usize; 3] {
        [self.batch, self.queries, self.keys]
    }

    /// The queries `range` only, with all keys. A range past the end is cut.
    pub fn queries(&self, range: std::ops::Range<usize>) -> Self {
        let end = range.end.min(self.queries);
        let start = range.start.min(end);
        let flags = self
            .flags
            .chunks(self.queries.max(1) * self.keys.max(1))
            .flat_map(|one| one[start * self.keys..end * self.keys].iter().copied())
            .collect();
        Self { flags, queries: end - start, ..*self }
    }

    /// The keys before `end` only, with all queries.
    pub fn keys_before(&self, end: usize) -> Self {
        let end = end.min(self.keys);
        let flags = self.flags.chunks(self.keys.max(1)).flat_map(|row| row[..end].iter().copied()).collect();
        Self { flags, keys: end, ..*self }
    }

    /// The sequences `rows`, in that order; a row may come several times. Rows that do not exist are left out.
    pub fn select(&self, rows: &[usize]) -> Self {
        let size = self.queries * self.keys;
        let flags: Vec<bool> =
            rows.iter().filter_map(|row| self.flags.get(row * size..(row + 1) * size)).flatten().copied().collect();
        Self { batch: flags.len() / size.max(1), flags, ..*self }
    }

    /// The mask as a tensor.
    ///
    /// # Shapes
    /// `[batch, queries, keys]`, true where a query may attend a key.
    pub fn tensor(&self, device: &Device) -> Tensor<3, Bool> {
        Tensor::from_data(TensorData::new(self.flags.clone(), self.shape()), device)
    }
}

/// Where soi, image tokens and eoi are.
fn image_positions(row: &[u32], soi: u32, eoi: u32) -> Vec<bool> {
    let (mut open, mut inside) = (0_i64, Vec::with_capacity(row.len()));
    for &id in row {
        open += i64::from(id == soi) - i64::from(id == eoi);
        inside.push(open > 0 || id == soi || id == eoi);
    }
    inside
}
